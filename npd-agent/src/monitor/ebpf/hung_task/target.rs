//! What a sleeping task works on: a file system or a block device.
//!
//! The kernel says in which system call a task sleeps, and with which arguments. A file descriptor or a path
//! leads to an entry of the task's mount table. Nothing here calls a file system, which may not answer.

use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use nix::libc;

use crate::node::block::{BlockDevice, name_of_path};
use crate::node::files::read;
use crate::node::mountinfo::{each_mount, path as mount_path};
use crate::node::roots::Roots;

/// File systems whose files are parts of the kernel and its drivers, and do not wait for each other.
const PSEUDO: [&[u8]; 6] = [
    b"devtmpfs",
    b"proc",
    b"sysfs",
    b"debugfs",
    b"tracefs",
    b"cgroup2",
];

/// The longest path that a system call takes.
const LONGEST_PATH: usize = libc::PATH_MAX as usize;

/// A file system or a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WaitTarget {
    /// The kernel's name of the device, or the number of a file system without one.
    pub(super) key: String,
    /// For people: `sda1 (ext4 on /var)`, `10.0.0.7:/data (nfs4 on /mnt)`.
    pub(super) text: String,
}

impl WaitTarget {
    /// What needs no more than its name.
    fn device(name: String) -> Self {
        Self {
            key: name.clone(),
            text: name,
        }
    }
}

/// Which argument of a system call says what it works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    /// The first is a file descriptor.
    Descriptor,
    /// The first is a path.
    Path,
    /// The first is the descriptor of a folder, and the second is a path from there.
    PathFrom,
}

/// What the thread `pid` works on, if that can be seen.
pub(super) fn target(roots: &Roots, pid: u32) -> Option<WaitTarget> {
    let task = roots.proc.join(pid.to_string());
    let comm = read(&task.join("comm")).unwrap_or_default();
    if let Some(name) = of_kernel_thread(comm.trim_end(), &roots.sys) {
        return Some(WaitTarget::device(name));
    }
    let path = path_of_call(&task)?;
    // A node in /dev is a device, and not a file on the file system there.
    let name = name_of_path(&path, &roots.dev)
        .filter(|name| roots.sys.join("class/block").join(name).exists());
    name.map(WaitTarget::device)
        .or_else(|| mounted_at(&task, &path, &roots.sys))
}

/// The device that a thread of the kernel works for, by its name: the journal of ext4 (`jbd2/sda1-8`), the
/// log of XFS (`xfsaild/sda1`), a worker that writes dirty pages (`kworker/u8:1+flush-8:0`).
fn of_kernel_thread(comm: &str, sys: &Path) -> Option<String> {
    if let Some((_, number)) = comm.split_once("flush-") {
        return BlockDevice::parse(number.as_bytes())?.name(sys);
    }
    if let Some(journal) = comm.strip_prefix("jbd2/") {
        return journal
            .rsplit_once('-')
            .map(|(name, _inode)| name.to_owned());
    }
    comm.strip_prefix("xfsaild/").map(str::to_owned)
}

/// The path that the task's system call works on, from the root of its mount table.
fn path_of_call(task: &Path) -> Option<PathBuf> {
    let call = read(&task.join("syscall")).ok()?;
    let mut words = call.split_ascii_whitespace();
    let operand = operand(words.next()?.parse().ok()?)?;
    let mut argument = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let first = argument()?;
    let of_descriptor = || std::fs::read_link(task.join("fd").join(first.to_string())).ok();
    let path = match operand {
        Operand::Descriptor => return of_descriptor(),
        Operand::Path => text_at(task, first),
        Operand::PathFrom => text_at(task, argument()?),
    };
    let from = match operand {
        // `AT_FDCWD`, as 32 or 64 bits.
        Operand::PathFrom if first & 0x8000_0000 == 0 => of_descriptor(),
        _ => std::fs::read_link(task.join("cwd")).ok(),
    };
    match path {
        Some(path) if path.is_absolute() => Some(path),
        Some(path) => Some(from?.join(path)),
        // A file is nearly always on the file system of the folder that it was looked for from.
        None if operand == Operand::PathFrom && first & 0x8000_0000 == 0 => from,
        None => None,
    }
}

