use std::fs::File;
use std::io::{self, Write as _};

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::file::{JournalFile, Peeked};
use super::terms::{EntryFilter, Term};

/// A journal file, with every entry that some config may want.
///
/// # Panics
/// If its entries are not in order.
pub fn journal_file(bytes: &[u8]) {
    for groups in [
        vec![vec![Term::new("SYSLOG_IDENTIFIER", "kernel")]],
        vec![
            vec![
                Term::new("_SYSTEMD_UNIT", "a.service"),
                Term::new("UNIT", "a.service"),
            ],
            vec![Term::new("PRIORITY", "3"), Term::new("PRIORITY", "4")],
        ],
    ] {
        let read = file(bytes).and_then(|file| read(file, &EntryFilter { groups }));
        drop(read);
    }
}

fn file(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"journal", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file)
}

/// Reads it from the beginning, goes back to the middle, and reads that again.
fn read(file: File, wanted: &EntryFilter) -> io::Result<()> {
    let mut file = JournalFile::open(file, wanted)?;
    let entries = read_on(&mut file)?;
    file.rewind(entries.len() as u64);
    if let Some(middle) = entries.get(entries.len() / 2) {
        file.seek(|entry| entry.sequence <= *middle)?;
    }
    read_on(&mut file)?;
    file.state()?;
    Ok(())
}

/// The numbers of the entries, which rise.
fn read_on(file: &mut JournalFile) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    loop {
        match file.peek()? {
            Peeked::JournalEntry(found) => {
                let sequence = found.entry.sequence;
                assert!(
                    numbers.last().is_none_or(|last| *last < sequence),
                    "in order"
                );
                numbers.push(sequence);
                drop(file.message(&found));
                file.pass(sequence);
            }
            Peeked::Damaged { last: false, .. } => file.skip()?,
            Peeked::Damaged { last: true, .. } | Peeked::End => return Ok(numbers),
        }
    }
}
