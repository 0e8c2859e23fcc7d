//! Everything that users can use has a description.

use std::collections::BTreeSet;
use std::path::Path;

use xshell::Shell;

use crate::{assert_none, files, root};

#[test]
fn monitors_have_their_pages() {
    let root = root().unwrap();
    let pages = entries(&root, "npd-agent/src/monitor/mod.rs", "KINDS")
        .into_iter()
        .map(|kind| format!("docs/monitors/{kind}.md"));
    assert_none(
        "a kind of monitor has a page",
        pages.filter(|page| !root.path_exists(page)),
    );
}

#[test]
fn exporters_are_described() {
    let root = root().unwrap();
    let page = read(&root, "docs/exporters.md");
    let exporters = entries(&root, "npd-agent/src/exporter/mod.rs", "EXPORTERS");
    assert_none(
        "an exporter has a heading in docs/exporters.md",
        exporters
            .into_iter()
            .filter(|name| !has_heading(&page, name)),
    );
}

#[test]
fn probes_are_described_and_have_a_program() {
    let root = root().unwrap();
    let page = read(&root, "docs/monitors/ebpf.md");
    let probes = entries(&root, "npd-agent/src/monitor/ebpf/probes.rs", "PROBES");
    assert!(!probes.is_empty(), "no probes");
    let program = |name: &String| format!("npd-ebpf/src/programs/{name}.rs");
    assert_none(
        "a probe has the same name on both sides of the kernel boundary",
        probes
            .iter()
            .map(program)
            .filter(|path| !root.path_exists(path)),
    );
    assert_none(
        "a probe has a heading in docs/monitors/ebpf.md",
        probes.into_iter().filter(|name| !has_heading(&page, name)),
    );
}

#[test]
fn modules_have_a_row_in_the_code_map() {
    let root = root().unwrap();
    let page = read(&root, "docs/architecture.md");
    let map = page
        .split("\n## ")
        .find(|part| part.starts_with("Code map"));
    let rows = map.unwrap_or_default().lines().filter_map(|line| {
        let (name, content) = line.strip_prefix("| `")?.split_once("` | ")?;
        (!content.is_empty()).then(|| name.to_owned())
    });
    let rows: BTreeSet<String> = rows.collect();
    let no_part = ["lib", "fuzz"].map(str::to_owned); // the list of the modules, and tests
    let modules = files().unwrap().into_iter().filter_map(|file| {
        let path = file.path.strip_prefix("npd-agent/src/")?;
        Some(path.split(['/', '.']).next()?.to_owned())
    });
    let modules: BTreeSet<String> = modules.filter(|name| !no_part.contains(name)).collect();
    assert_none(
        "docs/architecture.md: each module has a row `| `NAME` | content |` in the code map, and \
         each row has its module",
        modules.symmetric_difference(&rows).cloned(),
    );
}

#[test]
fn links_lead_somewhere() {
    let root = root().unwrap();
    let mut broken = Vec::new();
    for file in files().unwrap() {
        if file.has_extension("md") {
            let folder = Path::new(&file.path).parent().unwrap();
            let leads_nowhere = |link: &&str| {
                let path = link.split('#').next().unwrap_or_default();
                !path.is_empty() && !link.contains("://") && !root.path_exists(folder.join(path))
            };
            let links = links(&file.text).into_iter().filter(leads_nowhere);
            broken.extend(links.map(|link| format!("{}: {link}", file.path)));
        }
    }
    assert_none("a relative link leads to a file", broken);
}

/// The targets of the links in `markdown`, fenced code aside.
fn links(markdown: &str) -> Vec<&str> {
    let text = markdown.split("```").step_by(2);
    text.flat_map(|text| text.split("](").skip(1))
        .filter_map(|rest| rest.split([')', ' ']).next())
        .collect()
}

/// The modules whose items make up the constant slice `name` in the file at `path`, which may not
/// be there yet.
pub(crate) fn entries(root: &Shell, path: &str, name: &str) -> Vec<String> {
    let text = read(root, path);
    let slice = text
        .split_once(&format!("const {name}:"))
        .and_then(|(_, rest)| rest.split_once("= &["))
        .and_then(|(_, rest)| rest.split_once("];"))
        .map_or("", |(slice, _)| slice);
    let is_item = |(end, _): &(usize, &str)| slice[end + 2..].starts_with(char::is_uppercase);
    let modules = slice.match_indices("::").filter(is_item).map(|(end, _)| {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let start = slice[..end].rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
        slice[start..end].to_owned()
    });
    modules.collect()
}

fn has_heading(page: &str, name: &str) -> bool {
    page.lines()
        .any(|line| line.starts_with('#') && line.contains(&format!("`{name}`")))
}

/// The text of a file, none if it is not there.
fn read(root: &Shell, path: &str) -> String {
    root.read_file(path).unwrap_or_default()
}
