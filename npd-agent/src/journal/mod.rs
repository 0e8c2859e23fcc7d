//! systemd's journal, read without systemd's library and without any of its programs.
//!
//! Files are mapped by nobody here: a file that journald truncates, or a disk that fails, would kill
//! a process that maps it. A file is written while it is read, by a machine that may crash, so
//! nothing that it says is trusted: what makes no sense is passed over and counted, and whatever is
//! followed or kept has a bound.

mod corruption;
mod entries;
mod file;
mod folder;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod object;
mod open;
mod payload;
mod progress;
mod reader;
mod terms;

pub use self::progress::JournalProgress;
pub use self::reader::{Journal, JournalEntry};
pub use self::terms::{EntryFilter, Term};

#[cfg(test)]
pub(crate) mod tests;
