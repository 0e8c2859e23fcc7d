//! Which file of the agent uses which.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;

use super::code::{Code, Path};
use crate::File;

const FOLDER: &str = "npd-agent/src/";

/// A `use` that leads to a `use` is followed this often.
const LONGEST_CHAIN: usize = 8;

/// The agent's files, tests aside, by the path of their module.
#[derive(Default)]
pub(super) struct Graph(BTreeMap<Path, Code>);

impl Graph {
    pub(super) fn read(files: &[File]) -> anyhow::Result<Self> {
        let mut graph = Self::default();
        for file in files.iter().filter(|file| file.is_rust()) {
            if let Some(path) = file.path.strip_prefix(FOLDER) {
                let code =
                    Code::read(&file.text).map_err(|error| anyhow!("{}: {error}", file.path))?;
                graph.0.insert(module(path), code);
            }
        }
        let tests = graph.0.iter().flat_map(|(module, code)| {
            let names = code.test_modules.iter();
            names.map(|name| below(module, name))
        });
        let tests: Vec<Path> = tests.collect();
        let is_test = |module: &Path| tests.iter().any(|test| module.starts_with(test));
        graph.0.retain(|module, _| !is_test(module));
        Ok(graph)
    }

    pub(super) fn modules(&self) -> impl Iterator<Item = &Path> {
        self.0.keys()
    }

    /// The other modules that a module uses, each by the file that defines what it uses.
    pub(super) fn used_by(&self, module: &Path) -> BTreeSet<Path> {
        let paths = self.0[module].paths.iter();
        let used = paths.filter_map(|path| self.resolve(module, path, LONGEST_CHAIN));
        used.filter(|used| used != module).collect()
    }

    /// The paths into other crates that a module names.
    pub(super) fn outside(&self, module: &Path) -> impl Iterator<Item = &Path> {
        let paths = self.0[module].paths.iter();
        paths.filter(|path| self.resolve(module, path, LONGEST_CHAIN).is_none())
    }

    /// The module that defines what `path` stands for in `module`; `None` if it is another crate's.
    fn resolve(&self, module: &Path, path: &[String], chain: usize) -> Option<Path> {
        let mut place = module.clone();
        let mut rest = path;
        let first = path.first()?;
        match &**first {
            "crate" | "npd_agent" => place.clear(),
            "super" => drop(place.pop()),
            "self" => {}
            name if self.0.contains_key(&below(module, name)) => place.push(name.to_owned()),
            name => {
                let (_, path) = self.alias(module, name)?;
                let is_loop = path.first() == Some(first);
                return (!is_loop && chain > 0)
                    .then(|| self.resolve(module, path, chain - 1))
                    .flatten();
            }
        }
        rest = &rest[1..];
        while let Some((name, after)) = rest.split_first() {
            let child = below(&place, name);
            if name == "super" {
                place.pop();
            } else if self.0.contains_key(&child) {
                place = child;
            } else if let Some((_, path)) = self.alias(&place, name)
                && chain > 0
            {
                return self.resolve(&place, path, chain - 1);
            } else {
                break;
            }
            rest = after;
        }
        self.0.contains_key(&place).then_some(place)
    }

    fn alias(&self, module: &Path, name: &str) -> Option<&(String, Path)> {
        let aliases = &self.0.get(module)?.aliases;
        aliases.iter().find(|(alias, _)| alias == name)
    }
}

/// The module in the file at `path`; the root has an empty path, and `main` is beside it.
fn module(path: &str) -> Path {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let segments = path.split('/').filter(|segment| *segment != "lib");
    segments.map(str::to_owned).collect()
}

fn below(module: &Path, name: &str) -> Path {
    let mut path = module.clone();
    path.push(name.to_owned());
    path
}
