//! No file uses itself over other files.
//!
//! A file may use what the `mod.rs` of its own folder defines, although the `mod.rs` uses the file:
//! that is the place for the types that the files of a folder share, and for what drives them. It
//! may not use the `mod.rs` of a folder further up.

use std::collections::{BTreeMap, BTreeSet};

use super::code::Path;
use super::graph::Graph;
use crate::{assert_none, files};

type Edges = BTreeMap<Path, BTreeSet<Path>>;

#[test]
fn files_form_no_circle() {
    let graph = Graph::read(&files().unwrap()).unwrap();
    let edges = graph.modules().map(|module| {
        let mut used = graph.used_by(module);
        used.retain(|used| {
            module
                .split_last()
                .is_none_or(|(_, folder)| folder != &**used)
        });
        (module.clone(), used)
    });
    assert_none(
        "two files that use each other are one: move what both need to a third",
        circle(edges.collect()),
    );
}

/// The files that are on a circle or between circles.
fn circle(mut edges: Edges) -> Vec<String> {
    loop {
        let before = edges.len();
        // A file that uses none of the rest is on no circle, and a file that none of the rest uses is
        // not either.
        let left: BTreeSet<Path> = edges.keys().cloned().collect();
        edges.retain(|_, used| used.iter().any(|used| left.contains(used)));
        let used: BTreeSet<Path> = edges.values().flatten().cloned().collect();
        edges.retain(|module, _| used.contains(module));
        if edges.len() == before {
            break;
        }
    }
    let left: BTreeSet<&Path> = edges.keys().collect();
    let lines = edges.iter().flat_map(|(module, used)| {
        let used = used.iter().filter(|used| left.contains(used));
        used.map(|used| format!("{} uses {}", module.join("::"), used.join("::")))
    });
    lines.collect()
}

#[test]
fn a_circle_is_found() {
    #[track_caller]
    fn check(edges: &[(&str, &str)], expect: &[&str]) {
        let mut all = Edges::new();
        for (from, to) in edges {
            let to = vec![(*to).to_owned()];
            all.entry(to.clone()).or_default();
            all.entry(vec![(*from).to_owned()]).or_default().insert(to);
        }
        assert_eq!(circle(all), expect);
    }
    check(&[("a", "b"), ("b", "c"), ("a", "c")], &[]);
    check(
        &[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")],
        &["b uses c", "c uses b"],
    );
}
