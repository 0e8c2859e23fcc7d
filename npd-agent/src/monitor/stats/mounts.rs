//! The mounted block devices, as NPD sees them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::files::{each_line, of_first_process};
use super::metric::Label;
use crate::node::Roots;

/// A mounted block device.
#[derive(Debug)]
pub struct Mount {
    /// `major:minor`.
    pub number: String,
    /// Where it is mounted.
    pub point: PathBuf,
    /// For example `ext4`.
    pub fs_type: Label,
    /// The options of the mount, in the kernel's order.
    pub options: Label,
    /// Whether it cannot be written to, because of its mount options or of an error.
    pub read_only: bool,
}

/// The mounted block devices by name, each with its first mount: bind mounts are dropped, mapper
/// names and `/dev/root` resolved, as NPD does.
pub fn mounts(roots: &Roots) -> anyhow::Result<BTreeMap<String, Mount>> {
    let mut seen = BTreeSet::new();
    let mut mounts = BTreeMap::new();
    let table = of_first_process(&roots.proc, "mountinfo");
    each_line(&table, |line| {
        // A line that makes no sense is left out, not the whole table.
        let Some((source, mount)) = parse(line) else {
            return;
        };
        if source.starts_with('/') && seen.insert(mount.number.clone()) {
            let device = device_name(roots, &source, &mount.number);
            mounts.entry(device).or_insert(mount);
        }
    })?;
    Ok(mounts)
}

/// The kernel's name of a device, for example `dm-3`.
pub fn name_by_number(roots: &Roots, number: &str) -> Option<String> {
    let link = std::fs::read_link(roots.sys.join("dev/block").join(number)).ok()?;
    Some(link.file_name()?.to_str()?.to_owned())
}

/// The name without `/dev/`: of `/dev/mapper/x` the `dm-N` behind it, of `/dev/root` the real one.
fn device_name(roots: &Roots, source: &str, number: &str) -> String {
    let indirect = source.starts_with("/dev/mapper/") || source == "/dev/root";
    let resolved = indirect.then(|| name_by_number(roots, number)).flatten();
    resolved.unwrap_or_else(|| source.strip_prefix("/dev/").unwrap_or(source).to_owned())
}

/// Source and mount of a line as in `proc_pid_mountinfo(5)`, for example
/// `36 35 98:0 /root /mnt/data rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro`.
fn parse(line: &str) -> Option<(Cow<'_, str>, Mount)> {
    let mut fields = line.split(' ');
    let number = fields.nth(2)?.to_owned();
    let point = PathBuf::from(&*unescape(fields.nth(1)?));
    let options = fields.next()?;
    // Any number of optional fields, then a mark.
    fields.find(|field| *field == "-")?;
    let fs_type = Label::from(fields.next()?);
    let source = unescape(fields.next()?);
    let super_options = fields.next()?;
    let any = |options: &str, wanted: &[&str]| options.split(',').any(|one| wanted.contains(&one));
    let mount = Mount {
        number,
        point,
        fs_type,
        options: Label::from(options),
        // The last two are ext4's after an error, since Linux 6.15.
        read_only: any(options, &["ro"]) || any(super_options, &["ro", "emergency_ro", "shutdown"]),
    };
    Some((source, mount))
}

/// Blanks, line ends, backslashes and hashes come as three octal digits: `\040`.
fn unescape(field: &str) -> Cow<'_, str> {
    if !field.contains('\\') {
        return field.into();
    }
    let mut parts = field.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(code) = code {
            plain.push(code.into());
            plain.push_str(&part[3..]);
        } else {
            plain.push('\\');
            plain.push_str(part);
        }
    }
    plain.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str, &str, bool)>) {
        let parsed = parse(line);
        let seen = parsed.as_ref().map(|(source, mount)| {
            let point = mount.point.to_str().unwrap();
            (&**source, point, &*mount.options, mount.read_only)
        });
        assert_eq!(seen, expected);
    }

    #[test]
    fn lines_of_the_mount_table() {
        check(
            "36 35 98:0 / /mnt/a\\040b\\134 rw,noatime shared:1 master:2 - ext4 /dev/sda1 rw",
            Some(("/dev/sda1", "/mnt/a b\\", "rw,noatime", false)),
        );
        check(
            "1 0 8:1 / / ro - xfs /dev/sda1 rw",
            Some(("/dev/sda1", "/", "ro", true)),
        );
        check(
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw,emergency_ro",
            Some(("/dev/sda1", "/", "rw", true)),
        );
        check("1 0 8:1 / /x\\9\\ rw - ext4 /dev/\\", None);
        check("1 0 0:22 / /proc", None);
        check("", None);
    }
}
