//! What the manifests deploy is what the project ships.

use std::collections::BTreeSet;

use crate::{File, assert_none, files};

const BASE: &str = "deploy/kustomize/base/";

#[test]
fn manifests_have_the_shipped_configs() {
    let files = files().unwrap();
    let copies = copies(&files);
    assert!(!copies.is_empty(), "there is nothing in {BASE}config/");
    let differing = copies.iter().filter_map(|(name, copy)| {
        let original = format!("deploy/config/{name}");
        let same = |file: &File| file.path == original && file.text == copy.text;
        (!files.iter().any(same)).then(|| format!("{}: is not {original}", copy.path))
    });
    assert_none(
        "kustomize reads no file outside its folder, so it has copies",
        differing,
    );
}

#[test]
fn the_config_map_has_every_copy() {
    let files = files().unwrap();
    let listed = lines(&files, &format!("{BASE}kustomization.yaml"), "- config/");
    let copies = copies(&files).into_iter().map(|(name, _)| name.to_owned());
    assert_eq!(copies.collect::<BTreeSet<_>>(), listed);
}

#[test]
fn daemon_sets_name_configs_that_they_have() {
    let files = files().unwrap();
    let copies: BTreeSet<&str> = copies(&files).into_iter().map(|(name, _)| name).collect();
    let named = overlays(&files).flat_map(|path| {
        let arguments = lines(&files, path, "- --config.");
        let names = arguments.iter().flat_map(|argument| {
            let (_, list) = argument.split_once('=').unwrap_or_default();
            list.split(',')
                .filter_map(|file| file.strip_prefix("/config/"))
        });
        let missing = names.filter(|name| !copies.contains(name));
        let missing = missing.map(|name| format!("{path}: /config/{name}"));
        missing.collect::<Vec<_>>()
    });
    assert_none("a config that is named is in the ConfigMap", named);
}

/// A list in a patch replaces the whole list.
#[test]
fn overlays_keep_the_arguments_of_the_base() {
    let files = files().unwrap();
    let base = lines(&files, &format!("{BASE}daemonset.yaml"), "- --");
    assert!(!base.is_empty(), "the base has no arguments");
    let lost = overlays(&files).flat_map(|path| {
        let patched = lines(&files, path, "- --");
        let lost = base.difference(&patched);
        let lost = lost.map(|argument| format!("{path}: no --{argument}"));
        lost.collect::<Vec<_>>()
    });
    assert_none("an overlay's arguments are the base's and more", lost);
}

/// The configs that are in the base, by their paths there.
fn copies(files: &[File]) -> Vec<(&str, &File)> {
    let folder = format!("{BASE}config/");
    let copies = files
        .iter()
        .filter_map(|file| Some((file.path.strip_prefix(&folder)?, file)));
    copies.collect()
}

/// The files that have the `DaemonSet`, whole or in part.
fn overlays(files: &[File]) -> impl Iterator<Item = &str> {
    let paths = files.iter().map(|file| file.path.as_str());
    paths.filter(|path| path.starts_with("deploy/kustomize/") && path.ends_with("/daemonset.yaml"))
}

/// What follows `prefix` on the lines of a file that begin so.
fn lines(files: &[File], path: &str, prefix: &str) -> BTreeSet<String> {
    let text = files.iter().find(|file| file.path == path);
    let lines = text.map_or("", |file| &file.text).lines();
    let rest = lines.filter_map(|line| line.trim_start().strip_prefix(prefix));
    rest.map(str::to_owned).collect()
}
