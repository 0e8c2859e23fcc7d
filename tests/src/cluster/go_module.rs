//! Go programs that tests need, built from the modules of this repository.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};

use super::components::{cache, has_program, hex, package};

/// A folder of `tests` with a Go module.
#[derive(Clone, Copy, Debug)]
pub(super) struct GoModule {
    /// The folder.
    pub(super) folder: &'static str,
    /// All files in it that the build reads.
    pub(super) sources: &'static [&'static str],
    /// The Go packages to build.
    pub(super) packages: &'static [&'static str],
    /// For the linker.
    pub(super) flags: &'static str,
}

impl GoModule {
    /// The folder with the built programs, `target/cluster/HASH`. They are built the first time.
    pub(super) fn built(self) -> anyhow::Result<PathBuf> {
        let directory = self.directory()?;
        let lock = File::create(cache()?.join("lock"))?;
        lock.lock()
            .context("waiting for another test's build of a Go module")?;
        if !directory.exists() {
            let building = || format!("building tests/{}", self.folder);
            self.build(&directory).with_context(building)?;
        }
        Ok(directory)
    }

    /// Why it cannot be built, if so.
    pub(super) fn missing(self) -> Option<String> {
        let is_built = self.directory().is_ok_and(|directory| directory.exists());
        let missing = || format!("no Go to build tests/{}", self.folder);
        (!is_built && !has_program("go")).then(missing)
    }

    /// HASH covers all that the build reads.
    fn directory(self) -> anyhow::Result<PathBuf> {
        let mut hash = Sha256::new();
        hash.update(self.flags);
        for file in self.sources {
            let path = self.root().join(file);
            hash.update(fs::read(path).with_context(|| format!("reading {file}"))?);
        }
        let mut name = hex(&hash.finalize());
        name.truncate(16);
        Ok(cache()?.join(name))
    }

    fn build(self, directory: &Path) -> anyhow::Result<()> {
        let unfinished = directory.with_extension("unfinished");
        fs::create_dir_all(&unfinished)?;
        let status = Command::new("go")
            .current_dir(self.root())
            .env("CGO_ENABLED", "0")
            .args([
                "build",
                "-trimpath",
                "-buildvcs=false",
                "-ldflags",
                self.flags,
                "-o",
            ])
            .arg(&unfinished)
            .args(self.packages)
            .status()
            .context("starting go")?;
        ensure!(status.success(), "go build ended with {status}");
        fs::rename(&unfinished, directory)?;
        Ok(())
    }

    fn root(self) -> PathBuf {
        package().join(self.folder)
    }
}
