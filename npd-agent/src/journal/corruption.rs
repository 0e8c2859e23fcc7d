//! The errors of a damaged file.

use std::io;

/// The error for a damaged file.
pub(super) fn corrupt(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("journal file is corrupt: {what}"),
    )
}

/// Whether the content of the file is wrong, and not the disk.
pub(super) fn is_corrupt(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, UnexpectedEof, Unsupported};
    matches!(error.kind(), InvalidData | UnexpectedEof | Unsupported)
}
