//! Decompresses the beginning of an XZ file.
//!
//! `lzma-rs` keeps the whole content in memory, which may be a thousand times the file's size. But
//! LZMA2 consists of chunks with their sizes. So only the needed chunks are passed to it.

use std::io::Read as _;

/// The stream's header: signature, flags and their checksum.
const HEADER: usize = 12;

/// The only filter that journald uses.
const LZMA2: u8 = 0x21;

/// The first `most` bytes of a file's content; `None` if the file is damaged before that.
pub(super) fn beginning(file: &[u8], most: usize) -> Option<Vec<u8>> {
    let block = file.strip_prefix(b"\xfd7zXZ\0")?.get(HEADER - 6..)?;
    let size = usize::from(*block.first()?);
    if size == 0 {
        return Some(Vec::new()); // The index follows: there is no block.
    }
    let (header, chunks) = block.split_at_checked((size + 1) * 4)?;
    let mut fields = &header[2..];
    for size in [0x40, 0x80] {
        // The sizes of the block are optional, and numbers of seven bits a byte.
        if header[1] & size != 0 {
            while *fields.split_off_first()? & 0x80 != 0 {}
        }
    }
    if header[1] & 3 != 0 || *fields.first()? != LZMA2 {
        return None;
    }
    let chunks = chunks.get(..first(chunks, most)?)?;
    let mut value = Vec::new();
    let mut chunks = std::io::BufReader::new(chunks.chain(&b"\0"[..]));
    lzma_rs::lzma2_decompress(&mut chunks, &mut value).ok()?;
    value.truncate(most);
    Some(value)
}

/// How many bytes of `chunks` contain the first `most` bytes of the content.
fn first(chunks: &[u8], most: usize) -> Option<usize> {
    let number = |at: usize| {
        let bytes = chunks.get(at..)?.first_chunk()?;
        Some(usize::from(u16::from_be_bytes(*bytes)) + 1)
    };
    let (mut at, mut held) = (0, 0);
    while held < most {
        match *chunks.get(at)? {
            0 => break,
            // Not compressed.
            1 | 2 => {
                held += number(at + 1)?;
                at += 3 + number(at + 1)?;
            }
            control @ 0x80.. => {
                held += (usize::from(control & 0x1f) << 16) + number(at + 1)?;
                let properties = usize::from(control >= 0xc0);
                at += 5 + properties + number(at + 3)?;
            }
            _ => return None,
        }
    }
    Some(at)
}
