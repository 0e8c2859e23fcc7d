//! `block/blk-core.c`: `I/O error, dev sda, sector 8 op 0x0:(READ) flags …`, behind
//! `blk_update_request: ` before 5.16 and `print_req_error: ` before 5.1. And what `fs/buffer.c`
//! adds for one that the page cache waited for: `Buffer I/O error on dev sda1, logical block 1, …`.

use std::fmt;

use super::Wording;

/// A failed request is known by the name of its disk, for example `nvme0n1`: the kernel prints only
/// some of many.
pub const WORDING: Wording = Wording {
    probe: "block_error",
    key,
    once: false,
    cgroup: None,
    fs_types: None,
};

fn key(line: &str) -> Option<String> {
    if let Some((_, rest)) = line.split_once(" error, dev ") {
        let (disk, _) = rest.split_once(", sector ")?;
        return is_name(disk).then(|| disk.to_owned());
    }
    let (_, rest) = line.split_once("Buffer I/O error on dev")?;
    let rest = rest.strip_prefix("ice").unwrap_or(rest).trim_start();
    let (device, _) = rest.split_once(", logical block ")?;
    is_name(device).then(|| whole_disk(device).to_owned())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(' ')
}

/// The disk of a partition: a number is added to the name of a disk, after a `p` if that ends with
/// a number itself.
fn whole_disk(device: &str) -> &str {
    let disk = device.trim_end_matches(|c: char| c.is_ascii_digit());
    if disk.len() == device.len() {
        return device;
    }
    let numbered = disk.strip_suffix('p').filter(|disk| {
        let last = disk.chars().next_back();
        last.is_some_and(|c| c.is_ascii_digit())
    });
    let lettered = ["sd", "vd", "xvd", "hd"];
    match numbered {
        Some(disk) => disk,
        None if lettered.iter().any(|driver| disk.starts_with(driver)) => disk,
        // The number is the disk's own.
        None => device,
    }
}

/// The beginning of the kernel's line about a request that failed.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// Why, for example `critical medium`.
    pub error: &'a str,
    /// The disk's name.
    pub disk: &'a str,
    /// The first sector of 512 bytes that was not read or written.
    pub sector: u64,
    /// The number of the operation.
    pub operation: u32,
    /// Its name.
    pub name: &'a str,
}

impl fmt::Display for RequestLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} error, dev {}, sector {} op {:#x}:({})",
            self.error, self.disk, self.sector, self.operation, self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel_text::{check, subject};

    #[test]
    fn a_failed_request_is_about_its_disk() {
        check(&[
            (
                "I/O error, dev loop1, sector 1314944 op 0x1:(WRITE) flags 0x0 phys_seg 2 prio class 2",
                Some("block_error loop1"),
            ),
            (
                "blk_update_request: critical medium error, dev sde, sector 3260792 op 0x0:(READ) flags 0x80700",
                Some("block_error sde"),
            ),
            (
                "print_req_error: I/O error, dev sdc, sector 628940360 flags 80700",
                Some("block_error sdc"),
            ),
            (
                "Buffer I/O error on dev nvme0n1, logical block 0, async page read",
                Some("block_error nvme0n1"),
            ),
            (
                "Buffer I/O error on device dm-8, logical block 96511296",
                Some("block_error dm-8"),
            ),
            ("I/O error, dev sda", None),
            ("I/O error, dev , sector 1", None),
            ("Buffer I/O error on dev", None),
            (
                "loop: Write error at byte offset 673251328, length 4096.",
                None,
            ),
        ]);
    }

    #[test]
    fn a_partition_belongs_to_its_disk() {
        for (device, disk) in [
            ("sda1", "sda"),
            ("vdb12", "vdb"),
            ("xvda3", "xvda"),
            ("nvme0n1p2", "nvme0n1"),
            ("mmcblk0p1", "mmcblk0"),
            ("loop0p1", "loop0"),
            ("sda", "sda"),
            ("nvme0n1", "nvme0n1"),
            ("dm-8", "dm-8"),
            ("md127", "md127"),
            ("p1", "p1"),
            ("1", "1"),
        ] {
            assert_eq!(whole_disk(device), disk);
        }
    }

    #[test]
    fn our_line_is_understood_as_the_kernels() {
        let line = RequestLine {
            error: "critical medium",
            disk: "nvme0n1",
            sector: 8,
            operation: 0,
            name: "READ",
        };
        let line = line.to_string();
        assert_eq!(
            line,
            "critical medium error, dev nvme0n1, sector 8 op 0x0:(READ)"
        );
        let subject = subject(&line).unwrap();
        assert_eq!(subject.to_string(), "block_error nvme0n1");
    }
}
