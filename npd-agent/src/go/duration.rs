//! Durations as Go's `time.ParseDuration` reads and `Duration.String` prints them.
//!
//! Written here because the crate `go-parse-duration` panics on `1µs`, and `humantime` and `jiff`
//! accept other texts than Go does (`1d`, `5 m`) and refuse some that Go accepts (`.5s`).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::quote::quote_bytes;

/// A signed span of nanoseconds, written `5m0s`, `1.5s` or `30000ms`.
///
/// About ±292 years, as Go's `time.Duration`. Deserializes from a string only: NPD treats a JSON
/// number as an error too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(i64);

/// A text that Go does not accept as a duration, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is no sequence of numbers, or the sum does not fit.
    #[error("time: invalid duration {}", quote_bytes(.0))]
    Invalid(String),
    /// A number is not followed by a unit.
    #[error("time: missing unit in duration {}", quote_bytes(.0))]
    MissingUnit(String),
    /// Go has no such unit; `d` is the usual one.
    #[error(
        "time: unknown unit {} in duration {}",
        quote_bytes(unit),
        quote_bytes(text)
    )]
    UnknownUnit {
        /// What stood after the number.
        unit: String,
        /// The whole duration.
        text: String,
    },
}

impl GoDuration {
    /// The empty duration, printed `0s`.
    pub const ZERO: Self = Self(0);

    /// A duration in nanoseconds.
    pub const fn from_nanos(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// A duration in seconds; saturates at ±292 years.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND.cast_signed()))
    }

    /// The length in nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The same span as a [`Duration`], or `None` if it is negative.
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

/// A duration too long for Go (292 years) becomes Go's longest.
impl From<Duration> for GoDuration {
    fn from(span: Duration) -> Self {
        Self(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
    }
}

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// One more than the longest duration: Go's sums may reach it, because it is the magnitude of the
/// shortest one.
const LIMIT: u64 = 1 << 63;

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError::Invalid(text.to_owned());
        let (negative, mut rest) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        // Only zero needs no unit.
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut sum = 0_u64;
        while !rest.is_empty() {
            let (number, tail) = Number::split(rest).ok_or_else(invalid)?;
            let end = tail
                .find(|c: char| c == '.' || c.is_ascii_digit())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            if unit.is_empty() {
                return Err(DurationError::MissingUnit(text.to_owned()));
            }
            let unit = nanoseconds_of(unit).ok_or_else(|| DurationError::UnknownUnit {
                unit: unit.to_owned(),
                text: text.to_owned(),
            })?;
            sum = number
                .times(unit)
                .and_then(|span| sum.checked_add(span))
                .filter(|sum| *sum <= LIMIT)
                .ok_or_else(invalid)?;
            rest = tail;
        }
        let nanoseconds = if negative {
            0_i64.checked_sub_unsigned(sum)
        } else {
            i64::try_from(sum).ok()
        };
        nanoseconds.map(Self).ok_or_else(invalid)
    }
}

/// A decimal number as Go reads it: digits on at least one side of the point.
struct Number {
    whole: u64,
    fraction: u64,
    /// The divisor of `fraction`, a power of ten.
    scale: f64,
}

impl Number {
    /// Splits off the leading number; `None` if there is none or it overflows.
    fn split(text: &str) -> Option<(Self, &str)> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (before, rest) = text.split_at(digits(text));
        let mut number = Self {
            whole: 0,
            fraction: 0,
            scale: 1.0,
        };
        for digit in before.bytes() {
            number.whole = append_digit(number.whole, digit)?;
        }
        let Some(rest) = rest.strip_prefix('.') else {
            return (!before.is_empty()).then_some((number, rest));
        };
        let (after, rest) = rest.split_at(digits(rest));
        for digit in after.bytes() {
            // Further digits are too small to matter; Go drops them too.
            let Some(fraction) = append_digit(number.fraction, digit) else {
                break;
            };
            number.fraction = fraction;
            number.scale *= 10.0;
        }
        (!before.is_empty() || !after.is_empty()).then_some((number, rest))
    }

    /// This number of units in nanoseconds, rounded down; `None` if it overflows.
    fn times(&self, unit: u64) -> Option<u64> {
        let whole = self
            .whole
            .checked_mul(unit)
            .filter(|whole| *whole <= LIMIT)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a fraction of a unit is less than the unit; Go rounds it down the same way"
        )]
        let fraction = (self.fraction as f64 * (unit as f64 / self.scale)) as u64;
        whole.checked_add(fraction).filter(|sum| *sum <= LIMIT)
    }
}

