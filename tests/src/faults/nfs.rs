//! An NFS server of the kernel, which goes away and comes back.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::agent::PATIENCE;

use super::disk::Mount;
use super::{left_behind, retry, run};

const NFSD: &str = "/proc/fs/nfsd";

/// The name of the file on the server.
const FILE: &str = "file";

/// A server on this machine, for this machine.
pub struct NfsServer {
    export: String,
    /// Answers the kernel when it asks who may see what.
    mountd: Child,
}

/// What it serves, mounted.
pub struct NfsMount {
    folder: TempDir,
}

/// A program that waits for the server.
pub struct NfsReader(Child);

impl NfsServer {
    /// Serves a file system.
    pub fn new(disk: &Mount<'_>) -> anyhow::Result<Self> {
        std::fs::write(disk.point().join(FILE), "content").context("writing a file")?;
        if !Path::new(NFSD).join("threads").exists() {
            run("mount", &["-t", "nfsd", "nfsd", NFSD])?;
        }
        let mountd = Command::new("rpc.mountd")
            .args(["--foreground", "--no-nfs-version", "3"])
            .stderr(Stdio::null())
            .spawn()
            .context("starting rpc.mountd")?;
        let server = Self {
            export: format!("127.0.0.1:{}", disk.point().display()),
            mountd,
        };
        let options = "rw,no_root_squash,no_subtree_check,insecure,fsid=0";
        run("exportfs", &["-o", options, &server.export])?;
        server.start()?;
        Ok(server)
    }

    /// Listens, for NFS 4 only: others need a port mapper.
    pub fn start(&self) -> anyhow::Result<()> {
        run("rpc.nfsd", &["--no-nfs-version", "3", "2"]).map(drop)
    }

    /// Cuts everyone off.
    pub fn stop(&self) -> anyhow::Result<()> {
        run("rpc.nfsd", &["0"]).map(drop)
    }

    /// Mounts it. Nothing is cached, and the kernel says after some seconds that the server is gone.
    pub fn mount(&self) -> anyhow::Result<NfsMount> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let place = folder.path().display().to_string();
        let options = "vers=4.2,proto=tcp,hard,timeo=20,retrans=1,noac";
        run(
            "mount",
            &["-t", "nfs", "-o", options, "127.0.0.1:/", &place],
        )?;
        Ok(NfsMount { folder })
    }
}

impl NfsMount {
    /// Starts to look at the file.
    pub fn read(&self) -> anyhow::Result<NfsReader> {
        let file: PathBuf = self.folder.path().join(FILE);
        let reader = Command::new("stat").arg(file).stdout(Stdio::null()).spawn();
        Ok(NfsReader(reader.context("starting stat")?))
    }
}

impl NfsReader {
    /// Waits until it has seen the file.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        let status = retry(PATIENCE, || {
            let status = self.0.try_wait().context("waiting for stat")?;
            status.context("stat still waits for the server")
        })?;
        ensure!(status.success(), "stat ended with {status}");
        Ok(())
    }
}

impl Drop for NfsReader {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for NfsMount {
    fn drop(&mut self) {
        let place = self.folder.path().display().to_string();
        let unmounted = retry(PATIENCE, || run("umount", &["--force", &place]));
        left_behind(&place, unmounted);
    }
}

impl Drop for NfsServer {
    fn drop(&mut self) {
        left_behind("nfsd", self.stop());
        left_behind(&self.export, run("exportfs", &["-u", &self.export]));
        drop(self.mountd.kill());
        drop(self.mountd.wait());
    }
}
