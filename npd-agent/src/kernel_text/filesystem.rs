//! `fs/ext4/super.c`, `fs/xfs/xfs_message.c` and the like: `EXT4-fs error (device vda1): …`,
//! `EXT4-fs (vda1): Remounting filesystem read-only`, `XFS (dm-0): …`, the same from 4.19 to 6.18;
//! `BTRFS error (device vda1): …`, and `BTRFS error (device vda1: state EA): …` since 5.18.

use super::Wording;

/// A file system is known by its block device's kernel name, for example `dm-0`.
pub const WORDING: Wording = Wording {
    probe: "filesystem",
    key,
    once: false,
    cgroup: None,
    fs_types: Some(types),
};

/// Where ext4's journal names its device, as `sda1-8`, and a number for the journal; and what follows.
const JOURNAL: &[(&str, &str)] = &[
    ("Aborting journal on device ", "."),
    ("when updating journal superblock for ", "."),
    ("for journal superblock update for ", "."),
    (" while flushing file data on ", ""),
];

/// How the messages of a driver of file systems begin.
struct Messages {
    /// What they begin with.
    name: &'static str,
    /// What may stand between this and the device in brackets.
    heads: &'static [&'static str],
    /// The types of file systems that the driver mounts.
    types: &'static [&'static str],
}

const MESSAGES: &[Messages] = &[
    Messages {
        name: "EXT4-fs",
        heads: &[" ", " error ", " warning ", " critical "],
        types: &["ext2", "ext3", "ext4"],
    },
    Messages {
        name: "XFS",
        heads: &[" "],
        types: &["xfs"],
    },
    Messages {
        name: "BTRFS",
        heads: &[
            " error ",
            ": error ",
            " critical ",
            " alert ",
            " emergency ",
            " panic ",
            " info ",
        ],
        types: &["btrfs"],
    },
    Messages {
        name: "F2FS-fs",
        heads: &[" "],
        types: &["f2fs"],
    },
    Messages {
        name: "FAT-fs",
        heads: &[" "],
        types: &["vfat", "msdos"],
    },
    Messages {
        name: "NILFS",
        heads: &[" "],
        types: &["nilfs2"],
    },
];

fn types(text: &str) -> Option<&'static [&'static str]> {
    let mut known = MESSAGES.iter();
    let known = known.find(|messages| text.starts_with(messages.name));
    known.map(|messages| messages.types)
}

fn key(line: &str) -> Option<String> {
    let journal = JOURNAL.iter().find_map(|(before, end)| {
        let (_, rest) = line.split_once(before)?;
        Some((rest, end))
    });
    if let Some((rest, end)) = journal {
        let (device, number) = rest.strip_suffix(end)?.rsplit_once('-')?;
        return number.parse::<u64>().ok().map(|_| device.to_owned());
    }
    MESSAGES.iter().find_map(|messages| {
        let (_, rest) = line.split_once(messages.name)?;
        let (head, rest) = rest.split_once('(')?;
        if !messages.heads.contains(&head) {
            return None;
        }
        let rest = rest.strip_prefix("device ").unwrap_or(rest);
        let device = &rest[..rest.find([')', ' ', ':'])?];
        (!device.is_empty()).then(|| device.to_owned())
    })
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
            "BTRFS error (device dm-0): bdev /dev/dm-0 errs: wr 1, rd 0, flush 0, corrupt 0, gen 0",
            "BTRFS: error (device dm-0: state A) in btrfs_commit_transaction:2486: errno=-5 IO failure",
            "BTRFS info (device dm-0 state E): forced readonly",
            "F2FS-fs (dm-0): Remounting filesystem read-only",
            "FAT-fs (dm-0): Filesystem has been set read-only",
            "NILFS (dm-0): Remounting filesystem read-only",
        ] {
            check(&[(text, Some("filesystem dm-0"))]);
        }
        check(&[
            ("EXT4-fs: Warning: mounting (x)", None),
            ("EXT4-fs ()", None),
            (
                "BTRFS: device label x devid 1 transid 8 /dev/dm-0 (254:0) scanned",
                None,
            ),
            (
                "Aborting journal on device dm-0-8.",
                Some("filesystem dm-0"),
            ),
            (
                "JBD2: Error -5 detected when updating journal superblock for dm-0-8.",
                Some("filesystem dm-0"),
            ),
            (
                "JBD2: Detected IO errors while flushing file data on dm-0-8",
                Some("filesystem dm-0"),
            ),
            (
                "JBD2: Detected IO errors -5 while flushing file data on dm-0-8",
                Some("filesystem dm-0"),
            ),
            (
                "JBD2: previous I/O error detected for journal superblock update for dm-0-8.",
                Some("filesystem dm-0"),
            ),
            ("Aborting journal on device dm-0", None),
            ("Remounting filesystem read-only", None),
        ]);
    }
}
