//! A journal file, and how far it has been read.
//!
//! For every value of a field a journal file lists the entries that have it. So only the wanted
//! entries are read, whatever else the journal is full of.

use std::fs::File;
use std::io;

use super::object::{DataHead, Entry, Header, Objects, corrupt};
use super::terms::{Term, Wanted};

/// The longest chain that is followed. A longer one runs in a circle.
const MAX_CHAIN: u32 = 1 << 20;

/// How many entry arrays are followed. Each is twice as long as the one before.
const MAX_ARRAYS: usize = 128;

/// A journal file, and how far it has been read.
#[derive(Debug)]
pub(super) struct JournalFile {
    objects: Objects,
    header: Header,
    /// The entries to go through: those of each term of the first group.
    lists: Vec<List>,
    /// Of each other group, a term of which an entry has to have.
    required: Vec<Vec<Lookup>>,
    /// What the kernel wrote has this.
    from_kernel: Lookup,
}

/// An entry that is wanted.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) sequence: u64,
    /// In microseconds since 1970.
    pub(super) realtime: u64,
    pub(super) from_kernel: bool,
    data: Vec<u64>,
}

/// A term, and where its data is in a file.
#[derive(Debug)]
struct Lookup {
    term: Term,
    field: Option<u64>,
    data: Option<u64>,
    /// The newest data of the field that was looked at: all older ones are not it.
    seen: u64,
}

/// The entries that have a term, in their order.
#[derive(Debug)]
struct List {
    lookup: Lookup,
    /// Which is to be read next.
    next: u64,
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

impl JournalFile {
    pub(super) fn open(file: File, wanted: &Wanted) -> io::Result<Self> {
        let header = Header::read(&file)?;
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

    /// When its last entry was written, in microseconds since 1970.
    pub(super) fn tail_realtime(&self) -> u64 {
        self.header.tail_realtime
    }

    /// Whether nothing will be added to it.
    pub(super) fn is_archived(&mut self) -> io::Result<bool> {
        self.header = Header::read(self.objects.file())?;
        Ok(self.header.archived)
    }

    /// Goes past the entries that are `passed`; all of them come before all others.
    pub(super) fn seek(&mut self, passed: impl Fn(&Entry) -> bool) -> io::Result<()> {
        for list in &mut self.lists {
            let head = list.head(&self.objects, &self.header)?;
            let (mut low, mut high) = (0, head.map_or(0, |head| head.entries));
            while low < high {
                let middle = low + (high - low) / 2;
                let entry = list.entry(middle, head, &self.objects)?;
                if entry.is_some_and(|entry| passed(&entry)) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            list.next = low;
        }
        Ok(())
    }

    /// Goes back by so many entries.
    pub(super) fn rewind(&mut self, entries: u64) {
        for list in &mut self.lists {
            list.next = list.next.saturating_sub(entries);
            list.last = 0;
        }
    }

    /// The next wanted entry; it stays the next until [`JournalFile::pass`].
    pub(super) fn peek(&mut self) -> io::Result<Option<Found>> {
        loop {
            let mut next: Option<Entry> = None;
            for list in &mut self.lists {
                let head = list.head(&self.objects, &self.header)?;
                let entry = list.entry(list.next, head, &self.objects)?;
                let Some(entry) = entry else {
                    continue;
                };
                if entry.sequence <= list.last {
                    return Err(corrupt("entries that are not in order"));
                }
                if next
                    .as_ref()
                    .is_none_or(|next| entry.sequence < next.sequence)
                {
                    next = Some(entry);
                }
            }
            let Some(entry) = next else {
                return Ok(None);
            };
            if self.has_required(&entry)? {
                let from_kernel = self
                    .from_kernel
                    .is_in(&entry, &self.objects, &self.header)?;
                return Ok(Some(Found {
                    sequence: entry.sequence,
                    realtime: entry.realtime,
                    from_kernel,
                    data: entry.data,
                }));
            }
            self.pass(entry.sequence)?;
        }
    }

    /// Goes past the entry of this number.
    pub(super) fn pass(&mut self, sequence: u64) -> io::Result<()> {
        for list in &mut self.lists {
            let head = list.head(&self.objects, &self.header)?;
            let entry = list.entry(list.next, head, &self.objects)?;
            if entry.is_some_and(|entry| entry.sequence <= sequence) {
                list.next += 1;
                list.last = sequence;
            }
        }
        Ok(())
    }

    /// The message of an entry; empty if it has none.
    pub(super) fn message(&self, found: &Found) -> io::Result<Vec<u8>> {
        const FIELD: &[u8] = b"MESSAGE=";
        for offset in &found.data {
            if let Some(mut data) = self.objects.data(*offset, |data| data.starts_with(FIELD))? {
                return Ok(data.split_off(FIELD.len()));
            }
        }
        Ok(Vec::new())
    }

    fn has_required(&mut self, entry: &Entry) -> io::Result<bool> {
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

impl Lookup {
    fn new(term: Term) -> Self {
        Self {
            term,
            field: None,
            data: None,
            seen: 0,
        }
    }

    fn is_in(&mut self, entry: &Entry, objects: &Objects, header: &Header) -> io::Result<bool> {
        self.find(objects, header)?;
        Ok(self.data.is_some_and(|data| entry.data.contains(&data)))
    }

    /// Looks for the data, unless it is found already.
    fn find(&mut self, objects: &Objects, header: &Header) -> io::Result<()> {
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
        let mut chain = Chain::default();
        while next != 0 && next != self.seen {
            chain.follow()?;
            let data = objects.data(next, |data| data.starts_with(&self.term.data))?;
            if data.is_some_and(|data| data == self.term.data) {
                self.data = Some(next);
                return Ok(());
            }
            next = objects.data_head(next)?.next_of_field;
        }
        self.seen = newest;
        Ok(())
    }
}

/// Goes through the names of all fields. There are a hundred or so, and to hash the name would take
/// three hash functions.
fn find_field(name: &[u8], objects: &Objects, header: &Header) -> io::Result<Option<u64>> {
    let mut chain = Chain::default();
    for head in objects.hash_table(header.field_table, header.field_table_size)? {
        let mut next = head;
        while next != 0 {
            chain.follow()?;
            let (found, after, _) = objects.field(next)?;
            if found == name {
                return Ok(Some(next));
            }
            next = after;
        }
    }
    Ok(None)
}

/// Counts the steps of following a chain.
#[derive(Default)]
struct Chain(u32);

impl Chain {
    fn follow(&mut self) -> io::Result<()> {
        self.0 += 1;
        if self.0 > MAX_CHAIN {
            Err(corrupt("a chain that runs in a circle"))
        } else {
            Ok(())
        }
    }
}

impl List {
    fn new(term: Term) -> Self {
        Self {
            lookup: Lookup::new(term),
            next: 0,
            last: 0,
            arrays: Vec::new(),
        }
    }

    fn head(&mut self, objects: &Objects, header: &Header) -> io::Result<Option<DataHead>> {
        self.lookup.find(objects, header)?;
        self.lookup
            .data
            .map(|data| objects.data_head(data))
            .transpose()
    }

    /// An entry of the list; `None` if there are not so many.
    fn entry(
        &mut self,
        index: u64,
        head: Option<DataHead>,
        objects: &Objects,
    ) -> io::Result<Option<Entry>> {
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
        if offset == 0 {
            Ok(None)
        } else {
            objects.entry(offset).map(Some)
        }
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
