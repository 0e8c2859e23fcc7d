//! The compressed values of a journal file.

mod lz4;
mod xz;

use std::io::{self, Read as _};

use ruzstd::decoding::StreamingDecoder;

use super::corruption::corrupt;

/// How many bytes of a value are read. The rest of a longer value is ignored.
pub(super) const MAX_VALUE: usize = 1 << 20;

/// How many bytes of a compressed value are read. Data that cannot be compressed grows by less.
pub(super) const MAX_STORED: usize = MAX_VALUE + (16 << 10);

/// How much memory a ZSTD value may ask for to be decompressed (its window). libzstd asks for no more, up
/// to level 19, and RFC 8878 recommends that decoders support as much. journald's level asks for 2 MiB.
const MAX_WINDOW: u64 = 8 << 20;

/// How a value is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Xz,
    Lz4,
    Zstd,
}

impl Compression {
    /// From the flags of an object (`OBJECT_COMPRESSED_XZ`, `_LZ4`, `_ZSTD`).
    pub(super) fn of(flags: u8) -> io::Result<Self> {
        match flags {
            0 => Ok(Self::None),
            1 => Ok(Self::Xz),
            2 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            _ => Err(corrupt("an unknown compression")),
        }
    }

    /// The first `most` bytes of the value that `stored` contains.
    pub(super) fn undo(self, stored: &[u8], most: usize) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(stored.get(..most).unwrap_or(stored).to_vec()),
            Self::Xz => xz::beginning(stored, most).ok_or_else(|| corrupt("a value is not XZ")),
            Self::Lz4 => lz4(stored, most).ok_or_else(|| corrupt("a value is not LZ4")),
            Self::Zstd => zstd(stored, most),
        }
    }
}

/// Decompresses the value's length and a block.
fn lz4(stored: &[u8], most: usize) -> Option<Vec<u8>> {
    let (length, block) = stored.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    lz4::beginning(block, most.min(length))
}

fn zstd(stored: &[u8], most: usize) -> io::Result<Vec<u8>> {
    let not_zstd = |_| corrupt("a value is not ZSTD");
    let decoder = StreamingDecoder::new_with_max_window_size(stored, MAX_WINDOW);
    let decoder = decoder.map_err(not_zstd)?;
    let mut value = Vec::new();
    match decoder.take(most as u64).read_to_end(&mut value) {
        Ok(_) => Ok(value),
        Err(_not_zstd) => Err(corrupt("a value is not ZSTD")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compression_is_undone() {
        let value = "hello ".repeat(5).into_bytes();
        assert_eq!(Compression::None.undo(&value, MAX_VALUE).unwrap(), value);
        let mut stored = 30_u64.to_le_bytes().to_vec();
        stored.extend(lz4_flex::block::compress(&value));
        assert_eq!(Compression::Lz4.undo(&stored, MAX_VALUE).unwrap(), value);
        // As liblzma and libzstd write it.
        let stored = [
            253, 55, 122, 88, 90, 0, 0, 4, 230, 214, 180, 70, 2, 0, 33, 1, 22, 0, 0, 0, 116, 47,
            229, 163, 224, 0, 29, 0, 12, 93, 0, 52, 25, 73, 238, 141, 233, 87, 67, 130, 47, 0, 0,
            0, 179, 213, 64, 12, 227, 210, 166, 0, 0, 1, 40, 30, 226, 38, 212, 135, 31, 182, 243,
            125, 1, 0, 0, 0, 0, 4, 89, 90,
        ];
        assert_eq!(Compression::Xz.undo(&stored, MAX_VALUE).unwrap(), value);
        let stored = [
            40, 181, 47, 253, 4, 88, 101, 0, 0, 48, 104, 101, 108, 108, 111, 32, 1, 0, 1, 75, 17,
            102, 196, 187, 67,
        ];
        assert_eq!(Compression::Zstd.undo(&stored, MAX_VALUE).unwrap(), value);
    }

    #[test]
    fn of_a_long_value_the_beginning_is_read() {
        let value = vec![b'x'; 3 * MAX_VALUE];
        let cut = Ok(MAX_VALUE);
        let length = |compression: Compression, stored: &[u8]| {
            compression
                .undo(stored, MAX_VALUE)
                .map(|value| value.len())
                .map_err(|error| error.to_string())
        };
        assert_eq!(length(Compression::None, &value), cut);
        let mut stored = (value.len() as u64).to_le_bytes().to_vec();
        stored.extend(lz4_flex::block::compress(&value));
        assert_eq!(length(Compression::Lz4, &stored), cut);
        let mut stored = Vec::new();
        lzma_rs::xz_compress(&mut &*value, &mut stored).unwrap();
        assert_eq!(length(Compression::Xz, &stored), cut);
    }

    /// A frame of ZSTD that declares a window of 2 to the power of `log` bytes, with as many zeros. It is
    /// tiny: each block of 128 KiB has four bytes.
    fn zeros(log: u8) -> Vec<u8> {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
        for left in (0..1_u32 << (log - 17)).rev() {
            let header = (128 << 10) << 3 | 1 << 1 | u32::from(left == 0);
            frame.extend(&header.to_le_bytes()[..3]);
            frame.push(0);
        }
        frame
    }

    #[test]
    fn a_value_does_not_say_how_much_memory_it_takes() {
        let undone = Compression::Zstd.undo(&zeros(23), MAX_VALUE);
        assert_eq!(undone.unwrap(), vec![0; MAX_VALUE]);
        for log in [24, 27] {
            let refused = Compression::Zstd.undo(&zeros(log), MAX_VALUE);
            let error = refused.unwrap_err().to_string();
            assert!(error.ends_with("a value is not ZSTD"), "{error}");
        }
    }

    #[test]
    fn rubbish_is_an_error() {
        for compression in [Compression::Xz, Compression::Lz4, Compression::Zstd] {
            for rubbish in [&b""[..], b"rubbish", &[0xff; 40], &[0; 40]] {
                let undone = compression.undo(rubbish, MAX_VALUE);
                assert!(
                    undone.is_err() || undone.unwrap().is_empty(),
                    "{compression:?} {rubbish:?}"
                );
            }
        }
        assert!(Compression::of(3).is_err());
    }
}
