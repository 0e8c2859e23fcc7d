//! What the probe reads in mount tables.

use std::fmt::Write as _;
use std::path::PathBuf;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::mounts::{MountReading, MountTable, Superblock};
use crate::node::block::BlockDevice;
use crate::node::mountinfo::read_mounts;

fn read(lines: impl AsRef<[u8]>, paths: &[&str]) -> MountTable {
    let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
    let mut reading = MountReading::new(&paths);
    let mut lines = lines.as_ref();
    while read_mounts(&mut lines, 2, |mount| reading.take(mount)).unwrap() {}
    reading.finish()
}

#[track_caller]
fn check(lines: &str, expect: &Expect) {
    let table = read(lines, &[]);
    let mut shown = String::new();
    for (device, superblock) in &table.superblocks {
        let Superblock {
            fs_type,
            source,
            mount_points,
            mounts,
            read_only_mounts,
            access,
            errors_remount_ro,
        } = superblock;
        writeln!(
            shown,
            "{device} {fs_type} {source} {mount_points:?} {mounts}/{read_only_mounts} \
             {access:?} {errors_remount_ro}"
        )
        .unwrap();
    }
    expect.assert_eq(&format!("{shown}malformed {}", table.malformed));
}

#[test]
fn superblocks_and_their_mounts() {
    check(
        "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n\
         42 27 7:0 / /mnt/a rw,relatime shared:5 master:1 - ext4 /dev/loop0 rw,errors=remount-ro,emergency_ro\n\
         43 27 7:0 /sub /mnt/b ro,relatime - ext4 /dev/loop0 rw,errors=remount-ro,emergency_ro\n\
         44 27 7:1 / /mnt/c ro,relatime - ext4 /dev/loop1 ro\n\
         45 27 7:2 / /mnt/d rw - ext4 /dev/loop2 ro,shutdown,emergency_ro\n\
         46 27 0:31 / /mnt/e rw - btrfs /dev/sdb rw\n\
         47 27 0:21 / /proc rw - proc proc rw\n",
        &expect![[r#"
            0:31 btrfs /dev/sdb ["/mnt/e"] 1/0 Writable false
            7:0 ext4 /dev/loop0 ["/mnt/a", "/mnt/b"] 2/1 Emergency true
            7:1 ext4 /dev/loop1 ["/mnt/c"] 1/1 ReadOnly false
            7:2 ext4 /dev/loop2 ["/mnt/d"] 1/0 Shutdown false
            254:0 ext4 /dev/vda ["/"] 1/0 Writable false
            malformed 0"#]],
    );
}

#[test]
fn blanks_and_bytes_in_names() {
    check(
        "1 1 7:0 / /a\\040b\\134c\\x rw - ext4 /dev/my\\011disk rw\n\
         2 1 7:1 / /\\377 rw - ext4  rw",
        &expect![[r#"
            7:0 ext4 /dev/my	disk ["/a b\\c\\x"] 1/0 Writable false
            7:1 ext4  ["/�"] 1/0 Writable false
            malformed 0"#]],
    );
}

#[test]
fn garbage_is_counted_and_skipped() {
    let long = "x".repeat(100_000);
    check(
        &format!(
            "\nno\n1 2 3 4 5 6 7\n1 1 7:x / /a rw - ext4 /dev/a rw\n\
             1 1 7:0 / /a rw ext4 /dev/a rw\n1 1 7:0 / /a rw - ext4\n{long}\n\
             1 1 7:9 / /b rw - ext4 /dev/b rw\n"
        ),
        &expect![[r#"
            7:9 ext4 /dev/b ["/b"] 1/0 Writable false
            malformed 8"#]],
    );
}

#[test]
fn many_mounts_of_one_file_system_are_counted_and_a_few_named() {
    let lines = (0..5000).map(|n| format!("{n} 1 7:0 / /m{n} ro - ext4 /dev/loop0 rw\n"));
    check(
        &lines.collect::<Vec<_>>().concat(),
        &expect![[r#"
            7:0 ext4 /dev/loop0 ["/m0", "/m1", "/m2", "/m3"] 5000/5000 Writable false
            malformed 0"#]],
    );
}

#[test]
fn the_deepest_and_latest_mount_backs_a_path() {
    let table = read(
        "1 1 0:2 / / rw - rootfs none rw\n\
         2 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
         3 2 8:2 / /var rw - ext4 /dev/sda2 rw\n\
         4 3 8:3 / /var/log rw - ext4 /dev/sda3 rw\n\
         5 3 8:4 / /var/log rw - ext4 /dev/sda4 rw\n\
         6 2 8:5 / /var/lib/kube rw - ext4 /dev/sda5 rw\n\
         7 2 0:40 / /srv rw - overlay overlay rw\n\
         8 2 0:41 / /opt rw - overlay overlay rw\n",
        &[
            "/",
            "/var",
            "/var/log",
            "/var/lib/kubelet",
            "/var/log/pods",
            "/srv",
        ],
    );
    let backing: Vec<_> = table
        .backing
        .iter()
        .map(|(path, device)| format!("{} {device}", path.display()))
        .collect();
    expect![[r"
        / 8:1
        /srv 0:40
        /var 8:2
        /var/lib/kubelet 8:2
        /var/log 8:4
        /var/log/pods 8:4"]]
    .assert_eq(&backing.join("\n"));
    // Without a device, only what backs a path is kept.
    let anonymous = |minor| {
        table
            .superblocks
            .contains_key(&BlockDevice { major: 0, minor })
    };
    assert!(anonymous(40) && !anonymous(41));
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let lines = bytes.split(|byte| *byte == b'\n').count() as u64;
        let table = read(&bytes, &["/"]);
        prop_assert!(table.malformed <= lines);
    }
}
