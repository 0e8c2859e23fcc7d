//! Escapes of single characters.

use super::{RegexError, RegexErrorKind};

/// Writes a character that stands for itself, inside or outside a class.
pub(super) fn push_literal(out: &mut String, c: char) {
    if c.is_control() {
        // So the translation is readable in logs.
        out.extend(c.escape_unicode());
    } else {
        out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
    }
}

/// Splits off an escape. The code point may be half of a surrogate pair, which no text contains.
pub(super) fn split(token: &str) -> Result<(u32, &str), RegexError> {
    let mut chars = token.chars();
    chars.next();
    let Some(c) = chars.next() else {
        return Err(RegexError::new(RegexErrorKind::TrailingBackslash, ""));
    };
    let next_is_octal = matches!(chars.as_str().as_bytes(), [b'0'..=b'7', ..]);
    let point = match c {
        // A single digit would be a back-reference.
        '0' => Some(split_octal(0, &mut chars)),
        '1'..='7' if next_is_octal => Some(split_octal(u32::from(c) - u32::from('0'), &mut chars)),
        'x' => split_hex(&mut chars),
        'a' => Some(0x07),
        'f' => Some(0x0c),
        'n' => Some(0x0a),
        'r' => Some(0x0d),
        't' => Some(0x09),
        'v' => Some(0x0b),
        _ if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c.into()),
        _ => None,
    };
    let rest = chars.as_str();
    match point {
        Some(point) => Ok((point, rest)),
        None => Err(RegexError::new(
            RegexErrorKind::Escape,
            &token[..token.len() - rest.len()],
        )),
    }
}

/// Up to two more octal digits.
fn split_octal(first: u32, chars: &mut std::str::Chars<'_>) -> u32 {
    let mut point = first;
    for _ in 0..2 {
        let Some(digit) = chars.as_str().chars().next().and_then(|c| c.to_digit(8)) else {
            break;
        };
        point = point * 8 + digit;
        chars.next();
    }
    point
}

/// Two hexadecimal digits, or any number of them in braces.
fn split_hex(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let first = chars.next()?;
    if first != '{' {
        // Go reads both characters before it reports the error.
        let second = chars.next();
        return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let mut point = None;
    loop {
        match chars.next()? {
            '}' => return point,
            c => point = Some(point.unwrap_or(0) * 16 + c.to_digit(16)?),
        }
        point.filter(|point| *point <= u32::from(char::MAX))?;
    }
}
