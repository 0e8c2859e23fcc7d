//! Reading the kernel's small text files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context;

/// The longest file read; the largest known, `/proc/stat` of a machine with thousands of
/// processors, has some hundred kilobytes.
const LIMIT: u64 = 16 << 20;

/// Reads a whole file of the kernel's.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let context = || format!("reading {}", path.display());
    let mut text = Vec::new();
    File::open(path)
        .with_context(context)?
        .take(LIMIT)
        .read_to_end(&mut text)
        .with_context(context)?;
    Ok(String::from_utf8(text)
        .unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()))
}

/// Reads a file that holds one number; `None` if the kernel does not have it.
pub fn read_number(path: &Path) -> Option<u64> {
    read(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// The names in a folder, sorted; none if it does not exist.
pub fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}
