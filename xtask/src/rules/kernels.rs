//! The strings of Debian's kernels, which are fetched and unpacked, not installed.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use crate::workspace::prepare;

/// A kernel of Debian's.
pub(super) struct DebianKernel {
    version: &'static str,
    suite: &'static str,
    architecture: &'static str,
}

/// From the oldest to the newest.
pub(super) const KERNELS: &[DebianKernel] = &[
    kernel("5.10", "bullseye", "amd64"),
    kernel("6.1", "bookworm", "amd64"),
    kernel("6.12", "trixie", "amd64"),
    kernel("7.3", "trixie-backports", "amd64"),
    kernel("6.12", "trixie", "arm64"),
    kernel("7.3", "trixie-backports", "arm64"),
];

/// The shortest string that counts.
const SHORTEST: usize = 8;

const fn kernel(
    version: &'static str,
    suite: &'static str,
    architecture: &'static str,
) -> DebianKernel {
    DebianKernel {
        version,
        suite,
        architecture,
    }
}

impl fmt::Display for DebianKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.version, self.architecture)
    }
}

/// All strings of a kernel and its modules. They are kept in `target/rules`.
pub(super) fn strings(shell: &Shell, kernel: &DebianKernel) -> anyhow::Result<Vec<String>> {
    let name = format!("{}-{}", kernel.version, kernel.architecture);
    let folder = shell.current_dir().join("target/rules");
    let kept = folder.join(format!("{name}.txt"));
    if !kept.is_file() {
        let unpacked = folder.join(&name);
        shell.remove_path(&unpacked)?;
        fetch(shell, kernel, &unpacked).with_context(|| format!("fetching the kernel {kernel}"))?;
        let found = read(shell, &unpacked)?;
        let lines = found.iter().map(|string| string.replace('\n', "\\n"));
        shell.write_file(&kept, lines.collect::<Vec<_>>().join("\n"))?;
        shell.remove_path(&unpacked)?;
    }
    let text = shell.read_file(&kept)?;
    Ok(text.lines().map(|line| line.replace("\\n", "\n")).collect())
}

/// Unpacks the packages of a kernel. The lists are the project's own, so that the machine's stay as they are.
fn fetch(shell: &Shell, kernel: &DebianKernel, folder: &Path) -> anyhow::Result<()> {
    let DebianKernel {
        suite,
        architecture,
        ..
    } = kernel;
    for part in ["lists/partial", "cache/archives/partial", "root"] {
        shell.create_dir(folder.join(part))?;
    }
    // The mirror that the machine has.
    let format = "$(SITE)";
    let label = "Label: Debian";
    let sites = cmd!(shell, "apt-get indextargets --format {format} {label}")
        .quiet()
        .read()?;
    let site = sites
        .lines()
        .next()
        .context("this machine has no Debian mirror")?;
    let list = format!(
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {site} {suite} main\n"
    );
    let sources = folder.join("sources.list");
    shell.write_file(&sources, list)?;
    let options = [
        format!("Dir::Etc::sourcelist={}", sources.display()),
        "Dir::Etc::sourceparts=-".to_owned(),
        format!("Dir::State::Lists={}", folder.join("lists").display()),
        format!("Dir::Cache={}", folder.join("cache").display()),
        format!("APT::Architecture={architecture}"),
        format!("APT::Architectures={architecture}"),
        "APT::Sandbox::User=root".to_owned(),
    ];
    let options: Vec<_> = options
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option])
        .collect();
    let options = &options;
    prepare(cmd!(shell, "apt-get {options...} -qq update"))?;
    let all = cmd!(shell, "apt-cache {options...} pkgnames linux-")
        .quiet()
        .read()?;
    let names = packages(kernel, all.lines());
    if names.is_empty() {
        bail!("Debian's {suite} has no such kernel");
    }
    let _in_folder = shell.push_dir(folder);
    prepare(cmd!(shell, "apt-get {options...} -qq download {names...}"))?;
    for file in shell.read_dir(".")? {
        if file.extension().is_some_and(|extension| extension == "deb") {
            prepare(cmd!(shell, "dpkg --extract {file} root"))?;
        }
    }
    Ok(())
}

