//! A line of a saved log, in any of the forms in which people save logs.
//!
//! * `/dev/kmsg`: `6,1339,5140900,-;NET: Registered PF_INET6 protocol family`
//! * `dmesg`: `[    5.140900] NET: …`, with `-T`, `--time-format=iso`, `-x` or `-r`, or without any time
//! * `dmesg --json`
//! * syslog, `journalctl`: `Nov 30 11:10:55 node kernel: NET: …`, or with an ISO time

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::go::layout::TimeLayout;
use crate::logs::kmsg::KmsgRecord;

/// When an entry was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum EntryTime {
    /// After boot, by the clock of the kernel's log.
    Boot(Duration),
    /// By the wall clock.
    Wall(Timestamp),
    /// It does not say.
    Unknown,
}

/// Who wrote an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryWriter<'l> {
    /// The kernel.
    Kernel,
    /// A program, into the kernel's log.
    KernelLogUser,
    /// A program, into another log.
    Program(&'l str),
}

/// An entry in a line.
#[derive(Debug, PartialEq)]
pub(super) struct LineEntry<'l> {
    pub(super) time: EntryTime,
    pub(super) writer: EntryWriter<'l>,
    pub(super) text: Cow<'l, str>,
}

impl EntryWriter<'_> {
    /// In the kernel's log: the kernel, or else a program.
    fn of_kernel_log(is_kernel: bool) -> Self {
        if is_kernel {
            Self::Kernel
        } else {
            Self::KernelLogUser
        }
    }

    /// What a journal's field has for such an entry, if that is known.
    pub(super) fn field(&self, name: &[u8]) -> Option<&[u8]> {
        match (name, self) {
            (b"_TRANSPORT" | b"SYSLOG_IDENTIFIER", Self::Kernel)
            | (b"_TRANSPORT", Self::KernelLogUser) => Some(b"kernel"),
            (b"_TRANSPORT", Self::Program(_)) => Some(b"syslog"),
            (b"SYSLOG_IDENTIFIER", Self::Program(name)) => Some(name.as_bytes()),
            _ => None,
        }
    }
}

/// Reads lines.
pub(super) struct LineParser {
    zone: TimeZone,
    /// For times without a year: no entry is later.
    now: Timestamp,
    syslog: TimeLayout,
    ctime: TimeLayout,
    /// Whether the last line was a record of `/dev/kmsg`, which has its dictionary in further lines.
    in_record: bool,
    /// What is known of the next entry of `dmesg --json`.
    object: Option<JsonObject>,
}

/// A record of `dmesg --json`, whose keys are on lines of their own.
#[derive(Debug, Default)]
struct JsonObject {
    time: Option<Duration>,
    by_user: bool,
}

impl LineParser {
    pub(super) fn new(zone: TimeZone, now: Timestamp) -> Self {
        Self {
            zone,
            now,
            syslog: TimeLayout::new("Jan _2 15:04:05"),
            ctime: TimeLayout::new("Mon Jan _2 15:04:05 2006"),
            in_record: false,
            object: None,
        }
    }

