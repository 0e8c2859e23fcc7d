//! Compares how a program reads command lines with recordings of NPD's program of the same name.

use std::collections::BTreeMap;
use std::ffi::OsString;

use serde_json::Value;

use crate::go::pflag::{ParsedLine, Program};

/// A command line and what NPD did with it.
struct RecordedLine {
    words: Vec<String>,
    /// `runs`, or the exit code.
    outcome: String,
    /// `line` if the line alone caused the outcome, `start` if something that the line names did.
    decided_by: String,
    /// The final values of the flags on the line, as pflag prints them. For a list: its files.
    values: BTreeMap<String, Value>,
    ignored: Vec<String>,
}

/// The rows of a program.
fn rows(program: &str) -> Vec<RecordedLine> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/npd/command-lines.tsv"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.filter_map(|line| {
        let [of, words, outcome, decided_by, values, ignored, _ours] =
            *line.split('\t').collect::<Vec<_>>()
        else {
            panic!("{line}");
        };
        (of == program).then(|| RecordedLine {
            words: serde_json::from_str(words).unwrap(),
            outcome: serde_json::from_str(outcome).unwrap(),
            decided_by: serde_json::from_str(decided_by).unwrap(),
            values: serde_json::from_str(values).unwrap(),
            ignored: serde_json::from_str(ignored).unwrap(),
        })
    });
    rows.collect()
}

/// The result of a line: the values and the ignored words; `None` if the program only prints something.
type LineOutcome<T> = Result<Option<(T, Vec<String>)>, String>;

/// Checks that `parse` reads each row as NPD's program `npd` does. `value` returns the value of a flag,
/// as pflag prints it, or a list.
pub(crate) fn check<T>(
    npd: &str,
    parse: impl Fn(Vec<OsString>) -> LineOutcome<T>,
    value: fn(&T, &str) -> Value,
) {
    let rows = rows(npd);
    assert!(rows.len() > 40, "{} rows of {npd}", rows.len());
    for row in rows {
        let words = &row.words;
        let parsed = parse(words.iter().map(OsString::from).collect());
        let (values, ignored) = match (&*row.outcome, &*row.decided_by, parsed) {
            ("2", "line", Err(_)) | ("0", "line", Ok(None)) => continue,
            (_, "start", Ok(Some(found))) => found,
            (outcome, _, parsed) => {
                let ours = parsed.map(|run| if run.is_some() { "runs" } else { "prints" });
                panic!("{words:?}: NPD's {outcome}, {ours:?}");
            }
        };
        assert_eq!(ignored, row.ignored, "{words:?}");
        for (flag, expect) in row.values {
            assert_eq!(value(&values, &flag), expect, "{words:?} {flag}");
        }
    }
}

/// The result of a line, for a program that checks nothing but its flags.
pub(crate) fn outcome<T: Default>(program: &Program<T>, line: Vec<OsString>) -> LineOutcome<T> {
    match program.parse(line) {
        Ok(ParsedLine::Run(values, words)) => Ok(Some((values, words.words))),
        Ok(ParsedLine::Help(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
