//! The rules of log monitors, for a log that was saved: `npd-agent replay`.
//!
//! The rules and their matchers are those of a running monitor. The times are those of the entries, so the
//! result is the same each time.

use std::time::Duration;

use anyhow::Context as _;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::config::{self, Source};
use super::memory;
use super::rule_set::RuleSet;
use super::source::filelog::LineTranslator;
use crate::go::json::ConfigProblem;
use crate::journal::{EntryFilter, Term};
use crate::logs::matcher::LiteralSet;
use crate::monitor::{ConfigFile, Declaration};
use crate::node::clock::ClockReading;
use crate::problem::{Finding, Witness};

/// The rules of all config files.
#[derive(Debug)]
pub struct ReplayRules {
    feeds: Vec<RuleFeed>,
    zone: TimeZone,
    /// The number of lines without the time or the message that a config file describes.
    pub untranslated: usize,
}

/// The rules that read the same entries: what would be one running monitor.
#[derive(Debug)]
struct RuleFeed {
    wanted: FeedSource,
    sets: Vec<RuleSet>,
    literals: LiteralSet,
}

/// What a feed reads.
#[derive(Debug)]
enum FeedSource {
    /// Entries of the kernel's log or of a journal.
    Entries(EntryFilter),
    /// The lines of a text.
    Lines(LineTranslator),
}

/// An entry of the kernel's log or of a journal.
#[derive(Clone, Copy, Debug)]
pub struct LoggedEntry<'a> {
    /// When it was written.
    pub written: ClockReading,
    /// What it says.
    pub text: &'a str,
    /// Whether the kernel wrote it.
    pub from_kernel: bool,
}

impl ReplayRules {
    /// Checks config files, and opens nothing. A time in a log file is in `zone` if it does not say.
    pub fn load(
        files: &[ConfigFile],
        zone: TimeZone,
        problems: &mut Vec<ConfigProblem>,
    ) -> anyhow::Result<Self> {
        let mut sources: Vec<(FeedSource, Vec<RuleSet>)> = Vec::new();
        for file in files {
            let (source, set) = config::parse(file, problems)?;
            let wanted = match source {
                Some(Source::Kmsg) => kernel(),
                Some(Source::Journal(_, wanted)) => wanted,
                Some(Source::File(_, translator)) => {
                    sources.push((FeedSource::Lines(translator), vec![set]));
                    continue;
                }
                // It reads no log.
                None => continue,
            };
            let is_same = |known: &FeedSource| matches!(known, FeedSource::Entries(known) if *known == wanted);
            match sources.iter_mut().find(|(known, _)| is_same(known)) {
                Some((_, sets)) => sets.push(set),
                None => sources.push((FeedSource::Entries(wanted), vec![set])),
            }
        }
        memory::share(sources.iter_mut().flat_map(|(_, sets)| sets).collect());
        let feeds = sources.into_iter().map(|(wanted, sets)| {
            let literals = LiteralSet::of(sets.iter().map(|set| &set.matcher));
            Ok(RuleFeed {
                literals: literals.context("combining the rules' patterns")?,
                wanted,
                sets,
            })
        });
        Ok(Self {
            feeds: feeds.collect::<anyhow::Result<_>>()?,
            zone,
            untranslated: 0,
        })
    }

    /// What the rules may report.
    pub fn declarations(&self) -> Vec<Declaration> {
        let sets = self.feeds.iter().flat_map(|feed| &feed.sets);
        sets.map(RuleSet::declaration).collect()
    }

    /// Which entries of a journal the rules read.
    pub fn filters(&self) -> impl Iterator<Item = &EntryFilter> {
        self.feeds.iter().filter_map(RuleFeed::filter)
    }

