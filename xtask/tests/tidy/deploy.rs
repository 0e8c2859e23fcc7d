//! What the manifests deploy is what the project ships.

use crate::{File, assert_none, files};

#[test]
fn manifests_have_the_shipped_configs() {
    const COPIES: &str = "deploy/kustomize/base/config/";
    const ORIGINALS: &str = "deploy/config/";
    let files = files().unwrap();
    let copies: Vec<_> = files
        .iter()
        .filter_map(|file| Some((file.path.strip_prefix(COPIES)?, file)))
        .collect();
    assert!(!copies.is_empty(), "there is nothing in {COPIES}");
    let differing = copies.into_iter().filter_map(|(name, copy)| {
        let original = format!("{ORIGINALS}{name}");
        let same = |file: &File| file.path == original && file.text == copy.text;
        (!files.iter().any(same)).then(|| format!("{}: is not {original}", copy.path))
    });
    assert_none(
        "kustomize reads no file outside its folder, so it has copies",
        differing,
    );
}
