//! Fetches Debian's kernels and unpacks them, without installing them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use crate::workspace::{prepare, say};

/// A kernel and its modules, in a folder under `target`.
pub(super) struct Kernel {
    /// Its release, as `uname -r` prints it.
    pub(super) release: String,
    /// The file to boot.
    pub(super) image: PathBuf,
    /// The folder that has the modules' folder, `lib/modules` of the package.
    pub(super) modules: PathBuf,
    /// Where it is unpacked.
    pub(super) folder: PathBuf,
}

impl Kernel {
    /// Debian's newest kernel of a version, such as `6.1`. Fetches it unless it is there.
    pub(super) fn get(shell: &Shell, version: &str) -> anyhow::Result<Self> {
        let folder = shell.current_dir().join("target/vm").join(version);
        if !folder.is_dir() {
            fetch(shell, version, &folder)?;
        }
        let modules = folder.join("lib/modules");
        let releases = shell.read_dir(&modules)?;
        let release = releases.first().and_then(|path| path.file_name());
        let release = release.context("the package has no modules")?;
        let release = release.to_string_lossy().into_owned();
        Ok(Self {
            image: folder.join("boot").join(format!("vmlinuz-{release}")),
            release,
            modules,
            folder,
        })
    }

    /// The files of these modules and of the modules that they need, in the order of loading.
    pub(super) fn modules(&self, shell: &Shell, names: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let Self {
            folder, release, ..
        } = self;
        let mut files = Vec::new();
        for name in names {
            let listed = cmd!(
                shell,
                "modprobe --dirname {folder} --set-version {release} --show-depends {name}"
            );
            let listed = listed.quiet().read().context("asking for modules")?;
            for line in listed.lines() {
                // What is part of the kernel is listed as `builtin`.
                let Some(file) = line.strip_prefix("insmod ") else {
                    continue;
                };
                let file = PathBuf::from(file.trim_end());
                if !files.contains(&file) {
                    files.push(file);
                }
            }
        }
        Ok(files)
    }
}

fn fetch(shell: &Shell, version: &str, folder: &Path) -> anyhow::Result<()> {
    let name = package(shell, version)?;
    say(format_args!("fetching {name}, to boot it"));
    let new = folder.with_extension("new");
    shell.remove_path(&new)?;
    shell.create_dir(&new)?;
    let _in_folder = shell.push_dir(&new);
    prepare(cmd!(shell, "apt-get download {name}")).with_context(|| format!("fetching {name}"))?;
    for file in shell.read_dir(".")? {
        prepare(cmd!(shell, "dpkg --extract {file} ."))?;
        shell.remove_path(file)?;
    }
    let releases = shell.read_dir("lib/modules")?;
    let release = releases.first().context("the package has no modules")?;
    let release = release.file_name().context("modules without a folder")?;
    prepare(cmd!(shell, "depmod --basedir . {release}"))?;
    std::fs::rename(&new, folder).with_context(|| format!("making {}", folder.display()))
}

/// The package with that kernel: a dependency of Debian's package for the current kernel.
fn package(shell: &Shell, version: &str) -> anyhow::Result<String> {
    let metas = [
        format!("linux-image-{version}-amd64"),
        "linux-image-amd64".to_owned(),
    ];
    for meta in metas {
        let depends = cmd!(shell, "apt-cache depends {meta}")
            .quiet()
            .ignore_stderr()
            .ignore_status()
            .read()?;
        let mut names = depends.split_whitespace();
        let wanted = format!("linux-image-{version}.");
        if let Some(name) = names.find(|name| name.starts_with(&wanted)) {
            return Ok(name.to_owned());
        }
    }
    bail!("Debian has no kernel {version} for this system")
}
