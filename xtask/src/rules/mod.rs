//! `cargo xtask rules`: which kernels can print what each rule for the kernel's log matches.

mod formats;
mod kernels;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use xshell::Shell;

use self::formats::FormatStrings;
use self::kernels::{KERNELS, strings};
use crate::Command;
use crate::workspace::say;

pub(crate) const COMMAND: Command = Command {
    name: "rules",
    args: "",
    help: "Fetches Debian's kernels, and writes docs/rules.md: which of them can print what each rule\n\
           for the kernel's log matches. Fails if no kernel can print what a rule looks for.",
    run,
};

const PAGE: &str = "docs/rules.md";
const FOLDERS: [&str; 2] = ["deploy/config/kernel", "deploy/config"];
/// NPD's own files for the kernel's log.
const NPDS: [&str; 2] = ["kernel-monitor.json", "readonly-monitor.json"];

const HEAD: &str = "# Which kernels can print what the rules match

```console
$ cargo xtask rules   # fetches Debian's kernels, and writes this page
```

For each rule, a line that it reports, and the kernels that have a format string which can print this line or another line of the rule's fixture.
`-` means that no format string of that kernel explains any of the lines.
The column `ends` says what ends a fault, whatever comes first; a rule with an empty one reports events, which need no end.
Some wordings are of older kernels, of drivers outside the kernel, or of programs; these rules are marked.
";

/// What prints a line, if it is not a kernel of Debian's.
const OTHERS: &[(&str, &str)] = &[
    ("NVRM: ", "NVIDIA's driver"),
    ("nvidia-", "NVIDIA's driver"),
    ("WARNING: Pool", "OpenZFS"),
    ("Lustre: ", "Lustre"),
    ("systemd[1]: ", "systemd"),
    ("Killed process ", "before 5.0"),
    ("Internal error: ", "arm64"),
    ("SError Interrupt ", "arm64"),
    ("Unable to handle kernel ", "arm64"),
];

/// A rule, and the lines of its fixture that it reports.
struct ProvenRule {
    file: String,
    reason: String,
    severity: String,
    action: String,
    /// How what it reports ends.
    end: String,
    lines: Vec<String>,
}

fn run(shell: &Shell, _: &[String]) -> anyhow::Result<()> {
    let rules = rules(shell)?;
    let mut columns = Vec::new();
    for kernel in KERNELS {
        say(format_args!("{kernel}"));
        let formats = FormatStrings::new(&strings(shell, kernel)?);
        let explained = rules.iter().map(|rule| {
            let mut lines = rule.lines.iter();
            lines.any(|line| formats.explain(line))
        });
        columns.push(explained.collect::<Vec<_>>());
    }
    let mut page = HEAD.to_owned();
    let mut dead = Vec::new();
    let mut file = "";
    for (index, rule) in rules.iter().enumerate() {
        if file != rule.file {
            file = &rule.file;
            write!(
                page,
                "\n## `{file}`\n\n| reason | severity | action | ends | for example |"
            )?;
            KERNELS
                .iter()
                .try_for_each(|kernel| write!(page, " {kernel} |"))?;
            page += "\n| --- | --- | --- | --- | --- |";
            page += &" --- |".repeat(KERNELS.len());
            page.push('\n');
        }
        let example = rule.lines.first().map_or("", String::as_str);
        let other = OTHERS.iter().find(|(start, _)| example.starts_with(start));
        let alive = columns.iter().any(|column| column[index]);
        let by_npd = NPDS.contains(&file);
        if !alive && other.is_none() && !by_npd {
            dead.push(format!("{file}: {}: {example}", rule.reason));
        }
        let example = example
            .replace('|', "\\|")
            .replace('`', "'")
            .replace("](", "] (");
        let ProvenRule {
            reason,
            severity,
            action,
            end,
            ..
        } = rule;
        write!(
            page,
            "| `{reason}` | {severity} | {action} | {end} | `{example}` |"
        )?;
        for column in &columns {
            let cell = match (column[index], other) {
                (true, _) => "yes",
                (false, Some((_, by))) if !alive => by,
                (false, _) => "-",
            };
            write!(page, " {cell} |")?;
        }
        page.push('\n');
    }
    shell.write_file(PAGE, page)?;
    say(format_args!("wrote {PAGE}"));
    ensure!(
        dead.is_empty(),
        "no kernel can print what these look for:\n{}",
        dead.join("\n")
    );
    Ok(())
}

/// The rules of our files, and then of NPD's.
fn rules(shell: &Shell) -> anyhow::Result<Vec<ProvenRule>> {
    let mut rules = Vec::new();
    for folder in FOLDERS {
        for path in shell.read_dir(folder)? {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let ours = folder.ends_with("kernel");
            if !ours && !NPDS.contains(&&*name) {
                continue;
            }
            let config: Value = serde_json::from_str(&shell.read_file(&path)?)?;
            for rule in config["rules"].as_array().context("a config has rules")? {
                let reason = rule["reason"].as_str().context("a rule has a reason")?;
                let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
                rules.push(ProvenRule {
                    file: name.clone(),
                    reason: reason.to_owned(),
                    severity: text("severity"),
                    action: text("action"),
                    end: end(rule),
                    lines: lines(shell, reason, rule)?,
                });
            }
        }
    }
    Ok(rules)
}

/// How the condition of a rule ends, or after which line the next fault is news.
fn end(rule: &Value) -> String {
    let mut ends = Vec::new();
    if !rule["clearPattern"].is_null() {
        ends.push("with a line".to_owned());
    }
    if let Some(after) = rule["clearAfter"].as_str() {
        ends.push(format!("{after} after the last"));
    }
    if !rule["mountPoints"].is_null() {
        ends.push("when unmounted".to_owned());
    }
    if rule["type"] == "permanent" {
        ends.push("at the next boot".to_owned());
    }
    ends.join(", ")
}

/// The lines of a rule's fixture that it reports, the first ones first.
fn lines(shell: &Shell, reason: &str, rule: &Value) -> anyhow::Result<Vec<String>> {
    let pattern = rule["pattern"].as_str().context("a rule has a pattern")?;
    let pattern = if rule["match"].is_null() {
        format!(r"(?:{pattern})\z")
    } else {
        format!(r"\A(?:{pattern})")
    };
    let pattern = regex::Regex::new(&pattern)?;
    let fixture = shell.read_file(format!("tests/fixtures/rules/{reason}.txt"))?;
    let lines = fixture.lines().filter_map(|line| line.strip_prefix("= "));
    let mut seen = BTreeSet::new();
    Ok(lines
        .filter(|line| pattern.is_match(line) && seen.insert(*line))
        .map(str::to_owned)
        .collect())
}
