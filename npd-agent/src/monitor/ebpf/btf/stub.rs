//! BTF for a library that looks for one function in it.

use super::{HEADER_BYTES, MAGIC, TYPE_BYTES, count};

/// BTF in which only the function with this number has a name.
///
/// aya finds functions by name in a copy of all the kernel's types, which takes ten times the memory
/// that the agent otherwise needs. This stub has only the function that aya searches, with the right
/// number.
pub(in super::super) fn with_function(name: &str, number: u32) -> Vec<u8> {
    const VERSION: u32 = 1 << 16;
    const FORWARD: u32 = 7 << 24;
    const FUNCTION: u32 = 12 << 24;
    let strings = [b"\0", name.as_bytes(), b"\0"].concat();
    let types = number.saturating_mul(count(TYPE_BYTES));
    let header = [
        MAGIC | VERSION,
        count(HEADER_BYTES),
        0,
        types,
        types,
        count(strings.len()),
    ];
    let unnamed = (1..number).flat_map(|_| [0, FORWARD, 0]);
    let words = header.into_iter().chain(unnamed).chain([1, FUNCTION, 0]);
    let bytes = words.flat_map(u32::to_ne_bytes);
    bytes.chain(strings).collect()
}
