//! Running out of memory.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::agent::PATIENCE;

use super::{Alias, left_behind, read, retry, write};

/// What the cgroup's processes may use, in bytes: enough to start a small program.
const LIMIT: u64 = 20 << 20;

/// A cgroup in which memory runs out, of version 1 or 2, whichever the machine has.
pub struct MemoryCgroup {
    folder: PathBuf,
    hog: Alias,
}

impl MemoryCgroup {
    /// The name of the processes that are killed.
    pub const VICTIM: &str = "npd-test-hog";

    /// Makes the cgroup.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        Self::with_limit(name, LIMIT)
    }

    /// Makes one whose processes may use so many bytes.
    pub fn with_limit(name: &str, bytes: u64) -> anyhow::Result<Self> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let v2 = Path::new("/sys/fs/cgroup");
        let (root, file) = if v1.join("memory.limit_in_bytes").exists() {
            (v1, "memory.limit_in_bytes")
        } else {
            // With systemd, this is already the case.
            write(&v2.join("cgroup.subtree_control"), "+memory")?;
            (v2, "memory.max")
        };
        let hog = Alias::new("tail", Self::VICTIM)?;
        let folder = root.join(name);
        std::fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let cgroup = Self { folder, hog };
        write(&cgroup.folder.join(file), &bytes.to_string())?;
        // With swap, the process would take long to be killed. Not every kernel counts swap.
        let swap = cgroup.folder.join("memory.swap.max");
        if swap.exists() {
            write(&swap, "0")?;
        }
        Ok(cgroup)
    }

    /// The cgroup's path below the root of its hierarchy.
    pub fn path(&self) -> PathBuf {
        let name = self.folder.file_name().unwrap_or_default();
        Path::new("/").join(name)
    }

    /// A command that becomes `program`, in this cgroup.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ > "$0" && exec "$@""#]);
        command.arg(self.folder.join("cgroup.procs")).arg(program);
        command
    }

    /// How many of its processes the kernel has killed.
    pub fn kills(&self) -> anyhow::Result<u64> {
        let v1 = self.folder.join("memory.oom_control");
        let file = if v1.exists() {
            v1
        } else {
            self.folder.join("memory.events")
        };
        let counters = read(&file)?;
        let count = counters
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        let count = count.with_context(|| format!("{} counts no kills", file.display()))?;
        count.parse().context("reading a count")
    }

    /// Starts a process that takes memory until the kernel kills it.
    pub fn start_hog(&self) -> anyhow::Result<Child> {
        // `tail` keeps everything in memory until the end of the file, and there is none.
        let script = r#"echo $$ > "$0" && exec "$1" /dev/zero"#;
        Command::new("sh")
            .args(["-c", script])
            .arg(self.folder.join("cgroup.procs"))
            .arg(self.hog.path())
            .stdout(Stdio::null())
            .spawn()
            .context("starting a process that takes memory")
    }

    /// From now on, the kernel kills all its processes together. Only version 2 can do this.
    pub fn die_together(&self) -> anyhow::Result<()> {
        write(&self.folder.join("memory.oom.group"), "1")
    }

    /// Starts a process that needs little memory.
    pub fn start_bystander(&self) -> anyhow::Result<Child> {
        Command::new("sh")
            .args(["-c", r#"echo $$ > "$0" && exec sleep 1000"#])
            .arg(self.folder.join("cgroup.procs"))
            .stdout(Stdio::null())
            .spawn()
            .context("starting a process that sleeps")
    }

    /// Makes the kernel kill a process because memory runs out, and returns its pid.
    pub fn kill_one(&self) -> anyhow::Result<u32> {
        let mut hog = self.start_hog()?;
        let pid = hog.id();
        let status = hog.wait().context("waiting for the kill")?;
        ensure!(status.signal() == Some(9), "the hog ended with {status}");
        Ok(pid)
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let removed = retry(PATIENCE, || {
            std::fs::remove_dir(&self.folder).context("removing the cgroup")
        });
        left_behind(&self.folder.display().to_string(), removed);
    }
}

/// How many processes the kernel has killed to free memory since it booted.
pub fn oom_kills() -> anyhow::Result<u64> {
    let counters = read(Path::new("/proc/vmstat"))?;
    for line in counters.lines() {
        if let Some(count) = line.strip_prefix("oom_kill ") {
            return count.parse().context("reading oom_kill in /proc/vmstat");
        }
    }
    bail!("/proc/vmstat does not count OOM kills")
}
