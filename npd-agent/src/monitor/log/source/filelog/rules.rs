//! The rules of one config file on a log file.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use regex::bytes;

use super::translate::Translator;
use crate::monitor::log::rule_set::{Remembered, RuleSet};
use crate::problem::{Finding, Witness};

/// The rules of one config file, and how they read a line.
pub(super) struct FileRules {
    pub(super) set: RuleSet,
    translator: Translator,
    /// From when on lines count. Fixed when first run.
    start: Option<Timestamp>,
    /// Lines that were looked at and had no time or no message.
    pub(super) untranslated: u64,
}

/// When lines are read, and where.
pub(super) struct Circumstances {
    pub(super) now: Timestamp,
    pub(super) uptime: Duration,
    pub(super) zone: TimeZone,
}

impl FileRules {
    pub(super) fn new(set: RuleSet, translator: Translator) -> Self {
        Self {
            set,
            translator,
            start: None,
            untranslated: 0,
        }
    }

    /// From when on lines count.
    pub(super) fn start(&mut self, at: &Circumstances) -> Timestamp {
        let Self { set, start, .. } = self;
        *start.get_or_insert_with(|| set.window.start_time(at.now, at.uptime))
    }

    /// Reading goes on where it stopped, however long ago.
    pub(super) fn resume(&mut self, remembered: &Remembered) {
        self.set.remember(remembered);
        self.set.window = self.set.window.resumed();
    }

    /// Takes in lines that were read before the agent was started.
    pub(super) fn recall(&mut self, lines: &[u8], at: &Circumstances) {
        if !self.set.matcher.spans() {
            return;
        }
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(bare(line));
            if !self.set.skips(&line)
                && let Some(message) = self.translator.message(&line)
                && let Some(time) = self.translator.time(&line, &at.zone, at.now)
            {
                self.set.matcher.recall(time, message);
            }
        }
    }

    /// The time of a line.
    pub(super) fn time(&self, line: &[u8], at: &Circumstances) -> Option<Timestamp> {
        self.translator
            .time(&String::from_utf8_lossy(bare(line)), &at.zone, at.now)
    }

    /// Takes in whole lines.
    pub(super) fn take(&mut self, lines: &[u8], at: &Circumstances, found: &mut Vec<Finding>) {
        let Some(prefilter) = self.set.matcher.prefilter() else {
            for line in lines.split_inclusive(|&byte| byte == b'\n') {
                self.take_line(line, at, found);
            }
            return;
        };
        let candidates = candidates(prefilter, lines);
        if candidates.first().is_none_or(|first| first.start > 0) {
            // Nothing else tells that the file is not written as the config says.
            self.check_line(lines, at);
        }
        for line in candidates {
            self.take_line(&lines[line], at, found);
        }
    }

    /// Counts the first of `lines` if it cannot be read.
    fn check_line(&mut self, lines: &[u8], at: &Circumstances) {
        let line = lines
            .split_inclusive(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        let text = String::from_utf8_lossy(bare(line));
        let translated = self.translator.message(&text).is_some() && self.time(line, at).is_some();
        if !translated && !self.set.skips(&text) {
            self.untranslated += 1;
        }
    }

    fn take_line(&mut self, line: &[u8], at: &Circumstances, found: &mut Vec<Finding>) {
        let line = String::from_utf8_lossy(bare(line));
        if self.set.skips(&line) {
            return;
        }
        let start = self.start(at);
        let Some(message) = self.translator.message(&line) else {
            self.untranslated += 1;
            return;
        };
        if !self.set.matcher.concerns(message) {
            return;
        }
        match self.translator.time(&line, &at.zone, at.now) {
            Some(time) if time >= start => {
                found.extend(self.set.take(time, message, Witness::Other));
            }
            Some(_) => {}
            None => self.untranslated += 1,
        }
    }
}

/// The lines in which `prefilter` finds something.
fn candidates(prefilter: &bytes::Regex, lines: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(hit) = prefilter.find_at(lines, from) {
        let newline = |&byte: &u8| byte == b'\n';
        let start = lines[from..hit.start()].iter().rposition(newline);
        let end = lines[hit.end()..].iter().position(newline);
        let start = start.map_or(from, |newline| from + newline + 1);
        let end = end.map_or(lines.len(), |newline| hit.end() + newline + 1);
        found.push(start..end);
        from = end;
    }
    found
}

/// A line without its end, and without the zeros before it: a writer that does not append leaves a
/// hole in a file that was truncated.
fn bare(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let zeros = line.iter().take_while(|&&byte| byte == 0).count();
    &line[zeros..]
}
