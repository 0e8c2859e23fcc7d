//! Finds the entries of a file that have a certain value. The file has a list of entries for each value
//! of each field, so only the wanted entries are read.

use std::io;

use super::corruption::{corrupt, is_corrupt};
use super::object::{DataHead, EntryObject, FileHeader, Objects};
use super::terms::Term;

/// How many field names are read at most. A file has about a hundred.
const MAX_FIELDS: usize = 1 << 16;

/// How many entry arrays are followed at most. Each is twice as long as the one before.
const MAX_ARRAYS: usize = 128;

/// A term, and the offset of its data object in a file.
#[derive(Debug)]
pub(super) struct Lookup {
    term: Term,
    field: Option<u64>,
    data: Option<u64>,
    /// The newest data object of the field that was compared. It and all older ones do not match.
    seen: u64,
}

/// The entries that have a term, in order, and how far they have been read.
#[derive(Debug)]
pub(super) struct List {
    lookup: Lookup,
    /// The index of the next entry.
    next: u64,
    /// The next entry, if it was read already.
    ahead: Option<EntryObject>,
    /// The sequence number of the entry before.
    last: u64,
    /// The arrays that contain the second and later entries, as far as they were needed.
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
    /// The entry is damaged. If it is the last one, it may be just being written.
    Damaged {
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

    /// Finds the data object, unless it was found before.
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
            // Older objects are at lower offsets.
            let older = objects.data_head(next)?.next_of_field;
            if older >= next {
                return Err(corrupt("a chain of objects is a circle"));
            }
            next = older;
        }
        self.seen = newest;
        Ok(())
    }
}

/// Compares the names of all fields. Using the hash table would need three hash functions.
fn find_field(name: &[u8], objects: &Objects, header: &FileHeader) -> io::Result<Option<u64>> {
    let mut visited = 0;
    for head in objects.hash_table(header.field_table, header.field_table_size)? {
        let mut next = head;
        while next != 0 {
            let (found, after, _) = objects.field(next)?;
            if found == name {
                return Ok(Some(next));
            }
            visited += 1;
            if visited > MAX_FIELDS {
                return Err(corrupt("too many fields"));
            }
            // Newer objects are at higher offsets.
            if after != 0 && after <= next {
                return Err(corrupt("a chain of objects is a circle"));
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

    /// The next entry. It stays the next entry until it is passed.
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
                Err(error) if is_corrupt(&error) => {
                    let last = head.is_none_or(|head| self.next + 1 >= head.entries);
                    return Ok(NextEntry::Damaged { last, error });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self
            .ahead
            .as_ref()
            .map_or(NextEntry::End, NextEntry::JournalEntry))
    }

    /// Moves past the next entry if its sequence number is at most this.
    pub(super) fn pass(&mut self, sequence: u64) {
        if let Some(entry) = self.ahead.take_if(|entry| entry.sequence <= sequence) {
            self.next += 1;
            self.last = entry.sequence;
        }
    }

    /// Moves past a damaged entry.
    pub(super) fn skip(&mut self) {
        self.next += 1;
    }

    /// Moves past the entries for which `passed` is true, which must come before all others. Returns
    /// the sequence number of the last of them.
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
                Err(error) if !is_corrupt(&error) => return Err(error),
                _ => high = middle,
            }
        }
        self.next = low;
        Ok(last)
    }

    /// Moves back by this many entries.
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

    /// The offset of an entry; `None` if there are fewer entries.
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
        // Zero: the entry is counted, but not yet written.
        Ok(Some(offset).filter(|offset| *offset != 0))
    }

    /// The array that contains item `index`.
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
    use std::fs::File;
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// Where the header has the size of the table of fields.
    const TABLE: u64 = 128;
    const FIELD: u64 = 256;
    const DATA: u64 = 512;

    /// A file with one field and one data object, with these offsets of the object after them.
    fn file(name: &str, after_field: u64, after_data: u64) -> File {
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
        file
    }

    /// Searches an identifier.
    #[track_caller]
    fn check(file: File, expect: &str) {
        let header = FileHeader::read(&file).unwrap();
        let objects = Objects::new(file, &header);
        let mut lookup = Lookup::new(Term::new("SYSLOG_IDENTIFIER", "kubelet"));
        let error = lookup.find(&objects, &header).unwrap_err().to_string();
        assert!(error.ends_with(expect), "{error}");
    }

    #[test]
    fn no_circle_is_followed() {
        check(file("OTHER", 256, 0), "is a circle");
        check(file("OTHER", 8, 0), "is a circle");
        let identifier = |after| file("SYSLOG_IDENTIFIER", 0, after);
        check(identifier(512), "is a circle");
        check(identifier(600), "is a circle");
        check(identifier(500), "is outside the file");
    }

    /// A corrupt file may say that something in it is huge. No memory is taken for what it says.
    #[test]
    fn no_size_is_believed() {
        let sized = |place: u64, size: u64, length: u64| {
            let file = file("SYSLOG_IDENTIFIER", 0, 0);
            file.write_all_at(b"SYSLOG_IDENTIFIER=kubelet", DATA + 64)
                .unwrap();
            file.write_all_at(&size.to_le_bytes(), place).unwrap();
            file.set_len(length).unwrap();
            file
        };
        check(sized(TABLE, 1 << 40, 8 << 20), "a huge hash table");
        check(sized(TABLE, 16 << 20, 128 << 20), "a huge hash table");
        check(sized(TABLE, 128 << 10, 64 << 10), "is outside the file");
        check(sized(DATA + 8, 1 << 40, 4096), "is outside the file");
    }
}
