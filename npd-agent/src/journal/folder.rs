//! Finds the files of a journal.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file's device and inode.
pub(super) type Inode = (u64, u64);

/// A folder with journal files, or with a folder of journal files for each machine; or one such file.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) path: PathBuf,
    /// Whether this is /run, where journald writes until the disk is there. Then it copies everything
    /// to the disk.
    pub(super) volatile: bool,
}

/// A journal file.
pub(super) struct Listed {
    pub(super) path: PathBuf,
    pub(super) volatile: bool,
}

impl Root {
    /// The root, and the folders of machines in it.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let mut folders = vec![self.path.clone()];
        // A root that does not exist may be created later.
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if is_machine_id(&entry.file_name().to_string_lossy()) && entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
        folders
    }
}

/// The journal files in `roots`.
pub(super) fn files(roots: &[Root]) -> BTreeMap<Inode, Listed> {
    let mut files = BTreeMap::new();
    for root in roots {
        // Someone may have saved one file.
        if let Ok(metadata) = fs::metadata(&root.path)
            && metadata.is_file()
        {
            let (path, volatile) = (root.path.clone(), root.volatile);
            files.insert((metadata.dev(), metadata.ino()), Listed { path, volatile });
        }
        let folders = root.folders();
        for entry in folders.iter().flat_map(fs::read_dir).flatten().flatten() {
            let path = entry.path();
            // The file may be gone again.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_file() && is_journal(&path) {
                let listed = Listed {
                    path,
                    volatile: root.volatile,
                };
                files.insert((metadata.dev(), metadata.ino()), listed);
            }
        }
    }
    files
}

/// A file that its writer did not close properly has a name that ends in `~`.
fn is_journal(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "journal" || extension == "journal~")
}

fn is_machine_id(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
