//! The folder for saved state, `--state-dir`.
//!
//! Its disk may hang, and other programs may put something else in the place of our files. So one thread
//! does all work on it, nobody waits for that thread for long, and only regular files of a bounded size are
//! read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

use crate::threads::{ThreadPool, ThreadTask};

/// How long the start and the printing of problems wait for the folder.
const PATIENCE: Duration = Duration::from_secs(2);

/// The thread that does all work on the folder. Clones share it.
#[derive(Clone, Debug)]
pub struct StateThread(ThreadPool);

impl Default for StateThread {
    fn default() -> Self {
        Self(ThreadPool::new("state", 1))
    }
}

impl StateThread {
    /// Does `work` and waits for it, but not long.
    ///
    /// # Errors
    ///
    /// If the folder does not answer, or there is no thread.
    pub fn within_patience<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = sync_channel(1);
        let _task = self.run(move || {
            // Nobody may wait for it any more.
            drop(answer.send(work()));
        })?;
        answered.recv_timeout(PATIENCE).map_err(|_elapsed| {
            let silence = format!("the folder did not answer within {PATIENCE:?}");
            io::Error::new(io::ErrorKind::TimedOut, silence)
        })
    }

    /// Begins `work`.
    ///
    /// # Errors
    ///
    /// If there is no thread.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<ThreadTask<T>> {
        Ok(self.0.ready()?.run(work))
    }
}

/// Reads a file of ours of at most `limit` bytes.
///
/// # Errors
///
/// If it cannot be read, is a link or no regular file, or is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NOFOLLOW | O_NONBLOCK)
        .open(path)?;
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return refused("not a regular file");
    }
    if metadata.len() > limit {
        return refused("larger than this agent writes it");
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes a new file that only its owner can read, in the place of whatever has this name.
///
/// # Errors
///
/// If it cannot be made.
pub fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_folder_that_hangs_is_not_waited_for() {
        let state = StateThread::default();
        let (release, gate) = sync_channel::<()>(1);
        assert_eq!(state.within_patience(|| 1).unwrap(), 1);
        let hung = state.within_patience(move || gate.recv().is_err());
        let error = hung.unwrap_err();
        assert_eq!(error.to_string(), "the folder did not answer within 2s");
        // What was not begun is not done later.
        let (late, done) = sync_channel(1);
        assert!(state.within_patience(move || late.send(1)).is_err());
        drop(release);
        assert_eq!(state.within_patience(|| 2).unwrap(), 2);
        assert!(done.try_recv().is_err());
    }

    #[test]
    fn links_are_neither_read_nor_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
        fs::write(&theirs, "secret").unwrap();
        symlink(&theirs, &ours).unwrap();
        assert!(read(&ours, 100).is_err());
        create(&ours).unwrap().write_all(b"state").unwrap();
        assert_eq!(fs::read(&theirs).unwrap(), b"secret");
        assert_eq!(read(&ours, 5).unwrap(), b"state");
        let mode = fs::metadata(&ours).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = read(&ours, 4).unwrap_err();
        assert_eq!(error.to_string(), "larger than this agent writes it");
        assert!(read(Path::new("/dev/zero"), 100).is_err());
    }
}
