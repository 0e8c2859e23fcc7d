//! Every row of `tests/fixtures/npd/configs.tsv`: does the agent start where NPD does, and what is
//! said of the file?

use std::fmt::Write as _;
use std::fs;

use expect_test::{Expect, expect, expect_file};
use prometheus::Encoder as _;

use super::*;

const GOOD: &str = r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "pattern": "good"}]}"#;

#[test]
fn a_file_without_end_is_refused() {
    let error = read(Path::new("/dev/zero")).unwrap_err();
    let expected = "reading the config file /dev/zero: it is larger than 16 MiB";
    assert_eq!(format!("{error:#}"), expected);
}

/// The files of a folder, in the lists of the flags that they are for.
struct ConfigFolder(tempfile::TempDir);

impl ConfigFolder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file; the lists for it, with `beside` as a log monitor's.
    fn lists(&self, flag: &str, config: &str, beside: Option<&str>) -> Vec<Vec<PathBuf>> {
        let mut lists = vec![Vec::new(); KINDS.len()];
        let mut add = |flag: &str, name: &str, content: &str| {
            let path = self.0.path().join(name);
            fs::write(&path, content).unwrap();
            let kind = KINDS.iter().position(|kind| kind.flag.contains(flag));
            lists[kind.unwrap()].push(path);
        };
        if let Some(good) = beside {
            add("log", "good.json", good);
        }
        add(flag, "case.json", config);
        lists
    }
}

fn place(problem: &ConfigProblem) -> String {
    let ConfigProblem {
        line, column, path, ..
    } = problem;
    format!("{line}:{column} {path}").trim_end().to_owned()
}

/// Whether the agent starts with a file beside a good one, and where the file has problems.
fn outcome(flag: &str, config: &str) -> (bool, String) {
    let folder = ConfigFolder::new();
    match load(&folder.lists(flag, config, Some(GOOD)), &[]) {
        Ok(loaded) => {
            assert!(!loaded.monitors.is_empty(), "the good file is watched");
            let places: Vec<_> = loaded.problems.iter().map(place).collect();
            (true, places.join(", "))
        }
        Err(error) => match error.downcast_ref() {
            Some(problem) => (false, place(problem)),
            None => (false, format!("no place: {error:#}")),
        },
    }
}

/// The third column is NPD's: whether its master branch starts with the file beside a good one.
#[test]
fn the_agent_starts_with_what_npd_starts_with() {
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/npd/configs.tsv"
    );
    let table = fs::read_to_string(fixture).unwrap();
    let mut rows = String::new();
    for row in table.lines() {
        let [name, flag, npd_starts, _, config] = *row.split('\t').collect::<Vec<_>>() else {
            panic!("five columns: {row}");
        };
        if flag == "flag" {
            writeln!(rows, "{row}").unwrap();
            continue;
        }
        let content = config
            .replace('␤', "\n")
            .replace('␍', "\r")
            .replace('␉', "\t");
        let (starts, places) = outcome(flag, &content);
        let starts = if starts { "yes" } else { "no" };
        assert_eq!(starts, npd_starts, "{name}: {places}");
        writeln!(rows, "{name}\t{flag}\t{npd_starts}\t{places}\t{config}").unwrap();
    }
    expect_file![fixture].assert_eq(&rows);
}

/// NPD starts with each of them only beside another.
#[test]
fn files_of_which_none_can_watch_are_refused_together() {
    let folder = ConfigFolder::new();
    let journal = r#"{"plugin": "journald"}"#;
    let file = r#"{"plugin": "filelog", "pluginConfig": {"timestamp": "a", "message": "b",
        "timestampFormat": "2006"}}"#;
    let error = load(&folder.lists("log", journal, Some(file)), &[]).err();
    let error = format!("{:#}", error.unwrap());
    let words = [
        "no config file has anything to watch: ",
        "good.json:1:1: logPath: is missing; no file is read; ",
        "case.json:1:1: pluginConfig.source: is missing; no entry is read",
    ];
    assert!(words.iter().all(|words| error.contains(words)), "{error}");
}

