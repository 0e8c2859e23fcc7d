//! The mount table, `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`).
//!
//! The kernel prints it from memory, so reading it waits for no disk, but for a lock. It may have 100,000 lines
//! (`fs.mount-max`), and is read at every mount. `procfs` fails completely on one unexpected line or byte,
//! does not decode the kernel's escapes in paths, and allocates about twenty strings per line. This reader
//! borrows from one line at a time.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nix::libc::O_NONBLOCK;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::block::BlockDevice;
use super::roots::Roots;
use crate::fd;
use crate::threads::ThreadPool;

/// The longest line; longer ones are cut and then invalid. A line has a few paths of 4 KiB, and each byte
/// may be escaped with four.
const LONGEST_LINE: u64 = 64 * 1024;

/// How long the kernel may take to print the table. It prints 10,000 lines in 20 ms.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many lines are read at once.
const LINES_AT_ONCE: usize = 256;

/// One line of the table: a mount.
#[derive(Debug)]
pub struct MountEntry<'a> {
    /// The device that the file system is on.
    pub device: BlockDevice,
    /// The folder of the file system that is mounted, `/` for the whole.
    pub root: Cow<'a, [u8]>,
    /// Where it is mounted.
    pub mount_point: Cow<'a, [u8]>,
    /// The options of this mount, separated by commas. The superblock may allow less.
    pub options: &'a [u8],
    /// For example `ext4`.
    pub fs_type: &'a [u8],
    /// What was mounted, for example `/dev/sda1`.
    pub source: Cow<'a, [u8]>,
    /// The options of the superblock.
    pub super_options: &'a [u8],
}

impl<'a> MountEntry<'a> {
    /// Parses for example
    /// `36 35 98:0 /root /mnt/data rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro`.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let device = BlockDevice::parse(fields.nth(2)?)?;
        let root = unescape(fields.next()?);
        let mount_point = unescape(fields.next()?);
        let options = fields.next()?;
        // Any number of optional fields, then a mark.
        fields.find(|field| *field == b"-")?;
        Some(Self {
            device,
            root,
            mount_point,
            options,
            fs_type: fields.next()?,
            source: unescape(fields.next()?),
            super_options: fields.next()?,
        })
    }

    /// Whether the mount itself has this option.
    pub fn has(&self, option: &str) -> bool {
        options(self.options).any(|one| one == option.as_bytes())
    }

    /// Whether the superblock has this option.
    pub fn superblock_has(&self, option: &str) -> bool {
        options(self.super_options).any(|one| one == option.as_bytes())
    }
}

/// Splits a list of options.
pub fn options(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',')
}

/// A path in the table.
pub fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// Decodes the kernel's `\040`: blanks, backslashes and some others are written in octal
/// (`mangle_path` in `fs/seq_file.c`).
fn unescape(field: &[u8]) -> Cow<'_, [u8]> {
    if !field.contains(&b'\\') {
        return Cow::Borrowed(field);
    }
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        if *first == b'\\'
            && let [
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                after @ ..,
            ] = after
        {
            plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = after;
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    Cow::Owned(plain)
}

