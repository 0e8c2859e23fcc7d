//! Time layouts: how the reference time `Mon Jan 2 15:04:05 MST 2006` would be written.
//!
//! A [`TimeLayout`] is compiled once. Then it parses every line of a log, as Go's `time.Parse` does, and
//! without allocating:
//!
//! * A fraction right after the seconds is read even if the layout has none.
//! * `_2` takes a day with or without the blank before it, blanks match any number of blanks.
//! * A `Z` in the layout without `07` after it is only a letter; the time is then local.
//! * Text that is left over is an error.
//!
//! On purpose, these are read differently: a time without a year and a local time that occurs twice
//! ([`Parsed::to_timestamp`]), and a zone that is named by its hours (`+03`, `GMT+3`), which Go takes as
//! UTC. A sign in place of a digit of a year or a fraction is an error.
//!
//! Written here because only the crate `gostd_time` reads Go's layouts, and it is a copy of Go's whole
//! package; the formats of `jiff` and `chrono` have neither optional fractions nor `_2`.

mod compile;
mod cursor;
mod parse;
#[cfg(test)]
mod tests;
mod timestamp;

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::quote::quote_bytes;
pub use compile::TimeLayout;

/// The result of parsing a text: a local time and its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Date and time of day; the year is 0 if the layout has none.
    pub civil: DateTime,
    /// The zone of `civil`.
    pub zone: Zone,
}

/// The zone of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// The text has no zone.
    Local,
    /// An offset from UTC.
    Offset(Offset),
    /// An abbreviation, such as `CEST`, that the local zone may know.
    Named(Abbreviation),
}

/// An abbreviation of three to five letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abbreviation {
    letters: [u8; 5],
    length: usize,
}

impl Abbreviation {
    fn new(text: &[u8]) -> Option<Self> {
        let mut letters = [0; 5];
        letters.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self {
            letters,
            length: text.len(),
        })
    }

    fn as_bytes(&self) -> &[u8] {
        &self.letters[..self.length]
    }
}

/// Why a text does not match a layout, in Go's words. It borrows the texts, so it costs nothing unless it
/// is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayoutError<'a> {
    layout: &'a str,
    text: &'a str,
    fault: LayoutFault<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LayoutFault<'a> {
    /// The rest of the text does not start with the next part of the layout.
    Mismatch { rest: &'a [u8], element: &'a str },
    /// The layout has ended, and this text is left.
    Extra(&'a [u8]),
    /// A number is outside its range.
    OutOfRange(&'static str),
    /// The day of the year does not agree with the date.
    DayOfYear(&'static str),
}

impl fmt::Display for LayoutError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parsing time {}", quote_bytes(self.text))?;
        match self.fault {
            LayoutFault::Mismatch { rest, element } => write!(
                f,
                " as {}: cannot parse {} as {}",
                quote_bytes(self.layout),
                quote_bytes(rest),
                quote_bytes(element)
            ),
            LayoutFault::Extra(rest) => write!(f, ": extra text: {}", quote_bytes(rest)),
            LayoutFault::OutOfRange(what) => write!(f, ": {what} out of range"),
            LayoutFault::DayOfYear(what) => write!(f, ": day-of-year does not match {what}"),
        }
    }
}

impl std::error::Error for LayoutError<'_> {}
