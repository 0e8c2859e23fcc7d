//! Machines that we do not have, as the files in `/proc` and `/sys` that their kernels would show.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::harness;

/// A tree of `/proc` and `/sys`. It has the size of the machine, which is idle: the files do not
/// change.
#[derive(Debug)]
pub struct Machine(TempDir);

impl Machine {
    /// An empty tree.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(tempfile::tempdir().context("making a folder")?))
    }

    /// The tree of a machine of this size. Each disk has a mounted file system, and each of the
    /// interfaces is one that the shipped configs show.
    pub fn of_size(cpus: usize, disks: usize, interfaces: usize) -> anyhow::Result<Self> {
        let machine = Self::new()?;
        machine.write("proc/stat", &stat(cpus))?;
        machine.write("proc/loadavg", "250.12 240.34 230.56 12/34567 891011\n")?;
        machine.write("proc/uptime", "2345678.90 1.00\n")?;
        machine.write("proc/cmdline", "BOOT_IMAGE=/vmlinuz root=/dev/sda1 quiet\n")?;
        machine.write("proc/modules", "")?;
        machine.write("proc/sys/kernel/osrelease", "6.12.0\n")?;
        machine.write("proc/meminfo", &fs::read_to_string("/proc/meminfo")?)?;
        machine.write("proc/1/net/dev", &net_dev(interfaces))?;
        let (mut diskstats, mut mounts) = (String::new(), String::new());
        for disk in 0..disks {
            let name = format!("nvme{disk}n1");
            let counts = "123456789 234 98765432109 45678 65432109 3456 8765432109 98765 0 1 2";
            writeln!(diskstats, " 259 {disk} {name} {counts} 0 0 0 0 0 0")?;
            let point = format!("/var/lib/kubelet/pods/{disk}");
            writeln!(
                mounts,
                "1 1 259:{disk} / {point} rw,relatime shared:1 - ext4 /dev/{name} rw"
            )?;
            machine.write(&format!("sys/block/{name}/size"), "7814037168\n")?;
            // The agent opens this folder to ask the file system.
            fs::create_dir_all(machine.path().join("proc/1/root").join(&point[1..]))?;
        }
        machine.write("proc/diskstats", &diskstats)?;
        machine.write("proc/1/mountinfo", &mounts)?;
        Ok(machine)
    }

    /// Where the tree is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file atomically.
    pub fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path().join(path);
        let folder = path.parent().context("a file without a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let new = path.with_extension("new");
        fs::write(&new, text).with_context(|| format!("writing {}", path.display()))?;
        fs::rename(&new, &path).with_context(|| format!("renaming to {}", path.display()))
    }

    /// Makes a program and its children use this machine instead of the real one.
    pub fn host(&self, mut program: Command) -> Command {
        program.env("HOST_PROC", self.path().join("proc"));
        program.env("HOST_SYS", self.path().join("sys"));
        program
    }

    /// The agent, on this machine.
    pub fn agent(&self) -> anyhow::Result<Command> {
        Ok(self.host(Command::new(harness::agent()?)))
    }
}

fn stat(cpus: usize) -> String {
    let times = "123456789 1234 34567890 4567890123 56789 0 678901 0 0 0";
    let mut stat = format!("cpu  {times}\n");
    for cpu in 0..cpus {
        stat += &["cpu", &cpu.to_string(), " ", times, "\n"].concat();
    }
    // Each processor has its share of the interrupts of every disk and interface.
    stat += "intr 5000000000";
    stat += &" 1234567".repeat(cpus * 32);
    stat + "\nctxt 9876543210\nbtime 1700000000\nprocesses 77777777\nprocs_running 250\nprocs_blocked 3\n"
}

fn net_dev(interfaces: usize) -> String {
    let heading = "Inter-|   Receive |  Transmit\n face |bytes packets |bytes packets\n";
    let counts = "123456789012 1234567890 0 12 0 0 0 34 98765432109 987654321 0 0 0 0 0 0";
    let interface = |index| format!("  lxc{index:08x}: {counts}\n");
    heading.to_owned() + &(0..interfaces).map(interface).collect::<String>()
}
