//! The rules of one config file on a log file.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::translate::LineTranslator;
use crate::logs::entry_clock::{CountedFrom, EntryClock};
use crate::monitor::log::rule_set::{Remembered, RuleSet};
use crate::node::clock::ClockReading;
use crate::problem::{Finding, Witness};

/// The rules of one config file, and how they read a line.
pub(super) struct FileRules {
    pub(super) set: RuleSet,
    translator: LineTranslator,
    /// Lines count from this time on. Set at the first read.
    start: Option<CountedFrom>,
    /// How many parsed lines had no time or no message.
    pub(super) untranslated: u64,
}

/// The time at which lines are read, and the local time zone.
pub(super) struct ReadContext {
    pub(super) now: ClockReading,
    pub(super) uptime: Duration,
    pub(super) clock: EntryClock,
    pub(super) zone: TimeZone,
}

impl FileRules {
    pub(super) fn new(set: RuleSet, translator: LineTranslator) -> Self {
        Self {
            set,
            translator,
            start: None,
            untranslated: 0,
        }
    }

    /// Lines count from this time on.
    pub(super) fn start(&mut self, at: &ReadContext) -> Timestamp {
        let Self { set, start, .. } = self;
        start
            .get_or_insert_with(|| CountedFrom::new(set.window, at.now, at.uptime))
            .at(at.now)
    }

    /// Continues after a restart: all lines since the saved position count, however old.
    pub(super) fn resume(&mut self, remembered: &Remembered) {
        self.set.remember(remembered);
        self.set.window = self.set.window.resumed();
    }

    /// Takes lines that an earlier agent has read, so that patterns can span them.
    pub(super) fn take_seen(&mut self, lines: &[u8], at: &ReadContext) {
        if !self.set.matcher.spans() {
            return;
        }
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(bare(line));
            if let Some((time, message)) = self.entry(&line, at) {
                self.set.matcher.push_seen(time, message);
            }
        }
    }

    /// The time of a line.
    pub(super) fn time(&self, line: &[u8], at: &ReadContext) -> Option<Timestamp> {
        self.translator
            .time(&String::from_utf8_lossy(bare(line)), &at.zone, at.now.wall)
    }

    /// Matches whole lines. `offsets` are those of literals of these rules, see
    /// [`crate::logs::matcher::LineFinder::find`].
    pub(super) fn take(
        &mut self,
        lines: &[u8],
        offsets: &[usize],
        at: &ReadContext,
        found: &mut Vec<Finding>,
    ) {
        self.start(at);
        let first = line_at(lines, 0);
        let is_first_taken = offsets
            .first()
            .is_some_and(|&offset| first.contains(&offset));
        if !is_first_taken && !self.set.matcher.is_armed() {
            // Parse the first line in any case: if the config does not fit the file, this counts it.
            self.check_line(&lines[first], at);
        }
        let mut offsets_left = offsets.iter();
        let mut taken = 0;
        while taken < lines.len() {
            let offset = if self.set.matcher.is_armed() {
                taken
            } else {
                let next = offsets_left.find(|&&offset| offset >= taken);
                let Some(&next) = next else { break };
                next
            };
            let line = line_at(lines, offset);
            self.skip(&lines[taken..line.start], at);
            self.take_line(&lines[line.clone()], at, found);
            taken = line.end;
        }
        self.skip(&lines[taken..], at);
    }

    /// Skips lines that no rule can match. If a pattern spans lines, the last of them still go into
    /// the matcher's buffer.
    fn skip(&mut self, lines: &[u8], at: &ReadContext) {
        let mut missing = self.set.matcher.context_size();
        let mut from = lines.len();
        while missing > 0 && from > 0 {
            from = line_at(lines, from - 1).start;
            let line = String::from_utf8_lossy(bare(&lines[line_at(lines, from)]));
            missing -= u64::from(self.entry(&line, at).is_some());
        }
        for line in lines[from..].split_inclusive(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(bare(line));
            if let Some((time, message)) = self.entry(&line, at) {
                self.set.matcher.push_unmatched(time, message);
            }
        }
    }

    /// The time and message of a line, if it counts.
    fn entry<'l>(&mut self, line: &'l str, at: &ReadContext) -> Option<(Timestamp, &'l str)> {
        if self.set.skips(line) {
            return None;
        }
        let message = self.translator.message(line)?;
        let time = self.translator.time(line, &at.zone, at.now.wall)?;
        (time >= self.start(at)).then_some((time, message))
    }

    /// Counts a line in `untranslated` if its time or message is not found.
    fn check_line(&mut self, line: &[u8], at: &ReadContext) {
        let text = String::from_utf8_lossy(bare(line));
        let translated = self.translator.message(&text).is_some() && self.time(line, at).is_some();
        if !translated && !self.set.skips(&text) {
            self.untranslated += 1;
        }
    }

    fn take_line(&mut self, line: &[u8], at: &ReadContext, found: &mut Vec<Finding>) {
        let line = String::from_utf8_lossy(bare(line));
        if self.set.skips(&line) {
            return;
        }
        let start = self.start(at);
        let Some(message) = self.translator.message(&line) else {
            self.untranslated += 1;
            return;
        };
        if !self.set.matcher.needs(message) {
            return;
        }
        match self.translator.time(&line, &at.zone, at.now.wall) {
            Some(time) if time >= start => {
                let written = at.clock.written(time, at.now);
                found.extend(self.set.take(written, message, Witness::Other));
            }
            Some(_) => {}
            None => self.untranslated += 1,
        }
    }
}

/// The line that contains the byte at `offset`, with its newline.
fn line_at(lines: &[u8], offset: usize) -> Range<usize> {
    let newline = |&byte: &u8| byte == b'\n';
    let start = lines[..offset].iter().rposition(newline);
    let end = lines[offset..].iter().position(newline);
    start.map_or(0, |newline| newline + 1)..end.map_or(lines.len(), |newline| offset + newline + 1)
}

/// A line without its newline, and without leading zeros: if a file is truncated and its writer does
/// not use `O_APPEND`, the file gets a hole of zeros.
fn bare(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let zeros = line.iter().take_while(|&&byte| byte == 0).count();
    &line[zeros..]
}