    /// Takes the next entry for the rules whose filter `accepts` it.
    pub fn take(
        &mut self,
        entry: &LoggedEntry<'_>,
        accepts: impl Fn(&EntryFilter) -> bool,
        found: &mut Vec<Finding>,
    ) {
        self.expire(entry.written, found);
        for feed in &mut self.feeds {
            if feed.filter().is_some_and(&accepts) {
                feed.take(entry, found);
            }
        }
    }

    /// Takes the next line of a text for the rules of log files, whose config says how to read it.
    pub fn take_line(
        &mut self,
        line: &str,
        counts: impl Fn(Timestamp) -> bool,
        found: &mut Vec<Finding>,
    ) {
        let now = Timestamp::now();
        let may_expire = self.expiry().is_some();
        for index in 0..self.feeds.len() {
            let feed = &self.feeds[index];
            let FeedSource::Lines(translator) = &feed.wanted else {
                continue;
            };
            let needs = feed.needs(line);
            if !may_expire && !needs || feed.sets.iter().any(|set| set.skips(line)) {
                continue;
            }
            let Some((time, text)) = translator.entry(line, &self.zone, now) else {
                self.untranslated += usize::from(needs);
                continue;
            };
            if counts(time) {
                let entry = LoggedEntry {
                    written: by_wall_clock(time),
                    text: &text,
                    from_kernel: false,
                };
                self.expire(entry.written, found);
                self.feeds[index].take(&entry, found);
            }
        }
    }

    /// Reports what ends before `now` because no match has come for long enough.
    fn expire(&mut self, now: ClockReading, found: &mut Vec<Finding>) {
        while let Some(monotonic) = self.expiry().filter(|due| *due <= now.monotonic) {
            let ago = SignedDuration::try_from(now.monotonic.saturating_sub(monotonic))
                .unwrap_or_default();
            let wall = now.wall.checked_sub(ago).unwrap_or(now.wall);
            let then = ClockReading { wall, monotonic };
            let sets = self.feeds.iter_mut().flat_map(|feed| &mut feed.sets);
            found.extend(sets.flat_map(|set| set.expired(then)));
        }
    }

    /// When the next claim ends, unless its rule matches before.
    fn expiry(&self) -> Option<Duration> {
        let sets = self.feeds.iter().flat_map(|feed| &feed.sets);
        sets.filter_map(RuleSet::expiry).min()
    }
}

impl RuleFeed {
    fn filter(&self) -> Option<&EntryFilter> {
        match &self.wanted {
            FeedSource::Entries(wanted) => Some(wanted),
            FeedSource::Lines(_) => None,
        }
    }

    /// Whether a line must be read. If not, no rule would notice it.
    fn needs(&self, line: &str) -> bool {
        let mut matchers = self.sets.iter().map(|set| &set.matcher);
        matchers.any(|matcher| matcher.is_armed() || matcher.spans())
            || self.literals.is_in_entry(line)
    }

    fn take(&mut self, entry: &LoggedEntry<'_>, found: &mut Vec<Finding>) {
        let LoggedEntry {
            written,
            text,
            from_kernel,
        } = *entry;
        let witness = if from_kernel {
            Witness::KernelText
        } else {
            Witness::Other
        };
        let has_literal = self.literals.is_in_entry(text);
        for set in &mut self.sets {
            if set.skips(text) {
                continue;
            }
            if has_literal || set.matcher.is_armed() {
                found.extend(set.take(written, text, witness));
            } else {
                set.matcher.push_unmatched(written.wall, text);
            }
        }
    }
}

/// The entries of the kernel.
fn kernel() -> EntryFilter {
    let groups = vec![vec![Term::new("_TRANSPORT", "kernel")]];
    EntryFilter { groups }
}

/// A time of the wall clock, for a log without another one.
pub fn by_wall_clock(wall: Timestamp) -> ClockReading {
    let since_1970 = wall.duration_since(Timestamp::UNIX_EPOCH);
    ClockReading {
        wall,
        monotonic: Duration::try_from(since_1970).unwrap_or_default(),
    }
}