    /// The entry in a line, if there is one.
    pub(super) fn entry<'l>(&mut self, line: &'l str) -> Option<LineEntry<'l>> {
        if matches!(line.trim(), "" | "{") {
            return None;
        }
        if self.object.is_some() || line.trim() == r#""dmesg": ["# {
            return self.json(line.trim());
        }
        if self.in_record && line.starts_with(' ') {
            return None;
        }
        let record = kmsg(line);
        self.in_record = record.is_some();
        if record.is_some() {
            return record;
        }
        let (line, writer) = without_priority(line);
        let (time, text) = self.bracketed(line).unwrap_or((EntryTime::Unknown, line));
        if time == EntryTime::Unknown
            && let Some(entry) = self.dated(line)
        {
            return Some(entry);
        }
        Some(LineEntry {
            time,
            writer,
            text: Cow::Borrowed(text.trim()),
        })
    }

    /// `[   12.345678] text` or `[Mon Nov 30 11:10:55 2026] text`.
    fn bracketed<'l>(&self, line: &'l str) -> Option<(EntryTime, &'l str)> {
        let (stamp, text) = line.strip_prefix('[')?.split_once(']')?;
        // With -d, the time since the entry before follows.
        let stamp = stamp.split('<').next().unwrap_or_default().trim();
        let time = match seconds(stamp) {
            Some(since_boot) => EntryTime::Boot(since_boot),
            None => EntryTime::Wall(self.local(&self.ctime, stamp)?),
        };
        Some((time, without_caller(text)))
    }

    /// `2026-11-30T11:10:55,123456+00:00 text`, `2026-11-30T11:10:55.123456+00:00 node program[7]: text` or
    /// `Nov 30 11:10:55 node program[7]: text`.
    fn dated<'l>(&self, line: &'l str) -> Option<LineEntry<'l>> {
        let (word, rest) = line.split_once(' ')?;
        // Most lines have no such time, and need not be parsed.
        if word.len() > 10 && word.as_bytes().get(10) == Some(&b'T') {
            let time = EntryTime::Wall(iso(word)?);
            return if word.contains(',') {
                let text = Cow::Borrowed(rest.trim());
                let writer = EntryWriter::Kernel;
                Some(LineEntry { time, writer, text })
            } else {
                syslog(time, rest)
            };
        }
        let (stamp, rest) = line.split_at_checked(15)?;
        let time = self.local(&self.syslog, stamp)?;
        syslog(EntryTime::Wall(time), rest.strip_prefix(' ')?)
    }

    fn local(&self, layout: &TimeLayout, text: &str) -> Option<Timestamp> {
        let parsed = layout.parse(text).ok()?;
        parsed.to_timestamp(&self.zone, self.now).ok()
    }

    /// A line of `dmesg --json`. The message is the last key.
    fn json(&mut self, line: &str) -> Option<LineEntry<'static>> {
        let object = self.object.get_or_insert_default();
        let (key, value) = line.split_once(':')?;
        let value = value.trim().trim_end_matches(',');
        match key {
            r#""pri""# => object.by_user = value.parse::<u64>().is_ok_and(|pri| pri >> 3 != 0),
            r#""fac""# => object.by_user = value != r#""kern""#,
            r#""time""# => object.time = seconds(value),
            r#""msg""# => {
                let JsonObject { time, by_user } = std::mem::take(object);
                let text: String = serde_json::from_str(value).ok()?;
                return Some(LineEntry {
                    time: time.map_or(EntryTime::Unknown, EntryTime::Boot),
                    writer: EntryWriter::of_kernel_log(!by_user),
                    text: Cow::Owned(text.trim().to_owned()),
                });
            }
            _ => {}
        }
        None
    }
}

fn kmsg(line: &str) -> Option<LineEntry<'_>> {
    let record = KmsgRecord::parse(line.as_bytes())?;
    Some(LineEntry {
        time: EntryTime::Boot(record.stamp),
        writer: EntryWriter::of_kernel_log(record.is_from_kernel()),
        text: record.text,
    })
}

/// A time after boot, in seconds.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if text.is_empty() || !text.bytes().all(is_number) {
        return None;
    }
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

fn iso(word: &str) -> Option<Timestamp> {
    word.parse().ok()
}

/// What follows the time in a line of syslog: `node program[7]: text`.
fn syslog(time: EntryTime, rest: &str) -> Option<LineEntry<'_>> {
    let (_, rest) = rest.split_once(' ')?;
    let (tag, mut text) = rest.split_once(':')?;
    let program = tag.split('[').next().unwrap_or_default();
    if program.contains(' ') {
        return None;
    }
    text = text.trim();
    // The kernel's own time may come first.
    let writer = match program {
        "kernel" => EntryWriter::Kernel,
        program => EntryWriter::Program(program),
    };
    if writer == EntryWriter::Kernel
        && let Some((stamp, after)) = text.strip_prefix('[').and_then(|text| text.split_once(']'))
        && seconds(stamp.trim()).is_some()
    {
        text = after.trim();
    }
    let text = Cow::Borrowed(text);
    Some(LineEntry { time, writer, text })
}

/// The line without `<6>` of `dmesg -r` or `kern  :info  : ` of `dmesg -x`, and who wrote it.
fn without_priority(line: &str) -> (&str, EntryWriter<'static>) {
    let by = EntryWriter::of_kernel_log;
    if let Some((number, rest)) = line.strip_prefix('<').and_then(|line| line.split_once('>'))
        && let Ok(number) = number.parse::<u64>()
    {
        return (rest, by(number >> 3 == 0));
    }
    let mut parts = line.splitn(3, ':');
    if let (Some(facility), Some(level), Some(rest)) = (parts.next(), parts.next(), parts.next())
        && FACILITIES.contains(&facility.trim())
        && LEVELS.contains(&level.trim())
    {
        return (rest.trim_start(), by(facility.trim() == "kern"));
    }
    (line, EntryWriter::Kernel)
}

/// The names of `dmesg -x`.
const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp",
];
const LEVELS: &[&str] = &[
    "emerg", "alert", "crit", "err", "warn", "notice", "info", "debug",
];

/// The text without `[   T7] `, which tells the task or the processor that wrote it.
fn without_caller(text: &str) -> &str {
    let caller = text.trim_start().strip_prefix('[');
    let caller = caller.and_then(|text| text.split_once(']'));
    let is_caller = |name: &str| {
        let number = name.trim().strip_prefix(['T', 'C']);
        number
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    match caller {
        Some((name, rest)) if is_caller(name) => rest,
        _ => text,
    }
}
