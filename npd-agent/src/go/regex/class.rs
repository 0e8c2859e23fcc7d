//! Character classes: `[…]`, `\d` and `\p{…}`.

use super::escape::{self, push_literal};
use super::{RegexError, RegexErrorKind};

/// A class without members.
pub(super) const NOTHING: &str = r"[^\x00-\x{10FFFF}]";
const EVERYTHING: &str = r"[\x00-\x{10FFFF}]";

/// Splits off a bracketed class.
pub(super) fn split(token: &str) -> Result<(String, &str), RegexError> {
    let body = token.strip_prefix('[').unwrap_or(token);
    let (negated, mut rest) = match body.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, body),
    };
    let mut items = String::new();
    let mut first = true;
    // A bracket that comes first is a member.
    while first || !rest.starts_with(']') {
        first = false;
        if let Some((item, after)) = split_posix(rest)? {
            items.push_str(item);
            rest = after;
        } else if let Some((item, after)) = split_escape(rest)? {
            items.push_str(&item);
            rest = after;
        } else {
            let (low, after_low) = split_char(rest, token)?;
            let (high, after) = match after_low.strip_prefix('-') {
                // A hyphen that comes last is a member.
                Some(after) if !after.is_empty() && !after.starts_with(']') => {
                    split_char(after, token)?
                }
                _ => (low, after_low),
            };
            if high < low {
                let range = &rest[..rest.len() - after.len()];
                return Err(RegexError::new(RegexErrorKind::CharRange, range));
            }
            push_range(&mut items, low, high);
            rest = after;
        }
    }
    let class = match (items.is_empty(), negated) {
        (false, false) => format!("[{items}]"),
        (false, true) => format!("[^{items}]"),
        (true, false) => NOTHING.to_owned(),
        (true, true) => EVERYTHING.to_owned(),
    };
    Ok((class, &rest[1..]))
}

/// Splits off an escape for many characters, if there is one: `\d` or `\p{Greek}`.
///
/// The result is in brackets, which may be nested in others.
pub(super) fn split_escape(token: &str) -> Result<Option<(String, &str)>, RegexError> {
    let mut chars = token.chars();
    let class = match (chars.next(), chars.next()) {
        (Some('\\'), Some('d')) => "[0-9]",
        (Some('\\'), Some('D')) => "[^0-9]",
        (Some('\\'), Some('s')) => r"[\t\n\f\r ]",
        (Some('\\'), Some('S')) => r"[^\t\n\f\r ]",
        (Some('\\'), Some('w')) => "[0-9A-Za-z_]",
        (Some('\\'), Some('W')) => "[^0-9A-Za-z_]",
        (Some('\\'), Some(p @ ('p' | 'P'))) => {
            return split_unicode(token, p == 'P', chars.as_str()).map(Some);
        }
        _ => return Ok(None),
    };
    Ok(Some((class.to_owned(), chars.as_str())))
}

/// Splits off `\pN`, `\p{Greek}` or `\p{^Greek}`, given what follows the `p`.
fn split_unicode<'p>(
    token: &'p str,
    negated: bool,
    name: &'p str,
) -> Result<(String, &'p str), RegexError> {
    let (name, rest) = match name.strip_prefix('{') {
        Some(name) => name
            .split_once('}')
            .ok_or_else(|| RegexError::new(RegexErrorKind::CharRange, token))?,
        None => name.split_at(name.chars().next().map_or(0, char::len_utf8)),
    };
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, !negated),
        None => (name, negated),
    };
    // Go has surrogates as a category. In Rust they are not characters.
    if matches!(name.to_ascii_lowercase().as_str(), "cs" | "surrogate") {
        let class = if negated { EVERYTHING } else { NOTHING };
        return Ok((class.to_owned(), rest));
    }
    // Go has only general categories and scripts. `regex` also has properties, and `isGreek`.
    let is_name = name
        .chars()
        .all(|c| c.is_ascii_alphabetic() || matches!(c, ' ' | '_' | '-'))
        && !name
            .get(..2)
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case("is"));
    let p = if negated { 'P' } else { 'p' };
    ["gc", "sc"]
        .iter()
        .filter(|_| is_name)
        .map(|property| format!(r"\{p}{{{property}={name}}}"))
        .find(|class| regex::Regex::new(class).is_ok())
        .map(|class| (class, rest))
        .ok_or_else(|| {
            RegexError::new(
                RegexErrorKind::CharRange,
                &token[..token.len() - rest.len()],
            )
        })
}

/// Splits off `[:alpha:]`, if it is there.
fn split_posix(text: &str) -> Result<Option<(&str, &str)>, RegexError> {
    let Some(end) = text.strip_prefix("[:").and_then(|name| name.find(":]")) else {
        return Ok(None);
    };
    let (class, rest) = text.split_at("[:".len() + end + ":]".len());
    let name = class.trim_start_matches("[:").trim_end_matches(":]");
    match name.strip_prefix('^').unwrap_or(name) {
        "alnum" | "alpha" | "ascii" | "blank" | "cntrl" | "digit" | "graph" | "lower" | "print"
        | "punct" | "space" | "upper" | "word" | "xdigit" => Ok(Some((class, rest))),
        _ => Err(RegexError::new(RegexErrorKind::CharRange, class)),
    }
}

/// Splits off one character or escape; `class` is the class around it.
fn split_char<'p>(text: &'p str, class: &str) -> Result<(u32, &'p str), RegexError> {
    let mut chars = text.chars();
    match chars.next() {
        None => Err(RegexError::new(RegexErrorKind::MissingBracket, class)),
        Some('\\') => escape::split(text),
        Some(c) => Ok((c.into(), chars.as_str())),
    }
}

/// Writes a range without surrogates at its ends; those in the middle never match.
fn push_range(items: &mut String, low: u32, high: u32) {
    let low = char::from_u32(low).unwrap_or('\u{e000}');
    let high = char::from_u32(high).unwrap_or('\u{d7ff}');
    if low <= high {
        push_literal(items, low);
        if low < high {
            items.push('-');
            push_literal(items, high);
        }
    }
}
