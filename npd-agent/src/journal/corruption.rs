//! The errors of a file whose content makes no sense.

use std::io;

/// What makes a file that cannot be read.
pub(super) fn corrupt(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("journal file is corrupt: {what}"),
    )
}

/// Whether it is what stands in the file that is wrong, and not the disk.
pub(super) fn is_nonsense(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, UnexpectedEof, Unsupported};
    matches!(error.kind(), InvalidData | UnexpectedEof | Unsupported)
}
