//! Moves a program into its cgroup before the program starts.
//!
//! A program must be in its cgroup before it can fork: a fork bomb is faster than a move after the
//! start. So the agent first starts its own file, as [`NAME`]. That process moves into the cgroup, and
//! then becomes the program with `exec`.

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::PluginCgroup;

/// What the agent calls itself for that.
pub const NAME: &str = "enter-cgroup";

/// NPD's message for a plugin that cannot be started. At that point, only this process knows it.
pub const NOT_STARTED: &str = "Error in starting plugin. Please check the error log";

/// NPD's exit code for what is not known.
const UNKNOWN: u8 = 2;

/// The words that make the agent enter `cgroup` and become `file`: the number of folders, the folders,
/// and the program with its name.
pub(super) fn words(cgroup: &PluginCgroup, file: &Path, name: &str) -> Vec<OsString> {
    let folders = cgroup.folders();
    let count = folders.len().to_string();
    let mut words = vec![OsString::from(NAME), OsString::from(count)];
    words.extend(folders.map(OsString::from));
    words.push(file.as_os_str().to_owned());
    words.push(OsString::from(name));
    words
}

/// Does what [`words`] say. Returns only if the program cannot be started.
pub fn run(line: Vec<OsString>) -> ExitCode {
    let error = match enter(line) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    // If nobody reads this, nobody waits for an answer.
    drop(writeln!(io::stdout(), "{NOT_STARTED}"));
    drop(writeln!(io::stderr(), "{NAME}: {error:#}"));
    ExitCode::from(UNKNOWN)
}

fn enter(line: Vec<OsString>) -> anyhow::Result<std::convert::Infallible> {
    let mut words = line.into_iter().skip(1);
    let mut word = || words.next().context("too few words");
    let count = word()?.to_str().and_then(|count| count.parse().ok());
    for _ in 0..count.context("no number of folders")? {
        let folder = PathBuf::from(word()?);
        // The program also runs if the limits cannot be set: the check is more important than its
        // limits.
        if let Err(error) = fs::write(folder.join("cgroup.procs"), "0") {
            let folder = folder.display();
            drop(writeln!(io::stderr(), "{NAME}: entering {folder}: {error}"));
        }
    }
    let file = PathBuf::from(word()?);
    let name = word()?;
    let failed = exec(&file, &name, words.collect());
    Err(failed).with_context(|| format!("starting {}", file.display()))
}

/// Becomes a program, or says why not.
///
/// `exec` of the standard library undoes what Rust did to SIGPIPE, which the program would inherit.
/// But like execvp(3) it lets a shell run what the kernel cannot, and NPD does not. So it gets only
/// what the kernel can.
#[expect(
    clippy::disallowed_types,
    reason = "it starts no child: it becomes the program"
)]
fn exec(file: &Path, name: &OsStr, arguments: Vec<OsString>) -> io::Error {
    let mut magic = [0; 4];
    let is_plain = fs::File::open(file)
        .and_then(|mut file| file.read_exact(&mut magic))
        .is_ok_and(|()| magic == *b"\x7fELF" || magic.starts_with(b"#!"));
    if is_plain {
        return std::process::Command::new(file)
            .arg0(name)
            .args(arguments)
            .exec();
    }
    let text = |text: &OsStr| CString::new(text.as_bytes());
    let words = std::iter::once(name.to_owned()).chain(arguments);
    let words: Result<Vec<_>, _> = words.map(|word| CString::new(word.into_vec())).collect();
    match (text(file.as_os_str()), words) {
        (Ok(file), Ok(words)) => match nix::unistd::execv(&file, &words) {
            Ok(never) => match never {},
            Err(error) => error.into(),
        },
        _ => io::ErrorKind::InvalidInput.into(),
    }
}
