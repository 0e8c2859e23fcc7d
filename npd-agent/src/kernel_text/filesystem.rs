//! `fs/ext4/super.c` and `fs/xfs/xfs_message.c`: `EXT4-fs error (device vda1): …`,
//! `EXT4-fs (vda1): Remounting filesystem read-only`, `XFS (dm-0): …`, the same from 4.19 to 6.18.

use super::Wording;

/// A file system is known by its block device's kernel name, for example `dm-0`.
pub const WORDING: Wording = Wording {
    probe: "filesystem",
    key,
    cgroup: None,
};

/// Where ext4's journal names its device, as `sda1-8`, and a number for the journal.
const JOURNAL: &[&str] = &[
    "Aborting journal on device ",
    "when updating journal superblock for ",
];

fn key(line: &str) -> Option<String> {
    let journal = JOURNAL.iter().find_map(|before| line.split_once(before));
    if let Some((_, rest)) = journal {
        let (device, number) = rest.strip_suffix('.')?.rsplit_once('-')?;
        return number.parse::<u64>().ok().map(|_| device.to_owned());
    }
    let rest = match line.split_once("EXT4-fs") {
        Some((_, rest)) => {
            let (head, rest) = rest.split_once('(')?;
            let known = [" ", " error ", " warning ", " critical "];
            if !known.contains(&head) {
                return None;
            }
            rest.strip_prefix("device ").unwrap_or(rest)
        }
        None => line.split_once("XFS (")?.1,
    };
    let device = &rest[..rest.find([')', ' '])?];
    (!device.is_empty()).then(|| device.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::kernel_text::check;

    #[test]
    fn a_filesystem_is_named_by_its_device() {
        for text in [
            "EXT4-fs error (device dm-0): ext4_lookup:1855: inode #2: comm ls: deleted inode",
            "EXT4-fs (dm-0): Remounting filesystem read-only",
            "EXT4-fs warning (device dm-0): ext4_dirblock_csum_verify:374",
            "EXT4-fs (dm-0 -): error",
            "XFS (dm-0): Shutting down filesystem.",
            "XFS (dm-0): User initiated shutdown received.\nXFS (dm-0): Shutting down filesystem.",
        ] {
            check(&[(text, Some("filesystem dm-0"))]);
        }
        check(&[
            ("EXT4-fs: Warning: mounting (x)", None),
            ("EXT4-fs ()", None),
            (
                "Aborting journal on device dm-0-8.",
                Some("filesystem dm-0"),
            ),
            (
                "JBD2: Error -5 detected when updating journal superblock for dm-0-8.",
                Some("filesystem dm-0"),
            ),
            ("Aborting journal on device dm-0", None),
            ("Remounting filesystem read-only", None),
        ]);
    }
}
