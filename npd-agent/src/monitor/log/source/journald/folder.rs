//! The files of a journal.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file's device and inode.
pub(super) type Inode = (u64, u64);

/// The folders of a journal: `roots`, and those of machines in them.
pub(super) fn folders(roots: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = roots.to_vec();
    for root in roots {
        // A root that is not there may come.
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            if is_machine_id(&entry.file_name().to_string_lossy()) && entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    folders
}

/// The journal files in `folders`.
pub(super) fn files(folders: &[PathBuf]) -> BTreeMap<Inode, PathBuf> {
    let entries = folders.iter().flat_map(fs::read_dir).flatten().flatten();
    let files = entries.filter_map(|entry| {
        let path = entry.path();
        let metadata = entry.metadata().ok()?;
        (metadata.is_file() && is_journal(&path)).then(|| ((metadata.dev(), metadata.ino()), path))
    });
    files.collect()
}

/// A file that its writer did not close well ends in `~`.
fn is_journal(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "journal" || extension == "journal~")
}

fn is_machine_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
