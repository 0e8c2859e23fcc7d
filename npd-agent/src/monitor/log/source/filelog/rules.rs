//! The rules of one config file on a log file.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::translate::LineTranslator;
use crate::monitor::log::rule_set::{Remembered, RuleSet};
use crate::problem::{Finding, Witness};

/// The rules of one config file, and how they read a line.
pub(super) struct FileRules {
    pub(super) set: RuleSet,
    translator: LineTranslator,
    /// From when on lines count. Fixed when first run.
    start: Option<Timestamp>,
    /// Where in the lines is what a rule requires.
    places: Vec<usize>,
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
    pub(super) fn new(set: RuleSet, translator: LineTranslator) -> Self {
        Self {
            set,
            translator,
            start: None,
            places: Vec::new(),
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
            if let Some((time, message)) = self.entry(&line, at) {
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
        self.start(at);
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        if self.set.matcher.screens() {
            self.set.matcher.places(lines, &mut places);
        }
        let first = line_at(lines, 0);
        let is_first_taken = places.first().is_some_and(|&place| first.contains(&place));
        if !is_first_taken && !self.set.matcher.is_awake() {
            // Nothing else tells that the file is not written as the config says.
            self.check_line(&lines[first], at);
        }
        let mut places_left = places.iter();
        let mut taken = 0;
        while taken < lines.len() {
            let place = if self.set.matcher.is_awake() {
                taken
            } else {
                let next = places_left.find(|&&place| place >= taken);
                let Some(&next) = next else { break };
                next
            };
            let line = line_at(lines, place);
            self.pass(&lines[taken..line.start], at);
            self.take_line(&lines[line.clone()], at, found);
            taken = line.end;
        }
        self.pass(&lines[taken..], at);
        self.places = places;
    }

    /// Passes over lines: only the last of them can become part of a match, and only if a pattern
    /// spans lines.
    fn pass(&mut self, lines: &[u8], at: &Circumstances) {
        let mut missing = self.set.matcher.recalls();
        let mut from = lines.len();
        while missing > 0 && from > 0 {
            from = line_at(lines, from - 1).start;
            let line = String::from_utf8_lossy(bare(&lines[line_at(lines, from)]));
            missing -= u64::from(self.entry(&line, at).is_some());
        }
        for line in lines[from..].split_inclusive(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(bare(line));
            if let Some((time, message)) = self.entry(&line, at) {
                self.set.matcher.pass(time, message);
            }
        }
    }

    /// What a line says, if it counts.
    fn entry<'l>(&self, line: &'l str, at: &Circumstances) -> Option<(Timestamp, &'l str)> {
        if self.set.skips(line) {
            return None;
        }
        let message = self.translator.message(line)?;
        let time = self.translator.time(line, &at.zone, at.now)?;
        let counts = self.start.is_none_or(|start| time >= start);
        counts.then_some((time, message))
    }

    /// Counts a line if it cannot be read.
    fn check_line(&mut self, line: &[u8], at: &Circumstances) {
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

/// The line, with its newline, that the byte at `place` is part of.
fn line_at(lines: &[u8], place: usize) -> Range<usize> {
    let newline = |&byte: &u8| byte == b'\n';
    let start = lines[..place].iter().rposition(newline);
    let end = lines[place..].iter().position(newline);
    start.map_or(0, |newline| newline + 1)..end.map_or(lines.len(), |newline| place + newline + 1)
}

/// A line without its end, and without the zeros before it: a writer that does not append leaves a
/// hole in a file that was truncated.
fn bare(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let zeros = line.iter().take_while(|&&byte| byte == 0).count();
    &line[zeros..]
}
