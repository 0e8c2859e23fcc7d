//! Which entries of a file have a value: the file lists them for each value of each field.
//!
//! So only the wanted entries are read, whatever else the journal is full of.

use std::io;

use super::corruption::{corrupt, is_nonsense};
use super::object::{DataHead, EntryObject, FileHeader, Objects};
use super::terms::Term;

/// How many names of fields are looked at. There are a hundred or so.
const MAX_FIELDS: usize = 1 << 16;

/// How many entry arrays are followed. Each is twice as long as the one before.
const MAX_ARRAYS: usize = 128;

/// A term, and where its data is in a file.
#[derive(Debug)]
pub(super) struct Lookup {
    term: Term,
    field: Option<u64>,
    data: Option<u64>,
    /// The newest data of the field that was looked at: all older ones are not it.
    seen: u64,
}

/// The entries that have a term, in their order, and how far they have been read.
#[derive(Debug)]
pub(super) struct List {
    lookup: Lookup,
    /// Which is to be read next.
    next: u64,
    /// That one, if it has been read already.
    ahead: Option<EntryObject>,
    /// The number of the one before.
    last: u64,
    /// The arrays that hold the second and further entries, as far as they were needed.
    arrays: Vec<Array>,
}

#[derive(Debug, Clone, Copy)]
struct Array {
    offset: u64,
    first: u64,
    length: u64,
    next: u64,
}

/// The next entry of a list.
pub(super) enum NextEntry<'l> {
    JournalEntry(&'l EntryObject),
    End,
    /// It makes no sense. Whether it is the last, which may be just being written.
    Nonsense {
        last: bool,
        error: io::Error,
    },
}

impl Lookup {
    pub(super) fn new(term: Term) -> Self {
        Self {
            term,
            field: None,
            data: None,
            seen: 0,
        }
    }

    /// Whether an entry has the term.
    pub(super) fn is_in(
        &mut self,
        entry: &EntryObject,
        objects: &Objects,
        header: &FileHeader,
    ) -> io::Result<bool> {
        self.find(objects, header)?;
        Ok(self.data.is_some_and(|data| entry.data.contains(&data)))
    }

    /// Looks for the data, unless it is found already.
    fn find(&mut self, objects: &Objects, header: &FileHeader) -> io::Result<()> {
        if self.data.is_some() {
            return Ok(());
        }
        if self.field.is_none() {
            self.field = find_field(self.term.field(), objects, header)?;
        }
        let Some(field) = self.field else {
            return Ok(());
        };
        let (_, _, newest) = objects.field(field)?;
        let mut next = newest;
        while next != 0 && next != self.seen {
            let data = objects.data(next, |data| data.starts_with(&self.term.data))?;
            if data.is_some_and(|data| data == self.term.data) {
                self.data = Some(next);
                return Ok(());
            }
            // What is older stands before it.
            let older = objects.data_head(next)?.next_of_field;
            if older >= next {
                return Err(corrupt("a chain that runs in a circle"));
            }
            next = older;
        }
        self.seen = newest;
        Ok(())
    }
}

/// Goes through the names of all fields. To hash the name would take three hash functions.
fn find_field(name: &[u8], objects: &Objects, header: &FileHeader) -> io::Result<Option<u64>> {
    let mut looked_at = 0;
    for head in objects.hash_table(header.field_table, header.field_table_size)? {
        let mut next = head;
        while next != 0 {
            let (found, after, _) = objects.field(next)?;
            if found == name {
                return Ok(Some(next));
            }
            looked_at += 1;
            if looked_at > MAX_FIELDS {
                return Err(corrupt("too many fields"));
            }
            // What was added later stands behind it.
            if after != 0 && after <= next {
                return Err(corrupt("a chain that runs in a circle"));
            }
            next = after;
        }
    }
    Ok(None)
}

impl List {
    pub(super) fn new(term: Term) -> Self {
        Self {
            lookup: Lookup::new(term),
            next: 0,
            ahead: None,
            last: 0,
            arrays: Vec::new(),
        }
    }