fn append_digit(value: u64, digit: u8) -> Option<u64> {
    value
        .checked_mul(10)?
        .checked_add(u64::from(digit - b'0'))
        .filter(|value| *value <= LIMIT)
}

fn nanoseconds_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // U+00B5 is the micro sign, U+03BC the Greek letter mu.
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

/// Go's style: `72h3m0.5s`, below a second `1.5µs`, and `0s`.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let nanoseconds = self.0.unsigned_abs();
        match nanoseconds {
            0 => f.write_str("0s"),
            1..MICROSECOND => write!(f, "{nanoseconds}ns"),
            MICROSECOND..MILLISECOND => write_decimal(f, nanoseconds, MICROSECOND, "\u{b5}s"),
            MILLISECOND..SECOND => write_decimal(f, nanoseconds, MILLISECOND, "ms"),
            _ => {
                if nanoseconds >= HOUR {
                    write!(f, "{}h", nanoseconds / HOUR)?;
                }
                if nanoseconds >= MINUTE {
                    write!(f, "{}m", nanoseconds % HOUR / MINUTE)?;
                }
                write_decimal(f, nanoseconds % MINUTE, SECOND, "s")
            }
        }
    }
}

/// Writes `value / unit` with as many decimals as it needs.
fn write_decimal(f: &mut fmt::Formatter<'_>, value: u64, unit: u64, name: &str) -> fmt::Result {
    write!(f, "{}", value / unit)?;
    let (mut rest, mut digits) = (value % unit, unit.ilog10() as usize);
    if rest != 0 {
        while rest.is_multiple_of(10) {
            rest /= 10;
            digits -= 1;
        }
        write!(f, ".{rest:0digits$}")?;
    }
    f.write_str(name)
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = GoDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration string such as \"5m0s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::GoDuration;
    use crate::go::tests::vectors;

    #[test]
    fn parses_and_prints_what_go_does() {
        for row in vectors::read("duration.tsv") {
            let [text, expected] = row.fields();
            let ours = match text.parse::<GoDuration>() {
                Ok(duration) => format!("{} {duration}", duration.as_nanos()),
                Err(error) => error.to_string(),
            };
            assert_eq!(ours, expected, "{row}");
        }
    }

    #[test]
    fn becomes_a_std_duration_unless_negative() {
        assert_eq!(
            GoDuration::from_secs(90).to_std(),
            Some(Duration::from_secs(90))
        );
        assert_eq!(GoDuration::ZERO.to_std(), Some(Duration::ZERO));
        assert_eq!(GoDuration::from_nanos(-1).to_std(), None);
        assert_eq!(
            GoDuration::from(Duration::MAX),
            GoDuration::from_nanos(i64::MAX)
        );
    }

    #[test]
    fn deserializes_from_strings_only() {
        let parsed: GoDuration = serde_json::from_str(r#""1m30s""#).unwrap();
        assert_eq!(parsed, GoDuration::from_secs(90));
        let error = serde_json::from_str::<GoDuration>("5")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("invalid type: integer `5`, expected a duration string"),
            "{error}"
        );
        let error = serde_json::from_str::<GoDuration>(r#""1d""#)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with(r#"time: unknown unit "d" in duration "1d""#),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn every_duration_survives_printing(nanoseconds: i64) {
            let duration = GoDuration::from_nanos(nanoseconds);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.a-zµ ]{0,24}") {
            if let Ok(duration) = text.parse::<GoDuration>() {
                prop_assert_eq!(duration.to_string().parse(), Ok(duration));
            }
        }
    }
}
