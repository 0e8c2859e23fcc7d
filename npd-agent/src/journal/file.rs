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
    /// The entries to read: those of each term of the first group.
    lists: Vec<List>,
    /// The other groups. An entry must have one term of each.
    required: Vec<Vec<Lookup>>,
    /// The term that entries of the kernel have.
    from_kernel: Lookup,
}

/// An entry that is wanted.
#[derive(Debug)]
pub(super) struct OpenedFile {
    pub(super) entry: EntryObject,
    /// The sequence number id. Entries with the same id are ordered by their sequence numbers.
    pub(super) sequence_id: u128,
    pub(super) from_kernel: bool,
}

/// The next entry of a file.
#[derive(Debug)]
pub(super) enum Peeked {
    JournalEntry(OpenedFile),
    End,
    /// The entry is damaged. If it is the last one, it may be just being written.
    Damaged {
        last: bool,
        error: io::Error,
    },
}

impl OpenedFile {
    /// Whether it comes before another one. The order is systemd's: by sequence numbers if the sequence
    /// number ids are equal, else by the monotonic clock if the boots are equal, else by the wall clock.
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

    /// The file's id. It stays the same when the file is renamed.
    pub(super) fn id(&self) -> u128 {
        self.header.file_id
    }

    /// The file's present state.
    pub(super) fn state(&mut self) -> io::Result<FileState> {
        self.header = FileHeader::read(self.objects.file())?;
        Ok(self.header.state)
    }

    /// Moves past the entries for which `passed` is true, which must come before all others. Returns
    /// the sequence number of the last of them.
    pub(super) fn seek(&mut self, passed: impl Fn(&EntryObject) -> bool) -> io::Result<u64> {
        let mut last = 0;
        for list in &mut self.lists {
            last = last.max(list.seek(&passed, &self.objects, &self.header)?);
        }
        Ok(last)
    }

    /// Moves back by this many entries.
    pub(super) fn rewind(&mut self, entries: u64) {
        for list in &mut self.lists {
            list.rewind(entries);
        }
    }

    /// The next wanted entry. It stays the next entry until [`JournalFile::pass`].
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
                    NextEntry::Damaged { last, error } => {
                        return Ok(Peeked::Damaged { last, error });
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

    /// Moves past the entry with this sequence number.
    pub(super) fn pass(&mut self, sequence: u64) {
        for list in &mut self.lists {
            list.pass(sequence);
        }
    }

    /// Moves past a damaged entry.
    pub(super) fn skip(&mut self) -> io::Result<()> {
        for list in &mut self.lists {
            if let NextEntry::Damaged { .. } = list.peek(&self.objects, &self.header)? {
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
                // This object may be another field, which does not matter.
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
