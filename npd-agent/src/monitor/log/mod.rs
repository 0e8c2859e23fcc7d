//! `--config.system-log-monitor`: reads logs and looks for patterns.
//!
//! It sees what was logged: by the kernel (`kmsg`), or by a program in the journal (`journald`) or in a
//! file (`filelog`). It cannot see what was never logged, or was logged in other words than the rule's.
//! The `ebpf` monitor asks the kernel itself.
//!
//! One reader feeds the rules of every config file on its source, and looks for the literals of all of
//! them at once.

mod config;
mod memory;
mod node_storage;
pub mod replay;
mod report;
mod rule;
mod rule_set;
mod source;

use std::collections::BTreeMap;

use crate::go::json::ConfigProblem;
use crate::monitor::{ConfigFile, MonitorKind, Monitors};

use self::config::Source;
use self::source::filelog::LogFile;
use self::source::journald::JournalLog;
use self::source::kmsg::KernelLog;

#[cfg(any(test, fuzzing))]
pub use self::source::{filelog::fuzz::filelog_translator, kmsg::fuzz::kmsg_record};

/// `--config.system-log-monitor`.
pub const KIND: MonitorKind = MonitorKind {
    flag: "--config.system-log-monitor",
    deprecated: Some("--system-log-monitors"),
    help: "Config files of monitors that look for patterns in logs",
    load,
};

fn load(files: &[ConfigFile], problems: &mut Vec<ConfigProblem>) -> anyhow::Result<Monitors> {
    let parsed = files.iter().map(|file| config::parse(file, problems));
    let mut parsed = parsed.collect::<Result<Vec<_>, _>>()?;
    memory::share(parsed.iter_mut().map(|(_, set)| set).collect());
    let mut kmsg = Vec::new();
    let mut log_files = BTreeMap::<_, Vec<_>>::new();
    let mut journals = BTreeMap::<_, Vec<_>>::new();
    for parsed in parsed {
        match parsed {
            (Some(Source::Kmsg), set) => kmsg.push(set),
            (Some(Source::File(path, translator)), set) => {
                log_files.entry(path).or_default().push((set, translator));
            }
            (Some(Source::Journal(folder, wanted)), set) => {
                journals.entry((folder, wanted)).or_default().push(set);
            }
            // NPD does not start this one, and runs the others.
            (None, _) => {}
        }
    }
    let mut monitors = Monitors::new();
    if !kmsg.is_empty() {
        monitors.push(Box::new(KernelLog::new(kmsg)?));
    }
    let longest_line = memory::longest_line(log_files.len());
    for (path, sets) in log_files {
        monitors.push(Box::new(LogFile::new(path, sets, longest_line)?));
    }
    for ((folder, wanted), sets) in journals {
        monitors.push(Box::new(JournalLog::new(folder, wanted, sets)?));
    }
    Ok(monitors)
}