/// The packages of the newest kernel of a version: one, or from 6.19 on several.
fn packages(kernel: &DebianKernel, names: std::str::Lines<'_>) -> Vec<String> {
    let DebianKernel {
        version,
        architecture,
        ..
    } = kernel;
    let flavour = format!("-{architecture}");
    let odd = ["-rt", "-cloud", "-16k", "-dbg"];
    let releases = names.filter_map(|name| {
        let (part, release) = name.strip_prefix("linux-")?.split_once('-')?;
        let of_version = release.strip_prefix(version)?.starts_with('.');
        let is_plain = release.ends_with(&flavour) && !odd.iter().any(|odd| release.contains(odd));
        let has_files = ["image", "binary", "modules"].contains(&part);
        (of_version && is_plain && has_files).then_some((release, name))
    });
    let mut releases: Vec<_> = releases.collect();
    // By their numbers, so that 6.1.9 comes before 6.1.50.
    releases.sort_by_key(|(release, _)| numbers(release));
    let Some((newest, _)) = releases.last().copied() else {
        return Vec::new();
    };
    let of_newest = releases.iter().filter(|(release, _)| *release == newest);
    of_newest.map(|(_, name)| (*name).to_owned()).collect()
}

fn numbers(release: &str) -> Vec<u32> {
    let parts = release.split(|c: char| !c.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}

/// The strings of the kernel's image and of its modules.
fn read(shell: &Shell, folder: &Path) -> anyhow::Result<Vec<String>> {
    let root = folder.join("root");
    // Modules are compressed since 6.12.
    let file = "{}";
    prepare(cmd!(
        shell,
        "find {root} -name *.ko.xz -exec xz -d -q {file} +"
    ))?;
    let listed = cmd!(shell, "find {root} -name *.ko -o -name vmlinuz*")
        .quiet()
        .read()?;
    let mut strings = Vec::new();
    for path in listed.lines().map(PathBuf::from) {
        let mut bytes =
            std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        if path.extension().is_none_or(|extension| extension != "ko") {
            bytes = image(shell, &path, bytes)?;
        }
        let found = bytes.split(|byte| *byte == 0).filter_map(printable);
        strings.extend(found);
    }
    strings.sort_unstable();
    strings.dedup();
    Ok(strings)
}

/// The kernel in an image, which begins with a program that unpacks it.
fn image(shell: &Shell, path: &Path, bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let methods: [(&[u8], &str); 3] = [
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\x1f\x8b\x08", "gzip"),
    ];
    for (magic, program) in methods {
        let Some(at) = bytes
            .windows(magic.len())
            .position(|window| window == magic)
        else {
            continue;
        };
        let packed = path.with_extension("packed");
        std::fs::write(&packed, &bytes[at..]).context("writing a packed kernel")?;
        // What follows the packed kernel makes the program fail after it has unpacked it.
        let unpack = format!("exec {program} -dcq < '{}'", packed.display());
        let unpack = cmd!(shell, "sh -c {unpack}").quiet();
        let output = unpack.ignore_status().ignore_stderr().output()?;
        if output.stdout.len() > bytes.len() {
            return Ok(output.stdout);
        }
    }
    Ok(bytes)
}

/// The text that ends these bytes, without the level of a message, if it is long enough to be one.
fn printable(bytes: &[u8]) -> Option<String> {
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\x1b' | b' '..=b'~');
    let start = bytes
        .iter()
        .rposition(|byte| !is_text(byte))
        .map_or(0, |at| at + 1);
    // `\x01` and a digit are the level.
    let has_level = start > 0 && bytes[start - 1] == 1;
    let text = &bytes[start + usize::from(has_level && start < bytes.len())..];
    let text = str::from_utf8(text).ok()?;
    (text.len() >= SHORTEST && text.contains(' ')).then(|| text.to_owned())
}
