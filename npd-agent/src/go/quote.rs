//! Go's quoting: `%q` in condition Events, and the HTML-safe JSON of `/conditions`.
//!
//! Written here because Rust's `{:?}` and `serde_json` escape other characters in other ways, and
//! consumers compare these texts.

/// Quotes a text as Go's `%q` and `strconv.Quote` do.
///
/// Which characters are printable depends on the Unicode tables. Those of this toolchain are newer than
/// Go's, so Go escapes some new characters that are not escaped here.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            _ if is_printable(c) => out.push(c),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            _ if c.is_ascii() => push_escape(&mut out, 'x', 2, c.into()),
            '\0'..='\u{ffff}' => push_escape(&mut out, 'u', 4, c.into()),
            _ => push_escape(&mut out, 'U', 8, c.into()),
        }
    }
    out.push('"');
    out
}

/// Quotes a text as the errors of Go's `time` package do: `\xNN` for every byte that is not
/// printable ASCII.
pub(super) fn quote_bytes(text: impl AsRef<[u8]>) -> String {
    let text = text.as_ref();
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend(['\\', byte.into()]),
            // Go tests `< ' '`, so DEL is not escaped.
            b' '..=0x7f => out.push(byte.into()),
            _ => push_escape(&mut out, 'x', 2, byte.into()),
        }
    }
    out.push('"');
    out
}

/// In encoded JSON, escapes the characters that Go's JSON encoder escapes and `serde_json` does not.
///
/// JSON has these characters only inside strings, so no parsing is needed.
pub fn escape_html(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => push_escape(&mut out, 'u', 4, c.into()),
            _ => out.push(c),
        }
    }
    out
}

/// Whether Go's `unicode.IsPrint` holds: a letter, mark, number, punctuation, symbol or the space.
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // The standard library has this table, but only `escape_debug` uses it. That also escapes a
    // combining mark at the start of a text, so a letter is put before it.
    let mut probe = String::from("x");
    probe.push(c);
    probe.escape_debug().nth(1) == Some(c)
}

/// Appends `\`, the kind, and the value with this many hexadecimal digits.
fn push_escape(out: &mut String, kind: char, digits: u32, value: u32) {
    out.extend(['\\', kind]);
    let digits = (0..digits).rev().map(|digit| value >> (4 * digit) & 0xf);
    out.extend(digits.filter_map(|digit| char::from_digit(digit, 16)));
}

#[cfg(test)]
mod tests {
    use super::{escape_html, is_printable, quote, quote_bytes};
    use crate::go::tests::vectors;

    #[test]
    fn quotes_what_go_quotes() {
        for row in vectors::read("quote.tsv") {
            let [text, expected] = row.fields();
            assert_eq!(quote(text), expected, "{row}");
        }
    }

    #[test]
    fn prints_the_characters_that_go_prints() {
        for row in vectors::read("printable.tsv") {
            let [first, last, printable] = row.fields();
            let point = |text| u32::from_str_radix(text, 16).unwrap();
            for c in (point(first)..=point(last)).filter_map(char::from_u32) {
                assert_eq!(is_printable(c), printable == "true", "{c:?} in {row}");
            }
        }
    }

    #[test]
    fn escapes_json_as_go_does() {
        for row in vectors::read("html.tsv") {
            let [text, expected] = row.fields();
            let json = serde_json::to_string(text).unwrap();
            assert_eq!(escape_html(&json), expected, "{row}");
        }
    }

    #[test]
    fn quotes_bytes_in_time_errors() {
        assert_eq!(quote_bytes("1\"\\\n\u{b5}~"), r#""1\"\\\x0a\xc2\xb5~""#);
    }
}
