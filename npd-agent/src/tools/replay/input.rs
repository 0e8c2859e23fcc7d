//! Reads a saved log, whatever its form.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write, stdin};
use std::path::Path;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;

use super::export::{ExportEntry, read_line};
use super::line::{EntryTime, EntryWriter, LineParser};
use super::player::Player;
use crate::journal::{Journal, JournalEntry};

/// Longer lines are cut.
const LONGEST_LINE: usize = 1 << 20;

/// How many bytes are read at once.
const BUFFER: usize = 256 << 10;

/// How a journal file begins.
const JOURNAL: &[u8] = b"LPKSHHRH";

/// How an export of a journal begins.
const EXPORT: &[&[u8]] = &[b"__CURSOR", b"__REALTIME_TIMESTAMP"];

/// Reads the log with this name.
pub(super) fn read<W: Write>(name: &str, player: &mut Player<W>) -> anyhow::Result<()> {
    if name == "-" {
        return text(BufReader::with_capacity(BUFFER, stdin().lock()), player);
    }
    let path = Path::new(name);
    if fs::metadata(path)?.is_dir() {
        return journal(path, player);
    }
    let mut input = BufReader::with_capacity(BUFFER, File::open(path)?);
    if input.fill_buf()?.starts_with(JOURNAL) {
        return journal(path, player);
    }
    text(input, player)
}

/// Reads a log that is a text, or an export.
pub(super) fn text<W: Write>(
    mut input: impl BufRead,
    player: &mut Player<W>,
) -> anyhow::Result<()> {
    let beginning = input.fill_buf()?;
    ensure!(
        !beginning.starts_with(JOURNAL),
        "a journal file is not read from standard input: name the file"
    );
    if EXPORT.iter().any(|start| beginning.starts_with(start)) {
        while let Some(entry) = ExportEntry::read(&mut input)? {
            exported(&entry, player)?;
        }
        return Ok(());
    }
    let mut parser = LineParser::new(player.zone.clone(), Timestamp::now());
    let mut line = Vec::new();
    while read_line(&mut input, &mut line, LONGEST_LINE)? {
        let line = String::from_utf8_lossy(&line);
        if line.starts_with('{')
            && let Some(entry) = ExportEntry::of_json(&line)
        {
            exported(&entry, player)?;
            continue;
        }
        player.take_line(&line)?;
        if let Some(entry) = parser.entry(&line) {
            let from_kernel = entry.writer == EntryWriter::Kernel;
            let writer = entry.writer;
            player.take(entry.time, &entry.text, from_kernel, |filter| {
                filter.accepts(|field| writer.field(field))
            })?;
        }
    }
    Ok(())
}

fn exported<W: Write>(entry: &ExportEntry, player: &mut Player<W>) -> anyhow::Result<()> {
    player.of_boot(entry.field(b"_BOOT_ID"))?;
    let time = entry.realtime();
    let time = time.and_then(|time| Timestamp::from_microsecond(time).ok());
    let time = time.map_or(EntryTime::Unknown, EntryTime::Wall);
    let text = String::from_utf8_lossy(entry.field(b"MESSAGE"));
    let from_kernel = entry.field(b"_TRANSPORT") == b"kernel";
    player.take(time, text.trim(), from_kernel, |filter| {
        filter.accepts(|field| Some(entry.field(field)))
    })
}

/// Reads a journal file, or a folder of them: for each filter of the rules the entries that it finds, and
/// all of them in the order of their times.
fn journal<W: Write>(path: &Path, player: &mut Player<W>) -> anyhow::Result<()> {
    let mut journals = Vec::new();
    for filter in player.filters() {
        let mut journal = Journal::in_folder(path.to_owned(), filter.clone(), 0);
        journal.scan();
        ensure!(!journal.is_absent(), "there is no journal file");
        let next = journal.next_entry();
        journals.push((filter, journal, next));
    }
    loop {
        let waiting = journals.iter_mut().filter(|(_, _, next)| next.is_some());
        let first = waiting.min_by_key(|(_, _, next)| next.as_ref().map(|entry| entry.realtime));
        let Some((filter, journal, next)) = first else {
            break;
        };
        let following = journal.next_entry();
        let Some(entry) = std::mem::replace(next, following) else {
            break;
        };
        let JournalEntry {
            realtime,
            boot,
            from_kernel,
            message,
            ..
        } = entry;
        player.of_boot(&boot.to_le_bytes())?;
        let time = i64::try_from(realtime).ok();
        let time = time.and_then(|time| Timestamp::from_microsecond(time).ok());
        let time = time.map_or(EntryTime::Unknown, EntryTime::Wall);
        let text = String::from_utf8_lossy(&message);
        player.take(time, text.trim(), from_kernel, |wanted| wanted == filter)?;
    }
    for (_, mut journal, _) in journals {
        journal.settle().context("reading the journal")?;
    }
    Ok(())
}
