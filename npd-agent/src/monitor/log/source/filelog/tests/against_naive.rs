//! A log file is read as a naive reader would, however it is written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use npd_tests::naive::{Match, Naive};
use proptest::prelude::*;
use regex::Regex;
use serde_json::json;

use super::super::worker::FileWorker;
use crate::go::regex::compile_anchored;
use crate::monitor::ConfigFile;
use crate::monitor::log::config::{self, Source};
use crate::monitor::log::source::follow::{FollowStep, Worker as _};

/// The patterns: with and without a required literal, and some that depend on the text before the
/// match.
const PATTERNS: [&str; 16] = [
    "abc ?",
    "(?i)the .*efg",
    "b+",
    "",
    "abc|bcd",
    r"abc\s.*bcd",
    r"abc.*\n.*the.*",
    r"(?s)bcd.*EFG",
    r"(?s)bcd.*\S+ the",
    "^the",
    "(?m)^the.*",
    r"(?i)EFG[^b]*",
    r"the\W*$",
    r"caf\x{fffd} .*",
    "\u{e9}abc",
    r"(?s)\A.*the the",
];

/// A line: its time, its text and its end.
fn line() -> impl Strategy<Value = (usize, Vec<u8>, &'static str)> {
    let words: [&[u8]; 9] = [
        b"abc",
        b"bcd",
        b"the ",
        b"EFG",
        b" ",
        b"b",
        b"caf\xe9 ",
        b"\xc3\xa9",
        b"x",
    ];
    let words = prop::sample::select(words.to_vec());
    let text = prop::collection::vec(words, 0..5).prop_map(|words| words.concat());
    let end = prop::sample::select(vec!["\n", "\n", "\r\n", "\r\r\n"]);
    (0_usize..8, text, end)
}

/// What the agent finds in a file that is written in `pieces`.
fn agent(config: &serde_json::Value, path: &Path, pieces: &[&[u8]]) -> Vec<Match> {
    let file = ConfigFile {
        name: Arc::from("log.json"),
        dir: None,
        bytes: config.to_string().into_bytes(),
    };
    let (Some(Source::File(_, translator)), set) = config::parse(&file, &mut Vec::new()).unwrap()
    else {
        panic!("it is a file");
    };
    let mut worker = FileWorker::new(path.to_owned(), vec![(set, translator)]).unwrap();
    let mut log = File::create(path).unwrap();
    let mut found = Vec::new();
    for piece in pieces {
        log.write_all(piece).unwrap();
        loop {
            let batch = worker.read(None);
            found.extend(batch.findings.into_iter().map(|finding| {
                let index = finding.problem.reason.trim_start_matches('R');
                (index.parse().unwrap(), finding.timestamp, finding.message)
            }));
            if batch.step.unwrap() == FollowStep::End {
                break;
            }
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_agent_finds_what_a_naive_reader_finds(
        lines in prop::collection::vec(line(), 1..60),
        patterns in prop::collection::vec(prop::sample::select(PATTERNS.to_vec()), 1..5),
        others in prop::sample::select(vec![0, 1, 100]),
        capacity in 1_usize..5,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let now = Timestamp::now();
        let mut text = Vec::new();
        for (number, (time, line, end)) in (0..).zip(lines) {
            let ago = match time {
                0 => SignedDuration::from_hours(24 * 365),
                _ => SignedDuration::from_micros(-number),
            };
            match time {
                1 => {}
                2 => text.extend(b"x "),
                _ => text.extend(format!("{} ", now - ago).bytes()),
            }
            text.extend(line);
            text.extend(end.bytes());
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();

        let others = (0..others).map(|number| format!("never {number}"));
        let patterns: Vec<_> = patterns.into_iter().map(str::to_owned).chain(others).collect();
        let rule = |(index, pattern): (usize, &String)| {
            json!({"type": "temporary", "reason": format!("R{index}"), "pattern": pattern})
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let config = json!({
            "plugin": "filelog",
            "logPath": path,
            "lookback": "1h",
            "bufferSize": capacity,
            "skipList": ["bb"],
            "pluginConfig": {
                "timestamp": r"^\S+",
                "message": " (.*)",
                "timestampFormat": "2006-01-02T15:04:05.999999999Z07:00",
            },
            "rules": patterns.iter().enumerate().map(rule).collect::<Vec<_>>(),
        });
        let mut naive = Naive {
            message: Regex::new(" (.*)").unwrap(),
            time: |line: &str| line.split_whitespace().next()?.parse().ok(),
            start: now - SignedDuration::from_hours(1),
            skip_list: vec!["bb".to_owned()],
            patterns: patterns.iter().map(|pattern| compile_anchored(pattern).unwrap()).collect(),
            capacity,
            ring: VecDeque::new(),
        };
        let lines = text.split_inclusive(|&byte| byte == b'\n');
        let expected: Vec<Match> = lines.flat_map(|line| naive.line(line)).collect();
        prop_assert_eq!(agent(&config, &path, &pieces), expected);
    }
}