/// A path in the memory of the task, which must be the only thread of its process. The kernel takes a lock
/// of this memory, which another thread may hold and never release.
fn text_at(task: &Path, address: u64) -> Option<PathBuf> {
    let status = read(&task.join("status")).ok()?;
    let threads = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))?;
    if threads.trim() != "1" {
        return None;
    }
    let memory = std::fs::File::open(task.join("mem")).ok()?;
    let mut text = vec![0; LONGEST_PATH];
    // Less than that if the memory ends there.
    let length = memory.read_at(&mut text, address).ok()?;
    text.truncate(length);
    let end = text.iter().position(|byte| *byte == 0)?;
    text.truncate(end);
    Some(PathBuf::from(std::ffi::OsString::from_vec(text)))
}

/// The file system that has `path` in the task's mount table.
fn mounted_at(task: &Path, path: &Path, sys: &Path) -> Option<WaitTarget> {
    let mut found: Option<(usize, WaitTarget)> = None;
    each_mount(&task.join("mountinfo"), |mount| {
        let depth = mount.mount_point.len();
        // Of several mounts on one point, the latest is seen.
        if !path.starts_with(mount_path(&mount.mount_point))
            || found.as_ref().is_some_and(|(deepest, _)| depth < *deepest)
        {
            return;
        }
        // A container has its own few devices in memory.
        let target = if PSEUDO.contains(&mount.fs_type) || *mount.mount_point == *b"/dev" {
            WaitTarget::device(path.display().to_string())
        } else {
            let name = mount.device.name(sys);
            let key = name.clone().unwrap_or_else(|| mount.device.to_string());
            let source = || String::from_utf8_lossy(&mount.source).into_owned();
            let text = format!(
                "{} ({} on {})",
                name.unwrap_or_else(source),
                String::from_utf8_lossy(mount.fs_type),
                mount_path(&mount.mount_point).display(),
            );
            WaitTarget { key, text }
        };
        found = Some((depth, target));
    })
    .ok()?;
    found.map(|(_, target)| target)
}

/// How the system call with this number says what it works on.
fn operand(number: i64) -> Option<Operand> {
    Some(match number {
        libc::SYS_read
        | libc::SYS_write
        | libc::SYS_readv
        | libc::SYS_writev
        | libc::SYS_pread64
        | libc::SYS_pwrite64
        | libc::SYS_preadv
        | libc::SYS_pwritev
        | libc::SYS_preadv2
        | libc::SYS_pwritev2
        | libc::SYS_close
        | libc::SYS_fstat
        | libc::SYS_fstatfs
        | libc::SYS_fsync
        | libc::SYS_fdatasync
        | libc::SYS_syncfs
        | libc::SYS_sync_file_range
        | libc::SYS_ftruncate
        | libc::SYS_fallocate
        | libc::SYS_getdents64
        | libc::SYS_ioctl
        | libc::SYS_flock
        | libc::SYS_fcntl
        | libc::SYS_fchmod
        | libc::SYS_fchown => Operand::Descriptor,
        libc::SYS_openat
        | libc::SYS_openat2
        | libc::SYS_newfstatat
        | libc::SYS_statx
        | libc::SYS_faccessat
        | libc::SYS_faccessat2
        | libc::SYS_mkdirat
        | libc::SYS_mknodat
        | libc::SYS_unlinkat
        | libc::SYS_renameat2
        | libc::SYS_readlinkat
        | libc::SYS_fchmodat
        | libc::SYS_fchownat
        | libc::SYS_utimensat => Operand::PathFrom,
        libc::SYS_statfs
        | libc::SYS_truncate
        | libc::SYS_chdir
        | libc::SYS_execve
        | libc::SYS_getxattr
        | libc::SYS_lgetxattr
        | libc::SYS_umount2 => Operand::Path,
        _ => return of_old_call(number),
    })
}

