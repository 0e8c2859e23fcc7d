//! The texts of messages about file systems.

use npd_ebpf::filesystem::{EXT4_SHUTDOWN, FilesystemRecord};

use super::fault::Fault;
use super::mounts::Superblock;
use super::state::WatchedFilesystem;
use crate::monitor::ebpf::aggregate::{AggregateReport, WINDOW};
use crate::monitor::ebpf::probe::text;

/// Names a file system: `sda1 (ext4 on /var and 2 more)`.
pub fn name(filesystem: &WatchedFilesystem) -> String {
    let Superblock {
        fs_type,
        mount_points,
        mounts,
        ..
    } = &filesystem.superblock;
    let places = mount_points.join(", ");
    let name = &filesystem.identity.name;
    match mounts.saturating_sub(mount_points.len()) {
        0 => format!("{name} ({fs_type} on {places})"),
        more => format!("{name} ({fs_type} on {places} and {more} more)"),
    }
}

/// Names a file system that the node's own mount table does not show.
pub fn name_out_of_sight(name: &str) -> String {
    format!("{name} (not in the node's own mount table)")
}

/// What is wrong with `filesystem`.
pub fn fault(filesystem: &WatchedFilesystem, fault: Fault) -> String {
    let name = name(filesystem);
    match (fault, &filesystem.error, &filesystem.shutdown) {
        (Fault::ReadOnly, Some(place), _) => {
            format!("{name} is read-only after an error in {place}")
        }
        (Fault::ReadOnly, None, _) => format!("{name} was made read-only by the kernel"),
        (Fault::RemountedReadOnly, ..) => format!("{name} was remounted read-only by an operator"),
        (Fault::Shutdown, _, Some(cause)) => format!("{name} {}", shutdown(cause)),
        (Fault::Shutdown, _, None) => format!("{name} was shut down"),
    }
}

/// The text about an error, without the name of the file system.
pub fn error(place: &str) -> String {
    format!("has an error, found in {place}")
}

/// The text about a shutdown, without the name of the file system.
pub fn shutdown(cause: &str) -> String {
    format!("was shut down {cause}")
}

/// The message about what happened to the file system called `name`.
pub fn happening<D>(name: &str, report: &AggregateReport<(D, String)>) -> String {
    match report {
        AggregateReport::First((_, what)) => format!("{name} {what}"),
        AggregateReport::Again((_, what), times) => {
            let window = WINDOW.as_secs();
            format!("{name} {what}: {times} more times in {window} s")
        }
    }
}

/// Where in the kernel's source a record comes from: `function:line`.
pub fn place(record: &FilesystemRecord) -> String {
    match text(&record.function) {
        function if function.is_empty() => "an unknown place".to_owned(),
        function => format!("{function}:{}", record.line),
    }
}

/// Why a file system was shut down.
pub fn cause(record: &FilesystemRecord) -> String {
    let cause = match (record.header.id, record.flags) {
        (EXT4_SHUTDOWN, _) => "on request",
        // SHUTDOWN_* in fs/xfs/xfs_mount.h.
        (_, flags) if flags & 0x20 != 0 => "because its device was removed",
        (_, flags) if flags & 0x04 != 0 => "on request",
        (_, flags) if flags & 0x18 != 0 => "because its metadata is corrupt",
        (_, flags) if flags & 0x02 != 0 => "after an I/O error in its log",
        (_, flags) if flags & 0x01 != 0 => "after an I/O error in its metadata",
        _ => "for a reason that the kernel does not give",
    };
    match text(&record.function) {
        function if function.is_empty() => cause.to_owned(),
        function => format!("{cause} ({function}:{})", record.line),
    }
}
