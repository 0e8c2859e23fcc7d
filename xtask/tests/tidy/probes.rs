//! The code of a probe is in one folder of the agent and one file of the programs. Besides these, only
//! one line in a list has its name.

use crate::docs::entries;
use crate::{File, assert_none, files, root};

/// The list of all probes.
const PROBES: &str = "npd-agent/src/monitor/ebpf/probes.rs";

/// The list of probes whose incidents the kernel's log has too. It is below the probes, so it cannot
/// use their list.
const WORDINGS: &str = "npd-agent/src/kernel_text/mod.rs";

/// Where a word that is also a probe's name stands for something else: a collector, a counter of a
/// cgroup, a fault of a drill.
const OTHERS: &[&str] = &[
    "npd-agent/src/monitor/stats/",
    "npd-agent/src/exec/cgroup/",
    "npd-agent/src/tools/drill/",
];

#[test]
fn a_probe_is_named_in_one_line() {
    let probes = entries(&root().unwrap(), PROBES, "PROBES");
    assert!(!probes.is_empty(), "no probes in {PROBES}");
    let files = files().unwrap();
    let code = files.iter().filter(|file| is_code(file));
    let code = code.map(|file| (file.path.as_str(), lines(&file.text)));
    let code: Vec<_> = code.collect();
    let mut violations = Vec::new();
    for probe in &probes {
        for (path, lines) in &code {
            if is_room(path, probe) {
                continue;
            }
            let named = lines.iter().filter(|(_, line)| has_word(line, probe));
            // Each of the lists has one line for it.
            let listed = usize::from([PROBES, WORDINGS].contains(path));
            let places = named.skip(listed);
            violations.extend(places.map(|(number, _)| format!("{path}:{number}: {probe}")));
        }
    }
    assert_none(
        "a probe is named only in its rooms and in the lists of probes and wordings",
        violations,
    );
}

/// Whether `file` is code of the agent or of the programs, and no test.
fn is_code(file: &File) -> bool {
    let folders = ["npd-agent/src/", "npd-ebpf/src/"];
    let is_source = folders.iter().any(|folder| file.path.starts_with(folder));
    let is_test = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let is_other = OTHERS.iter().any(|folder| file.path.starts_with(folder));
    file.is_rust() && is_source && !is_test && !is_other
}

/// Whether the file at `path` belongs to the probe.
fn is_room(path: &str, probe: &str) -> bool {
    path == format!("npd-ebpf/src/programs/{probe}.rs")
        || path == format!("npd-agent/src/kernel_text/{probe}.rs")
        || path.starts_with(&format!("npd-agent/src/monitor/ebpf/{probe}/"))
}

/// The numbered lines of `text` without comments, tests, and declarations of modules, which Rust
/// needs for every file.
fn lines(text: &str) -> Vec<(usize, &str)> {
    let code = text.split("#[cfg(test)]\nmod tests {").next();
    let lines = code.unwrap_or_default().lines().zip(1..);
    let lines = lines.map(|(line, number)| (number, line.split("//").next().unwrap_or_default()));
    lines.filter(|(_, line)| !has_word(line, "mod")).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|found| found == word)
}

#[test]
fn code_after_the_declaration_of_tests_counts() {
    let named = |text| lines(text).iter().any(|(_, line)| has_word(line, "oom"));
    assert!(named(
        "#[cfg(test)]\nmod tests;\nconst X: &str = \"oom\";\n"
    ));
    assert!(!named(
        "#[cfg(test)]\nmod tests {\nconst X: &str = \"oom\";\n}\n"
    ));
}