/// Reads up to `count` lines of a table, and returns whether there may be more. `take` gets `None` for an
/// invalid line.
///
/// # Errors
///
/// If the table cannot be read.
pub fn read_mounts(
    mut reader: impl BufRead,
    count: usize,
    mut take: impl FnMut(Option<MountEntry<'_>>),
) -> io::Result<bool> {
    let mut line = Vec::new();
    for _ in 0..count {
        line.clear();
        let mut limited = (&mut reader).take(LONGEST_LINE);
        if limited.read_until(b'\n', &mut line)? == 0 {
            return Ok(false);
        }
        take(MountEntry::parse(line.strip_suffix(b"\n").unwrap_or(&line)));
    }
    Ok(true)
}

/// Reads the whole table at `path`, except for invalid lines.
pub fn each_mount(path: &Path, mut take: impl FnMut(MountEntry<'_>)) -> anyhow::Result<()> {
    let context = || format!("reading {}", path.display());
    let mut reader = BufReader::new(File::open(path).with_context(context)?);
    let mut take = |mount: Option<MountEntry<'_>>| mount.into_iter().for_each(&mut take);
    while read_mounts(&mut reader, LINES_AT_ONCE, &mut take).with_context(context)? {}
    Ok(())
}

/// The mount table of process 1, which is the node's own, and can be watched.
pub struct WatchedMountinfo {
    path: PathBuf,
    /// The open table, if the runtime can wait for its changes.
    wakes: Option<AsyncFd<OwnedFd>>,
    /// Held while it is read.
    turn: Arc<Mutex<()>>,
}

impl WatchedMountinfo {
    /// Opens the table of process 1, or the agent's own if that one cannot be read.
    pub fn open(roots: &Roots) -> anyhow::Result<Self> {
        let path = roots.of_first_process("mountinfo");
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(O_NONBLOCK);
        let file = options.open(&path).context("opening the mount table")?;
        Ok(Self {
            path,
            wakes: fd::exceptional(file.into()).ok(),
            turn: Arc::default(),
        })
    }

    /// Waits until something is mounted, unmounted or remounted. A change by the kernel itself, after an
    /// error, does not end the wait (`touch_mnt_namespace` in the kernel's `fs/namespace.c`).
    pub async fn changed(&self) {
        let Some(wakes) = &self.wakes else {
            return std::future::pending().await;
        };
        match wakes.ready(Interest::PRIORITY).await {
            Ok(mut guard) => guard.clear_ready(),
            // The runtime is going away.
            Err(_) => std::future::pending().await,
        }
    }

    /// Reads the table into `state`, on another thread: it takes a lock of the kernel, which may be part of a
    /// deadlock. `take` gets `None` for an invalid line.
    ///
    /// # Errors
    ///
    /// If the table cannot be read, or the kernel does not answer soon. As long as it does not, this is an
    /// error at once.
    pub async fn read<T: Send + 'static>(
        &self,
        threads: &ThreadPool,
        mut state: T,
        take: impl Fn(&mut T, Option<MountEntry<'_>>) + Send + 'static,
    ) -> anyhow::Result<T> {
        let turn = Arc::clone(&self.turn).try_lock_owned();
        let turn = turn.context("reading the mount table: the kernel has not answered before")?;
        let threads = threads.ready();
        let threads = threads.context("making a thread to read the mount table")?;
        let path = self.path.clone();
        let reading = threads.run(move || {
            let _turn = turn;
            let mut reader = BufReader::new(File::open(path)?);
            while read_mounts(&mut reader, LINES_AT_ONCE, |mount| take(&mut state, mount))? {}
            Ok::<_, io::Error>(state)
        });
        let read = timeout(PATIENCE, reading).await.map_err(|_elapsed| {
            anyhow::anyhow!("reading the mount table has taken more than {PATIENCE:?}")
        });
        read?.flatten().context("reading the mount table")
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    /// A table whose lock is never released: a fifo that nobody writes to.
    #[tokio::test]
    async fn a_table_that_hangs_stops_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mountinfo");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let table = WatchedMountinfo {
            path: path.clone(),
            wakes: None,
            turn: Arc::default(),
        };
        let threads = ThreadPool::new("test", 8);
        let count = |lines: &mut usize, _: Option<MountEntry<'_>>| *lines += 1;
        let error = table.read(&threads, 0, count).await.unwrap_err();
        assert!(error.to_string().contains("more than"), "{error:#}");
        // It is not asked again while it hangs.
        for _ in 0..100 {
            let error = table.read(&threads, 0, count).await.unwrap_err();
            assert!(error.to_string().contains("before"), "{error:#}");
        }
        let release = path.clone();
        threads
            .ready()
            .unwrap()
            .run(move || std::fs::write(release, "").unwrap())
            .await
            .unwrap();
        drop(table.turn.lock().await);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "1 0 8:1 / / rw - ext4 /dev/root rw\n").unwrap();
        assert_eq!(table.read(&threads, 0, count).await.unwrap(), 1);
    }

    /// What a line says: device, root, mount point, options, type, source and superblock's options.
    #[track_caller]
    fn check(line: &[u8], expect: Option<[&str; 7]>) {
        let found = MountEntry::parse(line).map(|mount| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            [
                mount.device.to_string(),
                text(&mount.root),
                text(&mount.mount_point),
                text(mount.options),
                text(mount.fs_type),
                text(&mount.source),
                text(mount.super_options),
            ]
        });
        let expect = expect.map(|fields| fields.map(str::to_owned));
        assert_eq!(found, expect, "{}", line.escape_ascii());
    }

    /// Lines of nodes: of a container, a bind mount, btrfs, overlayfs, NFS, a CIFS share with blanks.
    #[test]
    fn lines_are_read_as_the_kernel_writes_them() {
        check(
            b"36 35 98:0 /root /mnt/data rw,noatime shared:1 master:2 - ext4 /dev/sda1 rw,errors=remount-ro",
            Some([
                "98:0", "/root", "/mnt/data", "rw,noatime", "ext4", "/dev/sda1",
                "rw,errors=remount-ro",
            ]),
        );
        check(
            b"1 0 254:1 / / ro - ext4 /dev/root ro",
            Some(["254:1", "/", "/", "ro", "ext4", "/dev/root", "ro"]),
        );
        check(
            b"62 29 0:35 /@home /home rw,relatime shared:31 - btrfs /dev/nvme0n1p2 rw,ssd,subvol=/@home",
            Some([
                "0:35", "/@home", "/home", "rw,relatime", "btrfs", "/dev/nvme0n1p2",
                "rw,ssd,subvol=/@home",
            ]),
        );
        check(
            b"90 30 0:50 / /run/x\\040y\\134z rw - fuse.sshfs me@host:/a\\011b rw",
            Some([
                "0:50",
                "/",
                "/run/x y\\z",
                "rw",
                "fuse.sshfs",
                "me@host:/a\tb",
                "rw",
            ]),
        );
        // A mount whose source is empty, as of a file system without one.
        check(
            b"91 30 0:51 / /m rw -  none rw",
            Some(["0:51", "/", "/m", "rw", "", "none", "rw"]),
        );
        check(
            b"37 35 0:6 net:[4026532281] /run/netns/a rw shared:2 - nsfs nsfs rw",
            Some([
                "0:6",
                "net:[4026532281]",
                "/run/netns/a",
                "rw",
                "nsfs",
                "nsfs",
                "rw",
            ]),
        );
        check(
            b"38 35 8:1 /\xff /m rw - ext4 /dev/sda1 rw",
            Some(["8:1", "/\u{fffd}", "/m", "rw", "ext4", "/dev/sda1", "rw"]),
        );
        for invalid in [
            &b""[..],
            b"36",
            b"36 35 98 / / rw - ext4 /dev/sda1 rw",
            b"36 35 98:0 / / rw ext4 /dev/sda1 rw",
            b"36 35 98:0 / / rw - ext4 /dev/sda1",
            b"36 35 98:0 / / rw -",
        ] {
            check(invalid, None);
        }
    }

    #[test]
    fn only_octal_numbers_of_a_byte_are_decoded() {
        for (field, expect) in [
            ("/plain", "/plain"),
            (r"\040", " "),
            (r"a\012b\\", "a\nb\\\\"),
            (r"\0", r"\0"),
            (r"\04", r"\04"),
            (r"\048", r"\048"),
            (r"\400", r"\400"),
            (r"\134040", r"\040"),
        ] {
            let found = unescape(field.as_bytes());
            assert_eq!(found, expect.as_bytes(), "{field}");
        }
    }

    #[test]
    fn options_are_whole_words() {
        let line = b"1 0 8:1 / / rw,nosuid - ext4 /dev/sda1 ro,emergency_ro";
        let mount = MountEntry::parse(line).unwrap();
        assert!(mount.has("rw") && mount.has("nosuid"));
        assert!(!mount.has("ro") && !mount.has("suid") && !mount.has(""));
        assert!(mount.superblock_has("ro") && !mount.superblock_has("rw"));
    }

    #[test]
    fn a_table_is_read_in_parts_and_around_bad_lines() {
        let line = |number: usize| format!("{number} 0 8:{number} / /m rw - ext4 /dev/sda rw\n");
        let long = format!("9 0 8:9 /{} /m rw - ext4 /dev/sda rw\n", "x".repeat(70_000));
        let table = [line(1), "garbage\n".to_owned(), line(2), long, line(3)].concat();
        let mut reader = table.as_bytes();
        let mut devices = Vec::new();
        let mut parts = 0;
        while read_mounts(&mut reader, 2, |mount| {
            devices.push(mount.map(|mount| mount.device.minor));
        })
        .unwrap()
        {
            parts += 1;
        }
        // A line that is too long is two lines that are none.
        assert_eq!(devices, [Some(1), None, Some(2), None, None, Some(3)]);
        assert_eq!(parts, 3);
    }
}
