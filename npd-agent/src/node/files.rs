//! Reads the kernel's small text files, whatever they contain.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context;
use nix::libc::O_PATH;

/// How much of a file is read at most. The largest known file, the mount table of a node with 100,000
/// mounts, has about twenty megabytes.
const LIMIT: u64 = 64 << 20;

/// Opens a regular file for reading. Anything else is refused without opening it: opening a device may
/// already do something, for example start a watchdog, and opening a fifo may wait for ever.
///
/// # Errors
///
/// If it cannot be opened, or if it is something else.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let found = OpenOptions::new()
        .read(true)
        .custom_flags(O_PATH)
        .open(path)?;
    if !found.metadata()?.is_file() {
        let kind = io::ErrorKind::InvalidInput;
        return Err(io::Error::new(kind, "not a regular file"));
    }
    // Opens the same file, even if the name now leads to another one.
    File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))
}

/// Reads a whole kernel file that is small on every machine.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let context = || format!("reading {}", path.display());
    let mut text = Vec::new();
    File::open(path)
        .with_context(context)?
        .take(LIMIT)
        .read_to_end(&mut text)
        .with_context(context)?;
    Ok(String::from_utf8(text)
        .unwrap_or_else(|bad| String::from_utf8_lossy(bad.as_bytes()).into_owned()))
}

/// Reads a kernel file line by line, with memory for one line.
pub fn each_line(path: &Path, mut take: impl FnMut(&str)) -> anyhow::Result<()> {
    let context = || format!("reading {}", path.display());
    let mut reader = BufReader::new(File::open(path).with_context(context)?.take(LIMIT));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).with_context(context)? > 0 {
        take(&String::from_utf8_lossy(
            line.strip_suffix(b"\n").unwrap_or(&line),
        ));
        line.clear();
    }
    Ok(())
}

/// Reads a file that holds one number; `None` if the kernel does not have it.
pub fn read_number(path: &Path) -> Option<u64> {
    read(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// The names in a folder, sorted; none if it does not exist.
pub fn names(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_a_regular_file_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        std::fs::write(path("log"), "line").unwrap();
        symlink("log", path("link")).unwrap();
        symlink("/dev/null", path("device")).unwrap();
        // Opening it without O_NONBLOCK would wait for a writer. With it, the writer would notice.
        mkfifo(&path("fifo"), Mode::S_IRWXU).unwrap();
        for name in ["log", "link"] {
            let mut text = String::new();
            let mut file = open_regular(&path(name)).unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, "line");
        }
        for name in ["device", "fifo", "."] {
            let error = open_regular(&path(name)).unwrap_err();
            assert_eq!(error.to_string(), "not a regular file", "{name}");
        }
        let error = open_regular(&path("nothing")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn files_are_read_whatever_they_contain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (content, text, lines, number) in [
            (&b""[..], "", &[][..], None),
            (b"42\n", "42\n", &["42"], Some(42)),
            (b"  7 tasks", "  7 tasks", &["  7 tasks"], Some(7)),
            (b"-1\n", "-1\n", &["-1"], None),
            (b"max\n", "max\n", &["max"], None),
            (b"a\n\nb", "a\n\nb", &["a", "", "b"], None),
            (b"\xff1\n", "\u{fffd}1\n", &["\u{fffd}1"], None),
            // A number that has more than 64 bits.
            (
                b"18446744073709551616",
                "18446744073709551616",
                &["18446744073709551616"],
                None,
            ),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(&path).unwrap(), text);
            let mut found = Vec::new();
            each_line(&path, |line| found.push(line.to_owned())).unwrap();
            assert_eq!(found, lines, "{text:?}");
            assert_eq!(read_number(&path), number, "{text:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let path = Path::new("/no/such/file");
        let expect = "reading /no/such/file: No such file or directory (os error 2)";
        assert_eq!(format!("{:#}", read(path).unwrap_err()), expect);
        let error = each_line(path, |_| {}).unwrap_err();
        assert_eq!(format!("{error:#}"), expect);
        assert_eq!(read_number(path), None);
        assert_eq!(names(path), [""; 0]);
    }

    #[test]
    fn names_are_sorted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["sdb", "sda10", "sda", "dm-0"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(names(folder.path()), ["dm-0", "sda", "sda10", "sdb"]);
    }
}
