//! Numbers as Go's `strconv` reads them, for the values of flags.
//!
//! Written here because `str::parse` has neither Go's prefixes (`0x10`, `1_000`) nor its error texts.

use super::quote::quote;

/// A text that Go does not accept as a number, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("strconv.{function}: parsing {}: {reason}", quote(text))]
pub struct NumberError {
    function: &'static str,
    text: String,
    reason: &'static str,
}

const SYNTAX: &str = "invalid syntax";
const RANGE: &str = "value out of range";

/// `strconv.ParseInt(text, 0, 64)`, as pflag reads an `int`: a prefix gives the base (`0x`, `0o`,
/// `0`, `0b`), and underscores may stand between digits.
pub fn parse_int(text: &str) -> Result<i64, NumberError> {
    let error = |reason| int_error(text, reason);
    let (negative, digits) = split_sign(text);
    if digits.contains('_') && !are_underscores_right(digits) {
        return Err(error(SYNTAX));
    }
    let (base, digits) = split_base(digits);
    parse_digits(negative, &digits.replace('_', ""), base).map_err(error)
}

/// `strconv.ParseInt(text, 10, 32)`, as klog reads a level.
pub fn parse_level(text: &str) -> Result<i32, NumberError> {
    let error = |reason| int_error(text, reason);
    let (negative, digits) = split_sign(text);
    let level = parse_digits(negative, digits, 10).map_err(error)?;
    i32::try_from(level).map_err(|_too_large| error(RANGE))
}

/// `strconv.ParseFloat(text, 32)`: decimal or hexadecimal, `Inf`, `NaN`.
pub fn parse_float32(text: &str) -> Result<f32, NumberError> {
    let error = |reason| NumberError {
        function: "ParseFloat",
        text: text.to_owned(),
        reason,
    };
    let (negative, number) = split_sign(text);
    let lower = number.to_ascii_lowercase();
    let is_signed = number.len() < text.len();
    let magnitude = match &*lower {
        "nan" if !is_signed => return Ok(f32::NAN),
        "inf" | "infinity" => f32::INFINITY,
        _ => {
            let starts_right = lower.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            if !starts_right || lower.contains('_') && !are_underscores_right(&lower) {
                return Err(error(SYNTAX));
            }
            let plain = lower.replace('_', "");
            let value = match plain.strip_prefix("0x") {
                Some(hex) => parse_hex_float(hex),
                None => plain.parse().ok(),
            };
            let value = value.ok_or_else(|| error(SYNTAX))?;
            if value.is_infinite() {
                return Err(error(RANGE));
            }
            value
        }
    };
    Ok(if negative { -magnitude } else { magnitude })
}

fn int_error(text: &str, reason: &'static str) -> NumberError {
    NumberError {
        function: "ParseInt",
        text: text.to_owned(),
        reason,
    }
}

/// Whether there is a minus sign, and the text after the sign.
fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// The base that a prefix names, and the digits. A lone zero is decimal.
fn split_base(digits: &str) -> (u32, &str) {
    let mut chars = digits.chars();
    if chars.next() != Some('0') || digits.len() < 2 {
        return (10, digits);
    }
    // Go wants a digit after the letter, so that `0x` alone is read as octal, and refused.
    let has_digits = digits.len() >= 3;
    match chars.next().map(|c| c.to_ascii_lowercase()) {
        Some('x') if has_digits => (16, &digits[2..]),
        Some('o') if has_digits => (8, &digits[2..]),
        Some('b') if has_digits => (2, &digits[2..]),
        _ => (8, &digits[1..]),
    }
}

fn parse_digits(negative: bool, digits: &str, base: u32) -> Result<i64, &'static str> {
    // from_str_radix would take a second sign.
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err(SYNTAX);
    }
    let magnitude = u64::from_str_radix(digits, base).map_err(|_too_large| RANGE)?;
    let value = if negative {
        0_i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    };
    value.ok_or(RANGE)
}

/// Whether each underscore stands between two digits, or between the base's prefix and a digit.
fn are_underscores_right(number: &str) -> bool {
    let number = number.to_ascii_lowercase();
    let prefixes = ["0x", "0o", "0b"];
    let prefix = prefixes.iter().find_map(|base| number.strip_prefix(base));
    let is_hex = number.starts_with("0x");
    // The prefix counts as a digit.
    let mut before = if prefix.is_some() { '0' } else { '!' };
    for c in prefix.unwrap_or(&number).chars() {
        let kind = match c {
            '_' if before != '0' => return false,
            '_' => '_',
            c if c.is_ascii_digit() || is_hex && c.is_ascii_hexdigit() => '0',
            _ if before == '_' => return false,
            _ => '!',
        };
        before = kind;
    }
    before != '_'
}

/// Reads `1.8p4`; the exponent, a power of two, must be there.
fn parse_hex_float(text: &str) -> Option<f32> {
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0_f64;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let shift = exponent.saturating_sub(i32::try_from(4 * fraction.len()).ok()?);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "too large becomes infinite"
    )]
    Some((value * 2_f64.powi(shift)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::go::tests::vectors;

    fn shown<T: std::fmt::Debug>(parsed: Result<T, NumberError>) -> String {
        parsed.map_or_else(|error| error.to_string(), |value| format!("{value:?}"))
    }

    #[test]
    fn reads_what_go_reads() {
        for row in vectors::read("number.tsv") {
            let [kind, text, expected] = row.fields();
            let ours = match kind {
                "int" => shown(parse_int(text)),
                "level" => shown(parse_level(text)),
                _ => match parse_float32(text) {
                    Ok(value) => format!("{:08x}", value.to_bits()),
                    Err(error) => error.to_string(),
                },
            };
            assert_eq!(ours, expected, "{row}");
        }
    }
}