/// The same for system calls that newer architectures do not have.
#[cfg(target_arch = "x86_64")]
fn of_old_call(number: i64) -> Option<Operand> {
    Some(match number {
        libc::SYS_getdents => Operand::Descriptor,
        libc::SYS_open
        | libc::SYS_creat
        | libc::SYS_stat
        | libc::SYS_lstat
        | libc::SYS_access
        | libc::SYS_mkdir
        | libc::SYS_rmdir
        | libc::SYS_unlink
        | libc::SYS_rename
        | libc::SYS_readlink
        | libc::SYS_chmod
        | libc::SYS_chown => Operand::Path,
        _ => return None,
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn of_old_call(_number: i64) -> Option<Operand> {
    None
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    /// A task with the number 7, and the machine's devices.
    struct TargetMachine(TempDir);

    impl TargetMachine {
        fn new(comm: &str, syscall: &str) -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            machine.write("proc/7/comm", comm);
            machine.write("proc/7/syscall", syscall);
            machine.write("proc/7/status", "Threads:\t1\n");
            machine.write("proc/7/mem", "....data/file\0/mnt/x\0unended");
            let mounts = "\
                1 0 8:1 / / rw - ext4 /dev/root rw\n\
                2 1 0:50 / /mnt rw - nfs4 10.0.0.7:/data rw\n\
                3 1 253:0 / /srv rw - xfs /dev/mapper/vg-a rw\n\
                4 1 0:6 / /dev rw - devtmpfs devtmpfs rw\n";
            machine.write("proc/7/mountinfo", mounts);
            machine.link("../../devices/sda/sda1", "sys/dev/block/8:1");
            machine.link("../../devices/virtual/block/dm-0", "sys/dev/block/253:0");
            machine.write("sys/class/block/dm-0/dev", "253:0\n");
            machine.link("../dm-0", "dev/mapper/vg-a");
            machine.link("/srv", "proc/7/cwd");
            for (fd, path) in ["/dev/nvidia0", "/mnt/log", "/dev/mapper/vg-a", "socket:[1]"]
                .iter()
                .enumerate()
            {
                machine.link(path, &format!("proc/7/fd/{fd}"));
            }
            machine
        }

        fn path(&self, path: &str) -> PathBuf {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        }

        fn write(&self, path: &str, content: &str) {
            fs::write(self.path(path), content).unwrap();
        }

        fn link(&self, to: &str, path: &str) {
            symlink(to, self.path(path)).unwrap();
        }

        fn target(&self) -> Option<String> {
            let root = |name: &str| self.0.path().join(name);
            let roots = Roots {
                proc: root("proc"),
                sys: root("sys"),
                dev: root("dev"),
                run: root("run"),
                log: root("log"),
            };
            target(&roots, 7).map(|target| format!("{}: {}", target.key, target.text))
        }
    }

    #[track_caller]
    fn check(number: i64, arguments: &str, expected: Option<&str>) {
        let machine = TargetMachine::new("cp", &format!("{number} {arguments} 0x0 0x7ff 0x7fe\n"));
        assert_eq!(
            machine.target().as_deref(),
            expected,
            "{number} {arguments}"
        );
    }

    const NFS: Option<&str> = Some("0:50: 10.0.0.7:/data (nfs4 on /mnt)");
    const XFS: Option<&str> = Some("dm-0: dm-0 (xfs on /srv)");
    const HERE: &str = "0xffffff9c";

    #[test]
    fn a_descriptor_or_a_path_leads_to_the_file_system() {
        check(libc::SYS_write, "0x1 0x0", NFS);
        check(
            libc::SYS_ioctl,
            "0x0 0x1",
            Some("/dev/nvidia0: /dev/nvidia0"),
        );
        check(libc::SYS_fsync, "0x2 0x0", Some("dm-0: dm-0"));
        check(libc::SYS_read, "0x3 0x0", None);
        check(libc::SYS_read, "0x9 0x0", None);
        check(libc::SYS_openat, &format!("{HERE} 0x4"), XFS);
        check(libc::SYS_openat, "0xffffffffffffff9c 0xe", NFS);
        check(libc::SYS_newfstatat, "0x1 0x4", NFS);
        check(libc::SYS_statfs, "0xe 0x0", NFS);
        // A path that does not end, or is not there.
        check(libc::SYS_statfs, "0x15 0x0", None);
        check(libc::SYS_statfs, "0xffffff 0x0", None);
        check(libc::SYS_openat, "0x1 0xffffff", NFS);
        check(libc::SYS_exit_group, "0x1 0x0", None);
        check(-1, "0x7ff 0x7fe", None);
    }

    #[test]
    fn what_other_threads_may_lock_is_not_read() {
        let machine = TargetMachine::new("java", &format!("{} {HERE} 0x4\n", libc::SYS_openat));
        machine.write("proc/7/status", "Threads:\t30\n");
        assert_eq!(machine.target(), None);
    }

    #[test]
    fn threads_of_the_kernel_are_named_after_their_device() {
        for (comm, expected) in [
            ("jbd2/sda1-8\n", Some("sda1: sda1")),
            ("jbd2/dm-0-8\n", Some("dm-0: dm-0")),
            ("xfsaild/dm-0\n", Some("dm-0: dm-0")),
            ("kworker/u8:1+flush-253:0\n", Some("dm-0: dm-0")),
            ("kworker/u8:1+flush-9:9\n", None),
            ("kworker/0:1\n", None),
        ] {
            let machine = TargetMachine::new(comm, "0 0x0\n");
            machine.write("proc/7/syscall", "running\n");
            assert_eq!(machine.target().as_deref(), expected, "{comm}");
        }
    }
}