#[test]
fn problems_are_counted_for_each_file_and_shown() {
    let folder = ConfigFolder::new();
    let config = r#"{"plugin": "kmsg", "rules": [{"patern": "x"}]}"#;
    let loaded = load(&folder.lists("log", config, Some(GOOD)), &[]).unwrap();
    let metrics = Metrics::new().unwrap();
    let status_page = StatusPage::new("n".to_owned(), jiff::Timestamp::UNIX_EPOCH);
    loaded.report(&metrics, &status_page);
    let mut page = Vec::new();
    let families = metrics.registry.gather();
    prometheus::TextEncoder::new()
        .encode(&families, &mut page)
        .unwrap();
    let page = String::from_utf8(page).unwrap();
    let folder = folder.0.path().display();
    for line in [
        format!("npd_config_problems{{monitor=\"{folder}/good.json\"}} 0\n"),
        format!("npd_config_problems{{monitor=\"{folder}/case.json\"}} 4\n"),
    ] {
        assert!(page.contains(&line), "{page}");
    }
    let shown = serde_json::to_value(&*status_page.read()).unwrap();
    let first = &shown["config_problems"][0];
    assert_eq!(first["file"], format!("{folder}/case.json"));
    assert_eq!((&first["line"], &first["column"]), (&1.into(), &31.into()));
    assert_eq!(first["field"], "rules[0].patern");
    assert_eq!(
        first["message"],
        "is not a key of this file; it has no effect"
    );
}

#[test]
fn a_file_that_is_named_twice_counts_once() {
    let folder = ConfigFolder::new();
    let mut lists = folder.lists("log", GOOD, None);
    let again = lists[0].clone();
    lists[0].extend(again);
    let loaded = load(&lists, &[]).unwrap();
    assert_eq!((loaded.monitors.len(), loaded.files.len()), (1, 1));
    assert_eq!(place(&loaded.problems[0]), "1:1");
}

