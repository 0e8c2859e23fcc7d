//! How the programs for people say things.

use jiff::Timestamp;

use crate::go::quote::is_printable;

/// How long ago something was, in the unit that `kubectl` would use.
pub(super) fn age(since: Timestamp, now: Timestamp) -> String {
    match now.duration_since(since).as_secs().max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86400),
    }
}

/// A message whose further lines stay below its first. Nothing in it controls the reader's terminal.
pub(super) fn indented(message: &str) -> String {
    let mut shown = String::with_capacity(message.len());
    for c in message.trim_end().chars() {
        match c {
            '\n' => shown.push_str("\n      "),
            c if is_printable(c) => shown.push(c),
            c => shown.extend(c.escape_default()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_does_not_control_the_terminal() {
        let shown = indented("one\ntwo \u{1b}[31m red\n");
        assert_eq!(shown, "one\n      two \\u{1b}[31m red");
    }
}