    /// The next entry; it stays the next until it is passed.
    pub(super) fn peek(
        &mut self,
        objects: &Objects,
        header: &FileHeader,
    ) -> io::Result<NextEntry<'_>> {
        if self.ahead.is_none() {
            let head = self.head(objects, header)?;
            let Some(offset) = self.offset(self.next, head, objects)? else {
                return Ok(NextEntry::End);
            };
            let read = objects.entry(offset).and_then(|entry| {
                if entry.sequence > self.last {
                    Ok(entry)
                } else {
                    Err(corrupt("entries are not in order"))
                }
            });
            match read {
                Ok(entry) => self.ahead = Some(entry),
                Err(error) if is_nonsense(&error) => {
                    let last = head.is_none_or(|head| self.next + 1 >= head.entries);
                    return Ok(NextEntry::Nonsense { last, error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self
            .ahead
            .as_ref()
            .map_or(NextEntry::End, NextEntry::JournalEntry))
    }

    /// Goes past the next entry if its number is this, or before this.
    pub(super) fn pass(&mut self, sequence: u64) {
        if let Some(entry) = self.ahead.take_if(|entry| entry.sequence <= sequence) {
            self.next += 1;
            self.last = entry.sequence;
        }
    }

    /// Goes past an entry that makes no sense.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// Goes past the entries that are `passed`; all of them come before all others. The number of
    /// the last one.
    pub(super) fn seek(
        &mut self,
        passed: impl Fn(&EntryObject) -> bool,
        objects: &Objects,
        header: &FileHeader,
    ) -> io::Result<u64> {
        let head = self.head(objects, header)?;
        let (mut low, mut high, mut last) = (0, head.map_or(0, |head| head.entries), 0);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = match self.offset(middle, head, objects)? {
                Some(offset) => objects.entry(offset).map(Some),
                None => Ok(None),
            };
            match entry {
                Ok(Some(entry)) if passed(&entry) => {
                    low = middle + 1;
                    last = entry.sequence;
                }
                Err(error) if !is_nonsense(&error) => return Err(error),
                _ => high = middle,
            }
        }
        self.next = low;
        Ok(last)
    }

    /// Goes back by so many entries.
    pub(super) fn rewind(&mut self, entries: u64) {
        self.next = self.next.saturating_sub(entries);
        self.ahead = None;
        self.last = 0;
    }

    fn head(&mut self, objects: &Objects, header: &FileHeader) -> io::Result<Option<DataHead>> {
        self.lookup.find(objects, header)?;
        self.lookup
            .data
            .map(|data| objects.data_head(data))
            .transpose()
    }

    /// Where an entry is; `None` if there are not so many.
    fn offset(
        &mut self,
        index: u64,
        head: Option<DataHead>,
        objects: &Objects,
    ) -> io::Result<Option<u64>> {
        let Some(head) = head.filter(|head| index < head.entries) else {
            return Ok(None);
        };
        let offset = match index.checked_sub(1) {
            None => head.entry,
            Some(index) => match self.array(index, head.entry_array, objects)? {
                Some(array) => objects.entry_array_item(array.offset, index - array.first)?,
                None => 0,
            },
        };
        // Zero: it is counted already, but not yet written.
        Ok(Some(offset).filter(|offset| *offset != 0))
    }

    /// The array that holds item `index`.
    fn array(&mut self, index: u64, first: u64, objects: &Objects) -> io::Result<Option<Array>> {
        loop {
            match self.arrays.last() {
                Some(last) if index < last.first + last.length => break,
                _ => {}
            }
            let (offset, first) = match self.arrays.last_mut() {
                None => (first, 0),
                Some(last) => {
                    if last.next == 0 {
                        last.next = objects.entry_array(last.offset)?.1;
                    }
                    (last.next, last.first + last.length)
                }
            };
            if offset == 0 {
                return Ok(None);
            }
            if self.arrays.len() > MAX_ARRAYS {
                return Err(corrupt("too many arrays of entries"));
            }
            let (length, next) = objects.entry_array(offset)?;
            self.arrays.push(Array {
                offset,
                first,
                length,
                next,
            });
        }
        let at = self.arrays.partition_point(|array| array.first <= index);
        Ok(self.arrays.get(at.wrapping_sub(1)).copied())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// Looks for an identifier in a file with one field and one data of it, each of which has this
    /// after it.
    #[track_caller]
    fn check(name: &str, after_field: u64, after_data: u64, expect: &str) {
        const FIELD: u64 = 256;
        const DATA: u64 = 512;
        let file = tempfile::tempfile().unwrap();
        let write = |bytes: &[u8], place| file.write_all_at(bytes, place).unwrap();
        let number = |number: u64, place| write(&number.to_le_bytes(), place);
        write(b"LPKSHHRH", 0);
        // The table of fields.
        number(224, 120);
        number(16, 128);
        number(FIELD, 224);
        write(&[2], FIELD);
        number(40 + name.len() as u64, FIELD + 8);
        number(after_field, FIELD + 24);
        number(DATA, FIELD + 32);
        write(name.as_bytes(), FIELD + 40);
        write(&[1], DATA);
        number(64, DATA + 8);
        number(after_data, DATA + 32);
        number(0, DATA + 56);
        let header = FileHeader::read(&file).unwrap();
        let objects = Objects::new(file, &header);
        let mut lookup = Lookup::new(Term::new("SYSLOG_IDENTIFIER", "kubelet"));
        let error = lookup.find(&objects, &header).unwrap_err().to_string();
        assert!(error.ends_with(expect), "{error}");
    }

    #[test]
    fn no_chain_is_followed_in_a_circle() {
        check("OTHER", 256, 0, "in a circle");
        check("OTHER", 8, 0, "in a circle");
        check("SYSLOG_IDENTIFIER", 0, 512, "in a circle");
        check("SYSLOG_IDENTIFIER", 0, 600, "in a circle");
        check("SYSLOG_IDENTIFIER", 0, 500, "leads nowhere");
    }
}
