//! Arrays of disks.

use crate::agent::PATIENCE;

use super::disk::Disk;
use super::{left_behind, retry, run};

/// Two disks that hold the same.
pub struct Mirror {
    name: String,
}

impl Mirror {
    /// Makes an array of this name, such as `md99`, of two empty disks.
    pub fn new(name: &str, disks: [&Disk; 2]) -> anyhow::Result<Self> {
        let array = Self {
            name: name.to_owned(),
        };
        let path = array.path();
        let disks = disks.map(Disk::path);
        let options = ["--run", "--assume-clean", "--level=1", "--raid-devices=2"];
        mdadm(&[&["--create", &path], &options[..], &disks].concat())?;
        Ok(array)
    }

    /// Its name, for example `md99`.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> String {
        format!("/dev/{}", self.name)
    }

    /// Writes to it. It works as long as one of its disks does.
    pub fn write(&self) -> anyhow::Result<()> {
        let to = format!("of={}", self.path());
        let much = ["if=/dev/zero", "bs=4k", "count=16", "oflag=direct"];
        run("dd", &[&much[..], &[&to]].concat()).map(drop)
    }
}

fn mdadm(args: &[&str]) -> anyhow::Result<String> {
    // Without udev it makes the nodes itself.
    run(
        "env",
        &[&["MDADM_NO_UDEV=1", "mdadm", "--quiet"], args].concat(),
    )
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let path = self.path();
        let stopped = retry(PATIENCE, || mdadm(&["--stop", &path]));
        left_behind(&self.name, stopped);
    }
}
