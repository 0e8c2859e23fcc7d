//! Knobs of the kernel.

use std::path::{Path, PathBuf};

use super::{left_behind, read, write};

/// A knob that has another value for a while.
pub struct Sysctl {
    path: PathBuf,
    before: String,
}

impl Sysctl {
    /// Sets for example `kernel/hung_task_timeout_secs`.
    pub fn set(name: &str, value: &str) -> anyhow::Result<Self> {
        let path = Path::new("/proc/sys").join(name);
        let before = read(&path)?;
        let knob = Self { path, before };
        write(&knob.path, &format!("{value}\n"))?;
        Ok(knob)
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        let restored = write(&self.path, &format!("{}\n", self.before));
        left_behind(&self.path.display().to_string(), restored);
    }
}
