//! The rules of one config file on a log file.

use std::ops::Range;

use jiff::Timestamp;

use super::formats::may_be_part;
use super::line::{ReadContext, bare};
use super::line_count::LineFate;
use super::reader::LineReader;
use super::split_lines::SplitLines;
use super::translate::{LineMessage, LineTranslator, TranslatedLine};
use crate::logs::entry_clock::CountedFrom;
use crate::monitor::log::rule_set::{Remembered, RuleSet};
use crate::problem::{Finding, Witness};

/// The rules of one config file.
pub(super) struct FileRules {
    pub(super) set: RuleSet,
    /// Which of the file's readers reads the lines for these rules.
    pub(super) reader: usize,
    /// Lines count from this time on. Set at the first read.
    start: Option<CountedFrom>,
    pub(super) split: SplitLines,
}

impl FileRules {
    pub(super) fn new(set: RuleSet, reader: usize) -> Self {
        Self {
            set,
            reader,
            start: None,
            split: SplitLines::default(),
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

    /// Takes lines that an earlier agent has read, so that patterns can span them, and the parts of a
    /// line that has not ended.
    pub(super) fn take_seen(&mut self, lines: &[u8], reader: &LineReader, at: &ReadContext) {
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            if self.set.matcher.spans() || self.split.is_waiting() || may_be_part(line) {
                let line = String::from_utf8_lossy(bare(line));
                if let Some((time, message)) = self.entry(&line, reader, at) {
                    self.set.matcher.push_seen(time, &message.text);
                }
            }
        }
    }

    /// Matches whole lines. `offsets` are those of literals of these rules, see
    /// [`crate::logs::matcher::LineFinder::find`].
    pub(super) fn take(
        &mut self,
        lines: &[u8],
        offsets: &[usize],
        reader: &mut LineReader,
        at: &ReadContext,
        found: &mut Vec<Finding>,
    ) {
        self.start(at);
        let mut offsets_left = offsets.iter();
        let mut taken = 0;
        while taken < lines.len() {
            let offset = if self.set.matcher.is_armed() || self.split.is_waiting() {
                taken
            } else {
                let next = offsets_left.find(|&&offset| offset >= taken);
                let Some(&next) = next else { break };
                next
            };
            let line = line_at(lines, offset);
            self.skip(&lines[taken..line.start], reader, at);
            self.take_line(lines, line.clone(), reader, at, found);
            taken = line.end;
        }
        self.skip(&lines[taken..], reader, at);
    }

    /// Skips lines that no rule can match. If a pattern spans lines, the last of them still go into
    /// the matcher's buffer.
    fn skip(&mut self, lines: &[u8], reader: &LineReader, at: &ReadContext) {
        let mut missing = self.set.matcher.context_size();
        let mut from = lines.len();
        while missing > 0 && from > 0 {
            from = line_at(lines, from - 1).start;
            let line = String::from_utf8_lossy(bare(&lines[line_at(lines, from)]));
            missing -= u64::from(self.entry(&line, reader, at).is_some());
        }
        for line in lines[from..].split_inclusive(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(bare(line));
            if let Some((time, message)) = self.entry(&line, reader, at) {
                self.set.matcher.push_unmatched(time, &message.text);
            }
        }
    }

    /// The time and message of a line, if it counts.
    fn entry<'l>(
        &mut self,
        line: &'l str,
        reader: &'l LineReader,
        at: &ReadContext,
    ) -> Option<(Timestamp, LineMessage<'l>)> {
        if self.set.skips(line) {
            return None;
        }
        let TranslatedLine::Message(message) = self.translate(line, &reader.translator) else {
            return None;
        };
        let time = message.time.to_timestamp(&at.zone, at.now.wall).ok()?;
        (time >= self.start(at)).then_some((time, message))
    }

    /// What a line says. If it is a part of a line, this is what the whole line says when it ends.
    fn translate<'l>(
        &mut self,
        line: &'l str,
        translator: &'l LineTranslator,
    ) -> TranslatedLine<'l> {
        match translator.translate(line) {
            TranslatedLine::Part(part, recognised) => match self.split.join(part, recognised) {
                Some(whole) => translator.of_recognised(whole),
                None => TranslatedLine::Other,
            },
            translated => translated,
        }
    }

    fn take_line(
        &mut self,
        lines: &[u8],
        place: Range<usize>,
        reader: &mut LineReader,
        at: &ReadContext,
        found: &mut Vec<Finding>,
    ) {
        let line = String::from_utf8_lossy(bare(&lines[place.clone()]));
        if self.set.skips(&line) {
            return;
        }
        let fate = self.find(&line, &reader.translator, at, found);
        reader.count.take(fate, &line, place.start);
    }

    /// Adds what the rules find in a line.
    fn find(
        &mut self,
        line: &str,
        translator: &LineTranslator,
        at: &ReadContext,
        found: &mut Vec<Finding>,
    ) -> LineFate {
        let message = match self.translate(line, translator) {
            TranslatedLine::Message(message) => message,
            TranslatedLine::NotUnderstood => return LineFate::NotUnderstood,
            TranslatedLine::Other | TranslatedLine::Part(..) => return LineFate::Understood,
        };
        if !self.set.matcher.needs(&message.text) {
            return LineFate::Understood;
        }
        match message.time.to_timestamp(&at.zone, at.now.wall).ok() {
            Some(time) if time >= self.start(at) => {
                let written = at.clock.written(time, at.now);
                found.extend(self.set.take(written, &message.text, Witness::Other));
                LineFate::Understood
            }
            Some(_) => LineFate::TooOld,
            None => LineFate::NotUnderstood,
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
