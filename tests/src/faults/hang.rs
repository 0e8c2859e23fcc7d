//! Tasks that hang.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use super::Alias;
use super::disk::Mount;
use super::sysctl::Sysctl;

/// Makes the kernel's detector report after a few seconds instead of two minutes.
pub struct ImpatientDetector {
    _knobs: [Sysctl; 3],
}

impl ImpatientDetector {
    /// The detector searches each second for tasks that have hung for 2 s. It prints this many more
    /// reports, and no further ones.
    pub fn new(warnings: u32) -> anyhow::Result<Self> {
        Ok(Self {
            _knobs: [
                Sysctl::set("kernel/hung_task_warnings", &warnings.to_string())?,
                Sysctl::set("kernel/hung_task_check_interval_secs", "1")?,
                Sysctl::set("kernel/hung_task_timeout_secs", "2")?,
            ],
        })
    }
}

/// A process in uninterruptible sleep.
pub struct HungTask {
    child: Child,
    _alias: Alias,
}

impl HungTask {
    /// Starts it under this name. It hangs until the file system is thawed: drop [`Frozen`] first.
    ///
    /// [`Frozen`]: super::disk::Frozen
    pub fn start(mount: &Mount<'_>, name: &'static str) -> anyhow::Result<Self> {
        Self::of("touch", name, &mount.point().join(name))
    }

    /// Starts a program under this name that does something with a file, and hangs. What it waits for must
    /// come before this is dropped.
    pub fn of(program: &str, name: &'static str, file: &Path) -> anyhow::Result<Self> {
        let alias = Alias::new(program, name)?;
        let child = Command::new(alias.path())
            .arg(file)
            .stdout(Stdio::null())
            .spawn()
            .context("starting a process that hangs")?;
        Ok(Self {
            child,
            _alias: alias,
        })
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for HungTask {
    fn drop(&mut self) {
        super::left_behind("a hung task", self.child.wait().context("waiting for it"));
    }
}
