//! Format strings of the kernel, and whether one can print a line.

/// How many characters of a line must come from the format string itself, not from its values.
const ENOUGH: usize = 12;

/// Format strings with less text of their own: events of RAID controllers.
const SHORT: &[&str] = &["%d (%s/0x%04x/%s) - %s"];

/// The format strings of a kernel.
pub(super) struct FormatStrings(Vec<Format>);

/// The texts of a format string between its values.
struct Format {
    pieces: Vec<String>,
    longest: usize,
}

impl FormatStrings {
    /// From all strings of a kernel and its modules.
    pub(super) fn new(strings: &[String]) -> Self {
        let formats = strings.iter().filter_map(|string| Format::new(string));
        Self(formats.collect())
    }

    /// Whether one of them can be the end of `line`, after the prefix of a subsystem, a driver or a
    /// device, or the beginning of it.
    pub(super) fn explain(&self, line: &str) -> bool {
        self.0.iter().any(|format| format.explains(line))
    }
}

impl Format {
    fn new(string: &str) -> Option<Self> {
        // A driver prints several lines at once.
        let string = string.split('\n').next().unwrap_or_default();
        let mut pieces = vec![String::new()];
        let mut chars = string.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                pieces.last_mut()?.push(c);
                continue;
            }
            if chars.peek() == Some(&'%') {
                chars.next();
                pieces.last_mut()?.push('%');
                continue;
            }
            while chars
                .next_if(|c| "-+ #0123456789.*hlzLtj".contains(*c))
                .is_some()
            {}
            let kind = chars.next();
            if kind == Some('p') {
                while chars.next_if(char::is_ascii_alphanumeric).is_some() {}
            }
            pieces.push(String::new());
        }
        pieces.retain(|piece| !piece.trim().is_empty());
        let named: usize = pieces.iter().map(String::len).sum();
        let longest = (0..pieces.len()).max_by_key(|&piece| pieces[piece].len())?;
        let is_enough = named >= ENOUGH && pieces[longest].len() >= 6 || SHORT.contains(&string);
        is_enough.then_some(Self { pieces, longest })
    }

    fn explains(&self, line: &str) -> bool {
        if !line.contains(&self.pieces[self.longest]) {
            return false;
        }
        let mut rest = line;
        self.pieces
            .iter()
            .all(|piece| match rest.split_once(piece.as_str()) {
                Some((_, after)) => {
                    rest = after;
                    true
                }
                None => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_explained_by_its_format_string() {
        let strings = [
            "EXT4-fs error (device %s): %s:%d: inode #%lu: comm %s: %pV\n",
            "md/raid1:%s: Disk failure on %pg, disabling device.\nmd/raid1:%s: Operation continuing on %d devices.\n",
            "%s: %s\n",
            "I/O tag %d (%04x) QID %d timeout, reset controller\n",
            "%d (%s/0x%04x/%s) - %s\n",
        ];
        let formats = FormatStrings::new(&strings.map(str::to_owned));
        for (line, explained) in [
            (
                "EXT4-fs error (device sda1): ext4_lookup:1855: inode #2: comm ls: deleted",
                true,
            ),
            (
                "md/raid1:md0: Disk failure on sdb1, disabling device.",
                true,
            ),
            (
                "nvme nvme0: I/O tag 7 (1007) QID 2 timeout, reset controller",
                true,
            ),
            ("nvme nvme0: I/O 7 QID 2 timeout, reset controller", false),
            (
                "megaraid_sas 0000:03:00.0: 8713 (695123456s/0x0001/CRIT) - VD 00/0 is now DEGRADED",
                true,
            ),
            ("anything: at all", false),
        ] {
            assert_eq!(formats.explain(line), explained, "{line}");
        }
    }
}
