//! Settings of the kernel (sysctl).

use std::path::{Path, PathBuf};

use super::{left_behind, read, write};

/// A setting that has another value until this is dropped.
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
