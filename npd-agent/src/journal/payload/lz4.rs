//! Decompresses the beginning of an LZ4 block.
//!
//! `lz4_flex` decompresses only whole blocks, and a value may have hundreds of megabytes.

/// The first `most` bytes of a block's content; `None` if the block is damaged before that.
pub(super) fn beginning(block: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut rest = block;
    let mut value = Vec::new();
    loop {
        let token = usize::from(*rest.split_off_first()?);
        let literals = length(token >> 4, &mut rest)?;
        let literals = rest.split_off(..literals)?;
        let room = most - value.len();
        value.extend_from_slice(&literals[..literals.len().min(room)]);
        if value.len() == most || rest.is_empty() {
            return Some(value);
        }
        let &[low, high] = rest.split_off(..2)?.first_chunk()?;
        let distance = usize::from(u16::from_le_bytes([low, high]));
        let copied = length(token & 15, &mut rest)? + MIN_MATCH;
        let from = value.len().checked_sub(distance).filter(|_| distance > 0)?;
        // The source may overlap the destination.
        for at in from..from + copied.min(most - value.len()) {
            value.push(value[at]);
        }
        if value.len() == most {
            return Some(value);
        }
    }
}

/// The shortest copied sequence.
const MIN_MATCH: usize = 4;

/// A length: four bits, and if they are all set, further bytes, up to the first that is not 255.
fn length(bits: usize, rest: &mut &[u8]) -> Option<usize> {
    let mut length = bits;
    if bits == 15 {
        loop {
            let more = *rest.split_off_first()?;
            length += usize::from(more);
            if more < u8::MAX {
                break;
            }
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(
            pieces in vec((vec(0..4_u8, 0..40), 1..60_usize), 0..40),
            most in 0..3000_usize,
        ) {
            let value: Vec<u8> = pieces.iter().flat_map(|(piece, times)| piece.repeat(*times)).collect();
            let block = lz4_flex::block::compress(&value);
            prop_assert_eq!(beginning(&block, usize::MAX), Some(value.clone()));
            let cut = &value[..value.len().min(most)];
            prop_assert_eq!(beginning(&block, most), Some(cut.to_vec()));
        }

        #[test]
        fn rubbish_never_gives_more_than_wanted(block in vec(any::<u8>(), 0..300), most in 0..500_usize) {
            let undone = beginning(&block, most).unwrap_or_default();
            prop_assert!(undone.len() <= most);
        }
    }
}
