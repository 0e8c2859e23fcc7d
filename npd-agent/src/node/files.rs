//! Reads the kernel's small text files, whatever they contain.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use anyhow::Context;

/// How much of a file is read at most. The largest known file, the mount table of a node with 100,000
/// mounts, has about twenty megabytes.
const LIMIT: u64 = 64 << 20;

/// Reads a whole kernel file that is small on every machine.
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

/// Reads a kernel file line by line, with memory for one line.
pub fn each_line(path: &Path, mut take: impl FnMut(&str)) -> anyhow::Result<()> {
    let context = || format!("reading {}", path.display());
    let mut reader = BufReader::new(File::open(path).with_context(context)?.take(LIMIT));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).with_context(context)? > 0 {
        take(&String::from_utf8_lossy(
            line.strip_suffix(b"\n").unwrap_or(&line),
        ));
        line.clear();
    }
    Ok(())
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
