//! A disk on the network (NVM Express over TCP), whose target goes away.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::port::{FreePort, free_port};

use super::disk::Disk;
use super::{left_behind, run, write};

const CONFIGFS: &str = "/sys/kernel/config";
const NQN: &str = "nqn.2026-12.test:npd";

/// A target that offers a disk to this machine.
pub struct NvmeTarget {
    port: FreePort,
}

/// A connection to it.
pub struct NvmeController {
    name: String,
}

impl NvmeTarget {
    /// Offers `disk`.
    pub fn new(disk: &Disk) -> anyhow::Result<Self> {
        if !Path::new(CONFIGFS).join("nvmet").exists() {
            run("mount", &["-t", "configfs", "configfs", CONFIGFS])?;
        }
        let target = Self { port: free_port()? };
        let namespace = subsystem().join("namespaces/1");
        make(&subsystem())?;
        write(&subsystem().join("attr_allow_any_host"), "1")?;
        make(&namespace)?;
        write(&namespace.join("device_path"), disk.path())?;
        write(&namespace.join("enable"), "1")?;
        make(&door())?;
        let number = target.port.number.to_string();
        for (name, value) in [
            ("addr_trtype", "tcp"),
            ("addr_adrfam", "ipv4"),
            ("addr_traddr", "127.0.0.1"),
            ("addr_trsvcid", &number),
        ] {
            write(&door().join(name), value)?;
        }
        target.open()?;
        Ok(target)
    }

    /// Connects to it. The controller tries again every second when the target is gone.
    pub fn connect(&self) -> anyhow::Result<NvmeController> {
        let mut fabrics = File::options();
        let fabrics = fabrics.read(true).write(true).open("/dev/nvme-fabrics");
        let mut fabrics = fabrics.context("opening /dev/nvme-fabrics")?;
        let port = self.port.number;
        let address = format!("transport=tcp,traddr=127.0.0.1,trsvcid={port},nqn={NQN}");
        let patience = "reconnect_delay=1,ctrl_loss_tmo=3600";
        // In one piece: the kernel takes each write for all options.
        let options = format!("{address},{patience}");
        fabrics
            .write_all(options.as_bytes())
            .context("connecting to a target")?;
        let mut answer = String::new();
        fabrics
            .read_to_string(&mut answer)
            .context("reading which controller it is")?;
        let instance = answer.strip_prefix("instance=");
        let instance = instance.and_then(|rest| rest.split(',').next());
        let instance = instance.with_context(|| format!("which controller is {answer}"))?;
        let name = format!("nvme{instance}");
        Ok(NvmeController { name })
    }

    /// Nobody can connect any more, and who is connected is cut off.
    pub fn close(&self) -> anyhow::Result<()> {
        fs::remove_file(link()).context("closing a target")
    }

    /// The target is there again.
    pub fn open(&self) -> anyhow::Result<()> {
        std::os::unix::fs::symlink(subsystem(), link()).context("opening a target")
    }
}

impl NvmeController {
    /// Its name, for example `nvme0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does, for example `live` or `connecting`.
    pub fn state(&self) -> anyhow::Result<String> {
        super::read(&self.folder().join("state"))
    }

    fn folder(&self) -> PathBuf {
        Path::new("/sys/class/nvme").join(&self.name)
    }
}

fn subsystem() -> PathBuf {
    Path::new(CONFIGFS).join("nvmet/subsystems").join(NQN)
}

fn door() -> PathBuf {
    Path::new(CONFIGFS).join("nvmet/ports/1")
}

fn link() -> PathBuf {
    door().join("subsystems").join(NQN)
}

fn make(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir(folder).with_context(|| format!("making {}", folder.display()))
}

impl Drop for NvmeController {
    fn drop(&mut self) {
        let path = self.folder().join("delete_controller");
        left_behind(&self.name, write(&path, "1"));
    }
}

impl Drop for NvmeTarget {
    fn drop(&mut self) {
        drop(fs::remove_file(link()));
        for folder in [door(), subsystem().join("namespaces/1"), subsystem()] {
            let removed = fs::remove_dir(&folder).context("removing a part of a target");
            left_behind(&folder.display().to_string(), removed);
        }
    }
}
