//! What a sleeping task waits for, in words, from the functions on its kernel stack. Pure.
//!
//! `/proc/PID/stack` leaves out the scheduler's own functions. So a task that waits for a lock shows the
//! function that wanted the lock, and not that it is a lock.

/// Well-known places to wait at: what for, and how the names of their functions begin. The first entry with
/// a function anywhere on the stack applies. So what others are made of comes last: a network file system
/// waits like a disk, and a journal waits for a disk.
const WAIT_POINTS: &[(&str, &[&str])] = &[
    (
        "an answer of the FUSE server",
        &["request_wait_answer", "fuse_", "__fuse_"],
    ),
    (
        "an answer of the NFS server",
        &["rpc_", "nfs_", "nfs3_", "nfs4_", "_nfs4_"],
    ),
    (
        "an answer of the SMB server",
        &["cifs_", "smb2_", "SMB2_", "smb3_"],
    ),
    ("an answer of the Ceph cluster", &["ceph_", "rbd_"]),
    ("an answer of the 9P server", &["p9_", "v9fs_"]),
    (
        "the lock of the network configuration",
        &["rtnl_", "rtnetlink_"],
    ),
    ("the lock of all cgroups", &["cgroup_", "__cgroup_"]),
    ("a change of the processors in use", &["cpus_read_lock"]),
    (
        "a frozen file system to be thawed",
        &[
            "percpu_rwsem_wait",
            "__percpu_down_read",
            "__sb_start_write",
            "mnt_want_write",
        ],
    ),
    (
        "a block device",
        &[
            "folio_wait_",
            "wait_on_page_",
            "__wait_on_buffer",
            "xfs_buf_iowait",
            "submit_bio_wait",
            "bio_",
            "__bio_",
            "blk_",
            "__blk_",
            "blkdev_",
            "__blkdev_",
            "iomap_dio_",
            "__iomap_dio_",
            "rq_qos_wait",
            "wbt_wait",
            "dm_",
            "__dm_",
            "md_",
            "nbd_",
            "nvme_",
            "scsi_",
            "sd_",
        ],
    ),
    (
        "the journal of ext4",
        &[
            "jbd2_",
            "start_this_handle",
            "wait_transaction_locked",
            "add_transaction_credits",
        ],
    ),
    ("the log of XFS", &["xlog_", "xfs_log_"]),
    (
        "a btrfs transaction",
        &["btrfs_commit_", "wait_current_trans"],
    ),
    (
        "the end of an RCU grace period",
        &[
            "synchronize_rcu",
            "__synchronize_srcu",
            "__wait_rcu_gp",
            "rcu_barrier",
        ],
    ),
    ("a worker of the kernel", &["__flush_work", "flush_work"]),
];

/// A place in the kernel where a task waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WaitPoint {
    /// What it waits for, if that is known.
    pub(super) what: Option<String>,
    /// The innermost function.
    pub(super) function: String,
}

/// Where a task with this stack, from the innermost function, waits; `None` if the stack is empty.
pub(super) fn wait_point(stack: &str) -> Option<WaitPoint> {
    let frames: Vec<_> = stack.lines().filter_map(frame).collect();
    let (function, _) = frames.first()?;
    let on_stack = |names: &[&str]| {
        let mut functions = frames.iter().map(|(function, _)| function);
        functions.any(|function| names.iter().any(|name| function.starts_with(name)))
    };
    let known = WAIT_POINTS.iter().find(|(_, names)| on_stack(names));
    // Nobody wrote down what others wait for, but the module says whose it is.
    let module = || frames.iter().find_map(|(_, module)| *module);
    let what = known.map(|(what, _)| (*what).to_owned());
    Some(WaitPoint {
        what: what.or_else(|| Some(format!("the module {}", module()?))),
        function: (*function).to_owned(),
    })
}

/// The function of a line, and its module if it is in one: `[<0>] rpc_wait_bit_killable+0x20/0xa0 [sunrpc]`.
fn frame(line: &str) -> Option<(&str, Option<&str>)> {
    let (_address, rest) = line.split_once(' ')?;
    let (function, rest) = rest.split_once("+0x")?;
    // The compiler has copies of a function, such as `__mutex_lock.constprop.0`.
    let function = function.split('.').next()?;
    let module = rest
        .split_once(" [")
        .and_then(|(_, module)| module.split(']').next());
    Some((function, module))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `stack` names the functions, the innermost first.
    #[track_caller]
    fn check(stack: &str, expected: Option<&str>) {
        let frame = |words: &str| match words.split_once(' ') {
            Some((function, module)) => format!("[<0>] {function}+0x12/0x340 {module}\n"),
            None => format!("[<0>] {words}+0x12/0x340\n"),
        };
        let stack: String = stack.split(", ").map(frame).collect();
        let point = wait_point(&stack).unwrap();
        assert_eq!(point.what.as_deref(), expected, "{stack}");
    }

    #[test]
    fn well_known_stacks_are_put_into_words() {
        for (stack, expected) in [
            (
                "request_wait_answer, fuse_simple_request, fuse_lookup_name, path_openat",
                "an answer of the FUSE server",
            ),
            (
                "rpc_wait_bit_killable [sunrpc], __rpc_execute [sunrpc], nfs4_call_sync [nfsv4]",
                "an answer of the NFS server",
            ),
            (
                "folio_wait_bit_common, filemap_update_page, nfs_file_read [nfs], vfs_read",
                "an answer of the NFS server",
            ),
            (
                "percpu_rwsem_wait, __percpu_down_read, mnt_want_write, path_openat",
                "a frozen file system to be thawed",
            ),
            (
                "percpu_rwsem_wait, __percpu_down_read, cgroup_can_fork, copy_process",
                "the lock of all cgroups",
            ),
            (
                "folio_wait_bit_common, filemap_read, ext4_file_read_iter, vfs_read",
                "a block device",
            ),
            (
                "__wait_on_buffer, jbd2_journal_commit_transaction, kjournald2, kthread",
                "a block device",
            ),
            (
                "jbd2_log_wait_commit, ext4_sync_file, __x64_sys_fsync",
                "the journal of ext4",
            ),
            (
                "xlog_grant_head_wait [xfs], xfs_log_reserve [xfs], xfs_create [xfs]",
                "the log of XFS",
            ),
            (
                "os_acquire_mutex [nvidia], nvidia_close [nvidia], __fput",
                "the module nvidia",
            ),
        ] {
            check(stack, Some(expected));
        }
        check("path_openat, do_filp_open, do_sys_openat2", None);
    }

    #[test]
    fn the_innermost_function_is_named_whatever_the_line_says() {
        let function = |stack: &str| wait_point(stack).map(|point| point.function);
        assert_eq!(
            function("[<0>] do_thing.constprop.0+0x1/0x2 [m]\n[<0>] other+0x1/0x2\n").as_deref(),
            Some("do_thing")
        );
        for nothing in [
            "",
            "\n",
            "[<0>]",
            "[<0>] 0xffffffff81000000\n",
            "+0x [",
            " +0x",
        ] {
            let _whatever = function(nothing);
        }
        assert_eq!(function(""), None);
        assert_eq!(function("[<0>] 0xffffffffffffffff\n"), None);
    }
}
