//! The agent's own folder in a cgroup hierarchy.
//!
//! Several agents may share a parent cgroup, and may see themselves as the same process: each in a pid
//! namespace of its own. So a folder has a random name, and its agent locks it as long as it lives.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::node::random;

/// The names of our folders. Something random follows.
pub(super) const PREFIX: &str = "npd-plugins-";

/// How many times a folder is made, if others take it away.
const TRIES: usize = 10;

/// A locked folder. When dropped, it is removed.
#[derive(Debug)]
pub(super) struct OwnFolder {
    pub(super) path: PathBuf,
    /// The kernel unlocks it when the agent ends, however that happens.
    _lock: File,
}

impl OwnFolder {
    /// Makes a folder in `parent`, and removes those of agents that have ended.
    pub(super) fn make(parent: &Path) -> anyhow::Result<Self> {
        remove_leftovers(parent)?;
        for _ in 0..TRIES {
            if let Some(own) = Self::try_make(parent)? {
                return Ok(own);
            }
        }
        anyhow::bail!("other agents remove our folder in {}", parent.display());
    }

    /// `None` if another agent took the folder for a leftover before it was locked.
    fn try_make(parent: &Path) -> anyhow::Result<Option<Self>> {
        let path = parent.join(format!("{PREFIX}{:016x}", random::number()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        let Some(lock) = lock(&path)? else {
            return Ok(None);
        };
        Ok(path.exists().then_some(Self { path, _lock: lock }))
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Removes the folders that no living agent has locked.
fn remove_leftovers(parent: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(parent).context("reading the agent's cgroup")?;
    for entry in entries.flatten() {
        let is_ours = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes());
        if is_ours && let Ok(Some(_lock)) = lock(&entry.path()) {
            remove(&entry.path());
        }
    }
    Ok(())
}

/// Locks a folder; `None` if somebody else has locked it, or removed it.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let file = match File::open(folder) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Removes a folder and those in it, unless a process still holds them.
fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            drop(fs::remove_dir(entry.path()));
        }
    }
    drop(fs::remove_dir(folder));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parent: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(parent).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn folders_of_the_living_stay_and_those_of_the_dead_go() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir_all(parent.path().join("npd-plugins-1/a.json-rule-0")).unwrap();
        fs::create_dir(parent.path().join("other")).unwrap();
        let first = OwnFolder::make(parent.path()).unwrap();
        fs::create_dir(first.path.join("a.json-rule-0")).unwrap();
        let second = OwnFolder::make(parent.path()).unwrap();
        assert_ne!(first.path, second.path);
        assert!(first.path.join("a.json-rule-0").exists());
        assert_eq!(names(parent.path()).len(), 3, "the leftover is gone");
        drop(first);
        drop(second);
        assert_eq!(names(parent.path()), [parent.path().join("other")]);
    }

    #[test]
    fn agents_that_start_together_do_not_take_each_others_folders() {
        let parent = tempfile::tempdir().unwrap();
        let (sender, made) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let (sender, parent) = (sender.clone(), parent.path());
                scope.spawn(move || sender.send(OwnFolder::make(parent).unwrap()).unwrap());
            }
        });
        drop(sender);
        let folders: Vec<OwnFolder> = made.iter().collect();
        assert!(folders.iter().all(|folder| folder.path.exists()));
        assert_eq!(names(parent.path()).len(), folders.len());
    }
}
