//! systemd's journal, read without systemd's library and without any of its programs.
//!
//! Files are read, not mapped into memory: if journald truncates a mapped file, or the disk fails, the
//! kernel kills the process. A file is written while it is read, and its machine may have crashed. So
//! nothing in it is trusted: damaged entries are skipped and counted, and every loop and buffer has a
//! limit.
//!
//! Written here because the crate `systemd` links systemd's C library, which a static binary cannot,
//! and `sdjournal` maps the files, follows them on a thread that blocks, and had its first release in
//! January 2026.

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