/// NPD makes monitors ignore it as well, but says nothing.
#[test]
fn a_condition_counts_only_in_the_file_that_declares_it() {
    let conditions =
        r#""conditions": [{"type": "Sick", "reason": "Well", "message": "all is well"}]"#;
    let rules = r#""rules": [{"type": "permanent", "condition": "Sick", "pattern": "ill"}]"#;
    let folder = ConfigFolder::new();
    let declares = format!(r#"{{"plugin": "kmsg", {conditions}, {rules}}}"#);
    let only_uses = format!(r#"{{"plugin": "kmsg", {rules}}}"#);
    let loaded = load(&folder.lists("log", &only_uses, Some(&declares)), &[]).unwrap();
    let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
    let file = folder.0.path().join("case.json");
    assert_eq!(
        problems,
        [format!(
            "{}:1:65: rules[0].condition: \"Sick\" is not declared in conditions; the rule has no effect",
            file.display()
        )]
    );
}

/// The files that we ship, and those that are built in.
#[test]
fn our_own_files_have_no_problems() {
    let loaded = load(&vec![Vec::new(); KINDS.len()], &[]).unwrap();
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.files.len(), 14);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    let mut checked = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Some(kind) = kind_of(&path) else { continue };
        let mut problems = Vec::new();
        let loaded = (KINDS[kind].load)(&[read(&path).unwrap()], &mut problems);
        assert_eq!(problems, []);
        // A plugin's path need not be there.
        if let Err(error) = loaded {
            assert!(format!("{error:#}").contains("does not exist"), "{error:#}");
        }
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

/// Which kind of monitor a shipped file is for.
fn kind_of(path: &Path) -> Option<usize> {
    let config: serde_json::Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let flag = match config.get("plugin").and_then(serde_json::Value::as_str) {
        Some("kmsg" | "filelog" | "journald") => "log",
        Some("custom") => "plugin",
        Some("ebpf") => "ebpf",
        _ if ["cpu", "net", "links"]
            .iter()
            .any(|key| config.get(key).is_some()) =>
        {
            "stats"
        }
        _ => return None,
    };
    KINDS.iter().position(|kind| kind.flag.contains(flag))
}

/// What runs without any flag, as `/status` names it. All files on `/dev/kmsg` are one monitor.
#[test]
fn the_built_in_files_are_loaded_if_none_is_named() {
    let names = |configs: &[Vec<PathBuf>]| {
        let loaded = load(configs, &[]).unwrap();
        let monitors = loaded.monitors.iter();
        let monitors =
            monitors.map(|monitor| (monitor.name().to_owned(), monitor.declarations().len()));
        let files = loaded.files.iter().map(ToString::to_string);
        (monitors.collect::<Vec<_>>(), files.collect::<Vec<_>>())
    };
    let (monitors, files) = names(&vec![Vec::new(); KINDS.len()]);
    let expect = [
        ("kmsg", 11),
        ("system-stats builtin:system-stats-monitor.json", 1),
        ("system-stats builtin:links-monitor.json", 1),
        ("ebpf", 1),
    ];
    assert_eq!(monitors, expect.map(|(name, of)| (name.to_owned(), of)));
    assert_eq!(
        files,
        [
            "builtin:kernel/core.json",
            "builtin:kernel/init.json",
            "builtin:kernel/memory.json",
            "builtin:kernel/cpu.json",
            "builtin:kernel/pcie.json",
            "builtin:kernel/block.json",
            "builtin:kernel/filesystems.json",
            "builtin:kernel/network.json",
            "builtin:kernel/network-storage.json",
            "builtin:kernel/limits.json",
            "builtin:kernel/gpu.json",
            "builtin:system-stats-monitor.json",
            "builtin:links-monitor.json",
            "builtin:ebpf-monitor.json",
        ]
    );
    // One file of one kind is enough to run nothing else.
    let folder = ConfigFolder::new();
    let (monitors, files) = names(&folder.lists("log", GOOD, None));
    assert_eq!((monitors, files.len()), (vec![("kmsg".to_owned(), 1)], 1));
}

/// The agent says which file is wrong, where in it, and what is wrong there.
#[test]
fn an_error_leads_to_the_place_in_the_file() {
    #[track_caller]
    fn check(flag: &str, config: &str, expect: &Expect) {
        let folder = ConfigFolder::new();
        let said = match load(&folder.lists(flag, config, None), &[]) {
            Ok(loaded) => {
                let problems = loaded.problems.iter().map(ToString::to_string);
                format!(
                    "it starts, and says: {}",
                    problems.collect::<Vec<_>>().join("; ")
                )
            }
            Err(error) => format!("{error:#}"),
        };
        let folder = format!("{}/", folder.0.path().display());
        expect.assert_eq(&said.replace(&folder, ""));
    }
    check(
        "log",
        "",
        &expect!["case.json:1:1: EOF while parsing a value"],
    );
    check(
        "log",
        "{\n  \"plugin\": \"kmsg\",\n}",
        &expect!["case.json:3:1: key must be a string"],
    );
    check(
        "log",
        "{\n  \"plugin\": 7\n}",
        &expect![
            "case.json:2:13: plugin: invalid type: integer `7`, expected kmsg, filelog or journald"
        ],
    );
    check(
        "log",
        r#"{"plugin": "kmesg"}"#,
        &expect![
            "case.json:1:12: plugin: unknown variant `kmesg`, expected one of `kmsg`, `filelog`, `journald`"
        ],
    );
    let rules = |plugin: &str, rule: &str| {
        format!("{{\"plugin\": \"{plugin}\", \"rules\": [\n    {rule}\n]}}")
    };
    let rule = rules("kmsg", r#"{"type": "temporary", "pattern": "("}"#);
    check(
        "log",
        &rule,
        &expect!["case.json:2:38: rules[0].pattern: error parsing regexp: missing closing ): `(`"],
    );
    let rule = rules("kmsg", r#"{"type": "permament", "pattern": "x"}"#);
    check(
        "log",
        &rule,
        &expect![[
            r#"it starts, and says: case.json:2:14: rules[0].type: "permament" is neither temporary nor permanent; the rule counts as permanent; case.json:2:5: rules[0].condition: is missing; the rule has no effect"#
        ]],
    );
    let rule = rules(
        "custom",
        r#"{"type": "temporary", "path": "builtin:coffee"}"#,
    );
    check(
        "plugin",
        &rule,
        &expect![[r#"case.json:2:35: rules[0].path: there is no built-in plugin "coffee""#]],
    );
    check(
        "stats",
        "{\n  \"invokeInterval\": \"soon\"\n}",
        &expect![[r#"case.json:2:21: invokeInterval: time: invalid duration "soon""#]],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let mut lists = vec![Vec::new(); KINDS.len()];
    lists[0].push(PathBuf::from("/no/such/file.json"));
    let error = format!("{:#}", load(&lists, &[]).err().unwrap());
    assert_eq!(
        error,
        "reading the config file /no/such/file.json: No such file or directory (os error 2)"
    );
}

/// What flags may name beside paths.
#[test]
fn files_that_are_built_in_have_names() {
    let log = |names: &[&str]| {
        let mut configs = vec![Vec::new(); KINDS.len()];
        let kind = KINDS.iter().position(|kind| kind.flag.contains("log"));
        configs[kind.unwrap()] = names.iter().map(PathBuf::from).collect();
        load(&configs, &[]).map(|loaded| {
            let files = loaded.files.iter().map(ToString::to_string);
            (files.collect::<Vec<_>>(), loaded.problems.len())
        })
    };
    let npd = [
        "builtin:kernel-monitor.json",
        "builtin:readonly-monitor.json",
    ];
    assert_eq!(log(&npd).unwrap().0, npd);
    let (all, _) = log(&["builtin"]).unwrap();
    assert_eq!(all.len(), 11);
    let (more, problems) = log(&["builtin", "builtin:kernel/gpu.json", npd[0]]).unwrap();
    assert_eq!((more.len(), problems), (12, 1), "one is named twice");
    let error = log(&["builtin:coffee.json"]).unwrap_err().to_string();
    assert!(
        error.contains("no such config file, only builtin:kernel/core.json"),
        "{error}"
    );
}
