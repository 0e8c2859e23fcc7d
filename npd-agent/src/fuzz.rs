//! What reads what others wrote: the targets of the fuzzers in `fuzz/`, which is all that this is
//! built for, and for the test that reads their corpora.
//!
//! Whatever a target is given, it must neither panic nor hang, nor take more and more memory.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

pub use crate::hub::fuzz::hub;
pub use crate::journal::fuzz::journal_file;
pub use crate::monitor::log::{filelog_translator, kmsg_record};

use crate::go::layout::TimeLayout;
use crate::monitor::{ConfigFile, KINDS, condition_types};

/// A config file, of every kind of monitor.
pub fn config(bytes: &[u8]) {
    let file = ConfigFile {
        name: Arc::from("fuzz.json"),
        dir: Some(PathBuf::from(".")),
        bytes: bytes.to_vec(),
    };
    for kind in KINDS {
        match (kind.load)(std::slice::from_ref(&file), &mut Vec::new()) {
            Ok(monitors) => drop(condition_types(&monitors)),
            Err(error) => drop(format!("{error:#}")),
        }
    }
}

/// A time layout, up to the first line break, and then a text.
///
/// # Panics
/// If a text without a year is from the future.
pub fn go_layout(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (layout, text) = text.split_once('\n').unwrap_or((&text, ""));
    let layout = TimeLayout::new(layout);
    match layout.parse(text) {
        Ok(parsed) => {
            for zone in zones() {
                let timestamp = parsed.to_timestamp(&zone, now());
                if let (Ok(timestamp), 0) = (timestamp, parsed.civil.year()) {
                    assert!(
                        timestamp <= now() + SignedDuration::from_hours(24),
                        "not yet"
                    );
                }
            }
        }
        Err(error) => drop(error.to_string()),
    }
}

/// When the fuzzers' texts are read.
pub(crate) fn now() -> Timestamp {
    Timestamp::constant(1_795_521_600, 0)
}

/// Where they were written.
pub(crate) fn zones() -> impl Iterator<Item = TimeZone> {
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3");
    [TimeZone::UTC].into_iter().chain(berlin)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn check(target: &str, run: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let entries = fs::read_dir(corpus.join(target)).unwrap();
        let entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        assert!(!entries.is_empty(), "the corpus is empty");
        for entry in entries {
            eprintln!("{}", entry.display());
            run(&fs::read(entry).unwrap());
        }
    }

    #[test]
    fn what_the_fuzzers_have_found_is_read() {
        check("config", config);
        check("filelog_translator", filelog_translator);
        check("go_layout", go_layout);
        check("hub", hub);
        check("journal_file", journal_file);
        check("kmsg_record", kmsg_record);
    }
}
