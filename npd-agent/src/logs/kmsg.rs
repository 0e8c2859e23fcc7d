//! A record of `/dev/kmsg`, as the kernel's `Documentation/ABI/testing/dev-kmsg` describes it.
//!
//! ```text
//! 6,1339,5140900,-,caller=T7;NET: Registered PF_INET6 protocol family
//!  SUBSYSTEM=net
//!  DEVICE=n2
//! ```
//!
//! Written here because the crate `rmesg` reads text by the line, does not know the lines with a
//! dictionary, and ends where the buffer was overrun; and it brings 66 crates.

use std::borrow::Cow;
use std::time::Duration;

/// What one read returned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KmsgRecord<'a> {
    /// Facility times 8, plus level.
    pub(crate) priority: u64,
    /// Counts every record since boot, without gaps.
    pub(crate) sequence: u64,
    /// When it was written, by the kernel's log clock (`CLOCK_MONOTONIC`).
    pub(crate) stamp: Duration,
    /// The message without surrounding blanks. Escapes are decoded, bytes that are not UTF-8
    /// replaced; the dictionary (` KEY=value` lines) is not part of it.
    pub(crate) text: Cow<'a, str>,
}

impl<'a> KmsgRecord<'a> {
    /// Reads a record, or says `None` if this is not one. Unknown fields before the semicolon are
    /// for later kernels to add.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let semicolon = bytes.iter().position(|&byte| byte == b';')?;
        let (header, rest) = bytes.split_at(semicolon);
        let mut fields = header.split(|&byte| byte == b',').map(number);
        let (priority, sequence, stamp) = (fields.next()??, fields.next()??, fields.next()??);
        let line = rest[1..].split(|&byte| byte == b'\n').next()?;
        Some(Self {
            priority,
            sequence,
            stamp: Duration::from_micros(stamp),
            text: trimmed(decode(line)),
        })
    }

    /// Whether the kernel itself wrote it. What user space writes to `/dev/kmsg` always has a
    /// facility other than 0 (`devkmsg_write` sees to it).
    pub(crate) fn is_from_kernel(&self) -> bool {
        self.priority >> 3 == 0
    }
}

fn number(field: &[u8]) -> Option<u64> {
    str::from_utf8(field).ok()?.parse().ok()
}

/// Undoes the kernel's `\xNN` (`msg_add_ext_text`): it writes control characters, bytes from 127 up,
/// and the backslash itself in this way.
fn decode(line: &[u8]) -> Cow<'_, str> {
    if !line.contains(&b'\\') {
        return String::from_utf8_lossy(line);
    }
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&first, tail)) = rest.split_first() {
        if let Some((byte, tail)) = escaped(rest) {
            bytes.push(byte);
            rest = tail;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    let text = String::from_utf8(bytes);
    Cow::Owned(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

fn escaped(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low] = *bytes.strip_prefix(b"\\x")?.first_chunk::<2>()?;
    let digit = |byte: u8| (byte as char).to_digit(16);
    let value = digit(high)? * 16 + digit(low)?;
    Some((u8::try_from(value).ok()?, &bytes[4..]))
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expect: &Expect) {
        let shown = KmsgRecord::parse(bytes).map_or_else(
            || "malformed".to_owned(),
            |record| {
                let by = if record.is_from_kernel() {
                    "kernel"
                } else {
                    "user space"
                };
                let KmsgRecord {
                    priority,
                    sequence,
                    stamp,
                    text,
                } = record;
                format!("{by} <{priority}> #{sequence} {stamp:?} {text:?}")
            },
        );
        expect.assert_eq(&shown);
    }

    #[test]
    fn a_record_is_a_header_and_a_line() {
        check(
            b"6,16,14,-;clocksource: kvm-clock: mask: 0xffffffffffffffff\n",
            &expect![[r#"kernel <6> #16 14µs "clocksource: kvm-clock: mask: 0xffffffffffffffff""#]],
        );
        check(
            b"12,8,1000000,-;from user space\n",
            &expect![[r#"user space <12> #8 1s "from user space""#]],
        );
        check(
            b"6,1,2,-,caller=T7,more;x",
            &expect![[r#"kernel <6> #1 2µs "x""#]],
        );
        check(
            b"6,1,2;three fields do",
            &expect![[r#"kernel <6> #1 2µs "three fields do""#]],
        );
        check(
            b"4,18446744073709551615,18446744073709551615,c;;a;b\n",
            &expect![[r#"kernel <4> #18446744073709551615 18446744073709.551615s ";a;b""#]],
        );
        check(b"6,1,2,-;\n", &expect![[r#"kernel <6> #1 2µs """#]]);
    }

    #[test]
    fn the_dictionary_is_not_part_of_the_message() {
        check(
            b"3,9,5,-;sd 0:0:0:0: rejecting I/O\n SUBSYSTEM=scsi\n DEVICE=+scsi:0:0:0:0\n",
            &expect![[r#"kernel <3> #9 5µs "sd 0:0:0:0: rejecting I/O""#]],
        );
    }

    #[test]
    fn escapes_are_decoded() {
        check(
            br"6,1,2,-;tab\x09here",
            &expect![[r#"kernel <6> #1 2µs "tab\there""#]],
        );
        check(
            br"6,1,2,-;C:\x5cx41",
            &expect![[r#"kernel <6> #1 2µs "C:\\x41""#]],
        );
        check(
            br"6,1,2,-;caf\xc3\xa9",
            &expect![[r#"kernel <6> #1 2µs "café""#]],
        );
        check(
            br"6,1,2,-;bad \xff\xC3 end",
            &expect![[r#"kernel <6> #1 2µs "bad �� end""#]],
        );
        check(
            br"6,1,2,-;not one: \x4 \xg0 \y \",
            &expect![[r#"kernel <6> #1 2µs "not one: \\x4 \\xg0 \\y \\""#]],
        );
        check(
            br"6,1,2,-;  two lines\x0awith blanks \x0a",
            &expect![[r#"kernel <6> #1 2µs "two lines\nwith blanks""#]],
        );
        check(
            b"6,1,2,-;raw \xff byte",
            &expect![[r#"kernel <6> #1 2µs "raw � byte""#]],
        );
    }

    #[test]
    fn what_is_no_record_is_malformed() {
        for bytes in [
            &b""[..],
            b"6,1,2,-",
            b"6,1;text",
            b"x,1,2,-;text",
            b"6,-1,2,-;text",
            b"6,1,18446744073709551616,-;text",
            b";",
            b"\xff\xfe,1,2;x",
        ] {
            check(bytes, &expect!["malformed"]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _record = KmsgRecord::parse(&bytes);
        }

        #[test]
        fn what_the_kernel_escapes_comes_back(text in "[^\\s]([^\n]{0,40}[^\\s])?") {
            let mut record = b"6,1,2,-;".to_vec();
            for &byte in text.as_bytes() {
                if (b' '..127).contains(&byte) && byte != b'\\' {
                    record.push(byte);
                } else {
                    record.extend(format!("\\x{byte:02x}").bytes());
                }
            }
            record.push(b'\n');
            prop_assert_eq!(KmsgRecord::parse(&record).unwrap().text, text);
        }
    }
}
