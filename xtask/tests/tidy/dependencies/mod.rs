//! Modules of the agent use each other in one direction: `docs/architecture.md` says why.

mod circles;
mod code;
mod graph;
mod modules;

use std::collections::{BTreeMap, BTreeSet};

use self::graph::Graph;
use self::modules::{EFFECTS, MAY_USE};
use crate::{assert_none, files};

#[test]
fn modules_use_what_they_may_use() {
    let graph = Graph::read(&files().unwrap()).unwrap();
    let used = used(&graph);
    let mut wrong = Vec::new();
    for (module, used) in &used {
        let listed = MAY_USE.iter().find(|(name, _)| name == module);
        let may: BTreeSet<_> = listed.map_or(&[][..], |(_, may)| may).iter().collect();
        let used: BTreeSet<_> = used.iter().map(|name| &**name).collect();
        if listed.is_none() || !may.iter().copied().eq(&used) {
            let used = Vec::from_iter(used);
            wrong.push(format!("    ({module:?}, &{used:?}),"));
        }
    }
    let is_gone = |name: &&str| !used.contains_key(*name);
    let gone = MAY_USE.iter().map(|(name, _)| *name).filter(is_gone);
    wrong.extend(gone.map(|name| format!("    nothing for {name:?}, which is gone")));
    assert_none(
        "MAY_USE in xtask/tests/tidy/dependencies/modules.rs says what each module uses, no more \
         and no less. If the module may use this, write",
        wrong,
    );
}

#[test]
fn modules_use_only_modules_above_them_in_the_list() {
    let mut above: BTreeSet<&str> = EFFECTS.iter().copied().collect();
    let mut violations = Vec::new();
    for (module, may) in MAY_USE {
        let below = may.iter().filter(|name| !above.contains(*name));
        violations.extend(below.map(|name| format!("{module} uses {name}")));
        above.insert(module);
    }
    assert_none(
        "MAY_USE goes from the ground to the roof, so no circle of modules fits in: move the line \
         of the module down, or break the circle",
        violations,
    );
}

/// What each module uses: other modules, and the crates of [`EFFECTS`].
fn used(graph: &Graph) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::<_, BTreeSet<String>>::new();
    for path in graph.modules() {
        let module = listed(path);
        let used = graph.used_by(path);
        let inside = used.iter().map(|path| listed(path));
        let outside = graph.outside(path).map(|path| path.join("::"));
        let effects = outside.filter_map(|path| {
            let is_below = |name: &&&str| format!("{path}::").starts_with(&format!("{name}::"));
            EFFECTS.iter().find(is_below).map(|name| (*name).to_owned())
        });
        let used = inside.chain(effects).filter(|name| *name != module);
        all.entry(module.clone()).or_default().extend(used);
    }
    all
}

/// The name in [`MAY_USE`] of the module that holds the file of `path`.
fn listed(path: &[String]) -> String {
    let Some((first, rest)) = path.split_first() else {
        return "lib".to_owned(); // only declares modules
    };
    let folder = format!("{first}::");
    let is_split = MAY_USE.iter().any(|(name, _)| name.starts_with(&folder));
    match rest.first() {
        Some(child) if is_split => folder + child,
        _ => first.clone(),
    }
}
