//! What the manifests deploy.

use std::collections::BTreeSet;

use crate::{File, assert_none, files};

const BASE: &str = "deploy/kustomize/base/";

/// The image's files are hidden where a volume is mounted over them.
#[test]
fn daemon_sets_name_only_what_is_built_in() {
    let files = files().unwrap();
    let named = overlays(&files).flat_map(|path| {
        let arguments = lines(&files, path, "- --config.");
        let hidden = arguments
            .iter()
            .filter(|argument| argument.contains("=/config/"));
        let hidden = hidden.map(|argument| format!("{path}: {argument}"));
        hidden.collect::<Vec<_>>()
    });
    assert_none("a manifest names config files by builtin", named);
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

/// A tag can name another image tomorrow.
#[test]
fn base_images_are_named_by_digest() {
    let files = files().unwrap();
    let dockerfiles = files
        .iter()
        .filter(|file| file.path.ends_with("Dockerfile"));
    let images = dockerfiles.flat_map(|file| {
        let images = lines(&files, &file.path, "FROM ");
        assert!(!images.is_empty(), "{} has no base", file.path);
        images
            .into_iter()
            .map(|image| format!("{}: {image}", file.path))
    });
    let others = images.filter(|image| !image.contains("@sha256:") && !image.contains(": scratch"));
    assert_none("a base image is named by its digest", others);
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
