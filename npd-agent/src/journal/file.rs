//! A journal file, and how far it has been read.

use std::fs::File;
use std::io;

use super::entries::{List, Lookup, NextEntry};
use super::object::{EntryObject, FileHeader, FileState, Objects};
use super::terms::{EntryFilter, Term};

/// A journal file, and how far it has been read.
#[derive(Debug)]
pub(super) struct JournalFile {
    objects: Objects,
    header: FileHeader,
    /// The entries to go through: those of each term of the first group.
    lists: Vec<List>,
    /// Of each other group, a term of which an entry has to have.
    required: Vec<Vec<Lookup>>,
    /// What the kernel wrote has this.
    from_kernel: Lookup,
}

/// An entry that is wanted.
#[derive(Debug)]
pub(super) struct OpenedFile {
    pub(super) entry: EntryObject,
    /// Among the entries of the same one, the number is the order.
    pub(super) sequence_id: u128,
    pub(super) from_kernel: bool,
}

/// What comes next in a file.
#[derive(Debug)]
pub(super) enum Peeked {
    JournalEntry(OpenedFile),
    End,
    /// An entry makes no sense. Whether it is the last, which may be just being written.
    Nonsense {
        last: bool,
        error: io::Error,
    },
}

impl OpenedFile {
    /// Whether it comes before another, as systemd orders entries: by their numbers within a row of
    /// files, else by the clock of their boot, which nobody sets, else by the time of day.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        let (a, b) = (&self.entry, &other.entry);
        if self.sequence_id == other.sequence_id && a.sequence != b.sequence {
            a.sequence < b.sequence
        } else if a.boot == b.boot && a.monotonic != b.monotonic {
            a.monotonic < b.monotonic
        } else {
            (a.realtime, a.sequence) < (b.realtime, b.sequence)
        }
    }
}

impl JournalFile {
    pub(super) fn open(file: File, wanted: &EntryFilter) -> io::Result<Self> {
        let header = FileHeader::read(&file)?;
        let objects = Objects::new(file, &header);
        let lookups = |terms: &Vec<Term>| terms.iter().cloned().map(Lookup::new).collect();
        let (first, others) = wanted
            .groups
            .split_first()
            .map_or((&[][..], &[][..]), |(first, others)| (&**first, others));
        Ok(Self {
            lists: first.iter().cloned().map(List::new).collect(),
            required: others.iter().map(lookups).collect(),
            from_kernel: Lookup::new(Term::new("_TRANSPORT", "kernel")),
            objects,
            header,
        })
    }

    /// Tells the file from all others; it keeps it when it is renamed.
    pub(super) fn id(&self) -> u128 {
        self.header.file_id
    }

    /// What has become of it by now.
    pub(super) fn state(&mut self) -> io::Result<FileState> {
        self.header = FileHeader::read(self.objects.file())?;
        Ok(self.header.state)
    }

    /// Goes past the entries that are `passed`; all of them come before all others. The number of
    /// the last one.
    pub(super) fn seek(&mut self, passed: impl Fn(&EntryObject) -> bool) -> io::Result<u64> {
        let mut last = 0;
        for list in &mut self.lists {
            last = last.max(list.seek(&passed, &self.objects, &self.header)?);
        }
        Ok(last)
    }

    /// Goes back by so many entries.
    pub(super) fn rewind(&mut self, entries: u64) {
        for list in &mut self.lists {
            list.rewind(entries);
        }
    }

    /// The next wanted entry; it stays the next until [`JournalFile::pass`].
    pub(super) fn peek(&mut self) -> io::Result<Peeked> {
        loop {
            let mut next: Option<&EntryObject> = None;
            for list in &mut self.lists {
                match list.peek(&self.objects, &self.header)? {
                    NextEntry::JournalEntry(entry) => {
                        let first = next.is_none_or(|next| entry.sequence < next.sequence);
                        next = if first { Some(entry) } else { next };
                    }
                    NextEntry::End => {}
                    NextEntry::Nonsense { last, error } => {
                        return Ok(Peeked::Nonsense { last, error });
                    }
                }
            }
            let Some(entry) = next.cloned() else {
                return Ok(Peeked::End);
            };
            if self.has_required(&entry)? {
                let (objects, header) = (&self.objects, &self.header);
                return Ok(Peeked::JournalEntry(OpenedFile {
                    from_kernel: self.from_kernel.is_in(&entry, objects, header)?,
                    sequence_id: header.sequence_id,
                    entry,
                }));
            }
            self.pass(entry.sequence);
        }
    }

    /// Goes past the entry of this number.
    pub(super) fn pass(&mut self, sequence: u64) {
        for list in &mut self.lists {
            list.pass(sequence);
        }
    }

    /// Goes past an entry that makes no sense.
    pub(super) fn skip(&mut self) -> io::Result<()> {
        for list in &mut self.lists {
            if let NextEntry::Nonsense { .. } = list.peek(&self.objects, &self.header)? {
                list.skip();
                break;
            }
        }
        Ok(())
    }

    /// The message of an entry; empty if it has none.
    pub(super) fn message(&self, found: &OpenedFile) -> io::Result<Vec<u8>> {
        const FIELD: &[u8] = b"MESSAGE=";
        let mut unread = Ok(Vec::new());
        for offset in &found.entry.data {
            match self.objects.data(*offset, |data| data.starts_with(FIELD)) {
                Ok(Some(mut data)) => return Ok(data.split_off(FIELD.len())),
                Ok(None) => {}
                // It may be another field, of no interest.
                Err(error) => unread = Err(error),
            }
        }
        unread
    }

    fn has_required(&mut self, entry: &EntryObject) -> io::Result<bool> {
        for group in &mut self.required {
            let mut has_one = false;
            for lookup in group {
                has_one |= lookup.is_in(entry, &self.objects, &self.header)?;
            }
            if !has_one {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
