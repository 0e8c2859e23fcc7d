//! Reads numbers, names and zones from the start of a text.

use jiff::tz::Offset;

use super::{Abbreviation, Zone};

/// Why a field does not match the text.
pub(super) enum Refusal {
    Mismatch,
    OutOfRange(&'static str),
}

/// The part of the text that was not yet read.
pub(super) struct Cursor<'t> {
    pub(super) rest: &'t [u8],
}

impl<'t> Cursor<'t> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'t [u8], Refusal> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Refusal::Mismatch)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn skip_blanks(&mut self, most: usize) {
        let blanks = self
            .rest
            .iter()
            .take(most)
            .take_while(|c| **c == b' ')
            .count();
        self.rest = &self.rest[blanks..];
    }

    /// Skips a literal text. A blank matches any number of blanks, and at the end of the text also none.
    pub(super) fn skip(&mut self, literal: &str) -> Option<()> {
        let mut literal = Cursor {
            rest: literal.as_bytes(),
        };
        while let Some(c) = literal.rest.first() {
            if *c != b' ' {
                self.rest = self.rest.strip_prefix(&[*c])?;
                literal.rest = &literal.rest[1..];
                continue;
            }
            if !self.rest.is_empty() && !self.rest.starts_with(b" ") {
                return None;
            }
            literal.skip_blanks(usize::MAX);
            self.skip_blanks(usize::MAX);
        }
        Some(())
    }

    /// A number with exactly this many digits.
    pub(super) fn digits<T: TryFrom<u32>>(&mut self, length: usize) -> Result<T, Refusal> {
        let digits = self.take(length)?;
        let value = digits.iter().try_fold(0_u32, |value, c| {
            c.is_ascii_digit().then(|| value * 10 + u32::from(c - b'0'))
        });
        value
            .and_then(|value| T::try_from(value).ok())
            .ok_or(Refusal::Mismatch)
    }

    /// A number of two digits, or of one unless `fixed`.
    pub(super) fn number(&mut self, fixed: bool) -> Result<i8, Refusal> {
        let is_short = !self.rest.get(1).is_some_and(u8::is_ascii_digit);
        self.digits(if is_short && !fixed { 1 } else { 2 })
    }

    /// A number of three digits, or of fewer unless `fixed`.
    pub(super) fn day_of_year(&mut self, fixed: bool) -> Result<i16, Refusal> {
        let digits = self
            .rest
            .iter()
            .take(3)
            .take_while(|c| c.is_ascii_digit())
            .count();
        self.digits(if fixed { 3 } else { digits.max(1) })
    }

    /// The number, from 1, of the name at the start of the text, ignoring case. Only the first letters of
    /// a name are compared.
    pub(super) fn name(&mut self, names: &[&str], letters: usize) -> Result<i8, Refusal> {
        for (number, name) in (1..).zip(names) {
            let name = &name.as_bytes()[..name.len().min(letters)];
            if let Some((start, rest)) = self.rest.split_at_checked(name.len())
                && start.eq_ignore_ascii_case(name)
            {
                self.rest = rest;
                return Ok(number);
            }
        }
        Err(Refusal::Mismatch)
    }

    /// A point or comma and this many digits, in nanoseconds; digits after the ninth are dropped.
    pub(super) fn fraction(&mut self, digits: usize) -> Result<i32, Refusal> {
        let [b'.' | b',', digits @ ..] = self.take(1 + digits)? else {
            return Err(Refusal::Mismatch);
        };
        let kept = digits.len().min(9);
        let mut nanoseconds: i32 = Cursor { rest: digits }.digits(kept)?;
        for _ in kept..9 {
            nanoseconds *= 10;
        }
        Ok(nanoseconds)
    }

    /// A sign, then hours, minutes and seconds of two digits each.
    pub(super) fn offset(&mut self, colons: bool, parts: usize) -> Result<Offset, Refusal> {
        let length = if colons { 3 * parts } else { 1 + 2 * parts };
        let mut text = Cursor {
            rest: self.take(length)?,
        };
        let is_negative = match text.take(1)? {
            b"-" => true,
            b"+" => false,
            _ => return Err(Refusal::Mismatch),
        };
        let mut seconds = 0;
        for (index, (most, what)) in OFFSET_PARTS.into_iter().enumerate() {
            if colons && (1..parts).contains(&index) {
                text.skip(":").ok_or(Refusal::Mismatch)?;
            }
            let part = if index < parts { text.digits(2)? } else { 0 };
            if part > most {
                return Err(Refusal::OutOfRange(what));
            }
            seconds = seconds * 60 + part;
        }
        let seconds = if is_negative { -seconds } else { seconds };
        Offset::from_seconds(seconds)
            .ok()
            .ok_or(Refusal::OutOfRange(OFFSET_PARTS[0].1))
    }

    /// An abbreviation such as `CEST`, or the hours of a zone that has no name.
    pub(super) fn zone_name(&mut self) -> Result<Zone, Refusal> {
        let (length, hours) = match self.rest {
            [b'G', b'M', b'T', rest @ ..] => (3, signed_hours(rest)),
            [b'+' | b'-', ..] => (0, signed_hours(self.rest)),
            // The only abbreviations with a small letter.
            [b'C', b'h', b'S', b'T', ..] | [b'M', b'e', b'S', b'T', ..] => (4, None),
            _ => {
                let letters = self
                    .rest
                    .iter()
                    .take(6)
                    .take_while(|c| c.is_ascii_uppercase());
                (letters.count(), None)
            }
        };
        let name = self.take(length)?;
        if let Some((offset, length)) = hours {
            self.take(length)?;
            return Ok(Zone::Offset(offset));
        }
        match name {
            [_, _, _] | [_, _, _, b'T'] | b"WITA" | [_, _, _, _, b'T'] => Abbreviation::new(name)
                .map(Zone::Named)
                .ok_or(Refusal::Mismatch),
            _ => Err(Refusal::Mismatch),
        }
    }
}

/// A sign and hours, and their length.
fn signed_hours(text: &[u8]) -> Option<(Offset, usize)> {
    let (sign, digits) = text.split_first()?;
    let length = digits.iter().take_while(|c| c.is_ascii_digit()).count();
    let hours: i32 = str::from_utf8(&digits[..length])
        .ok()?
        .parse()
        .ok()
        .filter(|h| *h < 24)?;
    let seconds = hours * 3600;
    let seconds = match sign {
        b'+' => seconds,
        b'-' => -seconds,
        _ => return None,
    };
    Some((Offset::from_seconds(seconds).ok()?, 1 + length))
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Go's limits for the parts of an offset.
const OFFSET_PARTS: [(i32, &str); 3] = [
    (24, "time zone offset hour"),
    (60, "time zone offset minute"),
    (60, "time zone offset second"),
];
