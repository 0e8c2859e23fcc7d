//! Reads the lines of a file as one or more config files say, and counts what it does not understand.

use std::sync::Arc;

use jiff::Timestamp;

use super::line::{ReadContext, bare};
use super::line_count::{LineCount, LineFate};
use super::translate::{LineTranslator, TranslatedLine};
use crate::monitor::log::rule_set::RuleSet;

/// How config files read the lines of a file. Those that do it in the same way share one.
#[derive(Debug)]
pub(super) struct LineReader {
    pub(super) translator: LineTranslator,
    /// Lines that contain one of these texts are not looked at.
    skip_list: Vec<String>,
    /// The first of the config files.
    file: Arc<str>,
    pub(super) count: LineCount,
}

impl LineReader {
    pub(super) fn new(set: &RuleSet, translator: LineTranslator) -> Self {
        Self {
            translator,
            skip_list: set.skip_list.clone(),
            file: Arc::clone(&set.monitor),
            count: LineCount::default(),
        }
    }

    /// Whether both read every line in the same way.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.translator.is_like(&other.translator) && self.skip_list == other.skip_list
    }

    /// The time of a line.
    pub(super) fn time(&self, line: &[u8], at: &ReadContext) -> Option<Timestamp> {
        let line = String::from_utf8_lossy(bare(line));
        self.translator.time(&line, &at.zone, at.now.wall)
    }

    /// Looks at new lines, as many as is little work. Those from before `start` count for nobody.
    pub(super) fn check(&mut self, lines: &[u8], start: Timestamp, at: &ReadContext) {
        let most = usize::try_from(self.count.begin(at.now.monotonic)).unwrap_or(usize::MAX);
        for line in lines.split_inclusive(|&byte| byte == b'\n').take(most) {
            let text = String::from_utf8_lossy(bare(line));
            let fate = self.fate(&text, start, at);
            self.count.check(fate, &text, line.len());
        }
    }

    fn fate(&self, line: &str, start: Timestamp, at: &ReadContext) -> LineFate {
        if self.skip_list.iter().any(|skipped| line.contains(skipped)) {
            return LineFate::Understood;
        }
        let (zone, now) = (&at.zone, at.now.wall);
        let time = match self.translator.translate(line) {
            TranslatedLine::Message(message) => message.time.to_timestamp(zone, now).ok(),
            TranslatedLine::Part(_, recognised) => recognised.time.to_timestamp(zone, now).ok(),
            TranslatedLine::Other => return LineFate::Understood,
            TranslatedLine::NotUnderstood => None,
        };
        match time {
            Some(time) if time >= start => LineFate::Understood,
            Some(_) => LineFate::TooOld,
            None => LineFate::NotUnderstood,
        }
    }

    /// Why the file is degraded: too many of its lines are not understood.
    pub(super) fn complaint(&self) -> Option<String> {
        let example = self.count.example()?;
        let file = &self.file;
        Some(format!(
            "more than a tenth of the lines are not as {file} says, nor in a known format; for \
             example {example}"
        ))
    }
}
