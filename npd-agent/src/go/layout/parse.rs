//! Parses a text with a layout. Works on bytes and allocates nothing.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

use super::compile::{LayoutField, LayoutStep};
use super::cursor::{Cursor, MONTHS, Refusal, WEEKDAYS};
use super::{LayoutError, LayoutFault, Parsed, TimeLayout, Zone};

impl TimeLayout {
    /// Parses a whole text.
    pub fn parse<'a>(&'a self, text: &'a str) -> Result<Parsed, LayoutError<'a>> {
        self.read(text).map_err(|fault| LayoutError {
            layout: &self.text,
            text,
            fault,
        })
    }

    fn read<'a>(&'a self, text: &'a str) -> Result<Parsed, LayoutFault<'a>> {
        let mut cursor = Cursor {
            rest: text.as_bytes(),
        };
        let mut fields = Fields::default();
        for LayoutStep {
            prefix,
            element,
            field,
        } in &self.steps
        {
            let prefix = &self.text[prefix.clone()];
            cursor.skip(prefix).ok_or(LayoutFault::Mismatch {
                rest: cursor.rest,
                element: prefix,
            })?;
            let rest = cursor.rest;
            fields
                .set(*field, &mut cursor)
                .map_err(|refusal| match refusal {
                    Refusal::Mismatch => LayoutFault::Mismatch {
                        rest,
                        element: &self.text[element.clone()],
                    },
                    Refusal::OutOfRange(what) => LayoutFault::OutOfRange(what),
                })?;
        }
        let suffix = &self.text[self.suffix.clone()];
        cursor.skip(suffix).ok_or(LayoutFault::Mismatch {
            rest: cursor.rest,
            element: suffix,
        })?;
        if !cursor.rest.is_empty() {
            return Err(LayoutFault::Extra(cursor.rest));
        }
        fields.finish()
    }
}

/// The fields that were read so far.
#[derive(Default)]
struct Fields {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
    day_of_year: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    afternoon: Option<bool>,
    is_utc: bool,
    offset: Option<Offset>,
    name: Option<Zone>,
}

impl Fields {
    fn set(&mut self, field: LayoutField, cursor: &mut Cursor<'_>) -> Result<(), Refusal> {
        let in_range = |value: i8, range: std::ops::RangeInclusive<i8>, what| {
            if range.contains(&value) {
                Ok(value)
            } else {
                Err(Refusal::OutOfRange(what))
            }
        };
        match field {
            LayoutField::Year => self.year = cursor.digits(4)?,
            LayoutField::ShortYear => {
                let year: i16 = cursor.digits(2)?;
                self.year = if year >= 69 { 1900 + year } else { 2000 + year };
            }
            LayoutField::MonthName => self.month = Some(cursor.name(&MONTHS, usize::MAX)?),
            LayoutField::ShortMonthName => self.month = Some(cursor.name(&MONTHS, 3)?),
            LayoutField::Month { fixed } => {
                self.month = Some(in_range(cursor.number(fixed)?, 1..=12, "month")?);
            }
            // Go does not check that it is the weekday of the date.
            LayoutField::WeekdayName => _ = cursor.name(&WEEKDAYS, usize::MAX)?,
            LayoutField::ShortWeekdayName => _ = cursor.name(&WEEKDAYS, 3)?,
            LayoutField::Day { fixed, padded } => {
                cursor.skip_blanks(usize::from(padded));
                self.day = Some(cursor.number(fixed)?);
            }
            LayoutField::DayOfYear { padded } => {
                cursor.skip_blanks(if padded { 2 } else { 0 });
                self.day_of_year = Some(cursor.day_of_year(!padded)?);
            }
            LayoutField::Hour => self.hour = in_range(cursor.number(false)?, 0..=23, "hour")?,
            LayoutField::Hour12 { fixed } => {
                self.hour = in_range(cursor.number(fixed)?, 0..=12, "hour")?;
            }
            LayoutField::Minute { fixed } => {
                self.minute = in_range(cursor.number(fixed)?, 0..=59, "minute")?;
            }
            LayoutField::Second {
                fixed,
                before_fraction,
            } => {
                self.second = in_range(cursor.number(fixed)?, 0..=59, "second")?;
                if !before_fraction {
                    self.set_fraction(cursor)?;
                }
            }
            LayoutField::OptionalFraction => self.set_fraction(cursor)?,
            LayoutField::Fraction { digits } => self.nanosecond = cursor.fraction(digits)?,
            LayoutField::HalfOfDay { lower } => {
                let half = cursor.take(2)?;
                self.afternoon = Some(match (half, lower) {
                    (b"PM", false) | (b"pm", true) => true,
                    (b"AM", false) | (b"am", true) => false,
                    _ => return Err(Refusal::Mismatch),
                });
            }
            LayoutField::Offset { or_z: true, .. } if cursor.rest.starts_with(b"Z") => {
                cursor.take(1)?;
                self.is_utc = true;
            }
            LayoutField::Offset { colons, parts, .. } => {
                self.offset = Some(cursor.offset(colons, parts)?);
            }
            LayoutField::ZoneName if cursor.rest.starts_with(b"UTC") => {
                cursor.take(3)?;
                self.is_utc = true;
            }
            LayoutField::ZoneName => self.name = Some(cursor.zone_name()?),
        }
        Ok(())
    }

    /// Reads a fraction of any length, if there is one.
    fn set_fraction(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Refusal> {
        if let [b'.' | b',', after @ ..] = cursor.rest {
            let digits = after.iter().take_while(|c| c.is_ascii_digit()).count();
            if digits > 0 {
                self.nanosecond = cursor.fraction(digits)?;
            }
        }
        Ok(())
    }

    fn finish<'a>(self) -> Result<Parsed, LayoutFault<'a>> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let date = match self.day_of_year {
            None => Date::new(self.year, self.month.unwrap_or(1), self.day.unwrap_or(1))
                .ok()
                .ok_or(LayoutFault::OutOfRange("day"))?,
            Some(day) => self.date_of(day)?,
        };
        // The fields were checked when they were read.
        let time = Time::new(hour, self.minute, self.second, self.nanosecond)
            .ok()
            .ok_or(LayoutFault::OutOfRange("hour"))?;
        let zone = if self.is_utc {
            Zone::Offset(Offset::UTC)
        } else {
            self.offset
                .map(Zone::Offset)
                .or(self.name)
                .unwrap_or(Zone::Local)
        };
        Ok(Parsed {
            civil: DateTime::from_parts(date, time),
            zone,
        })
    }

    /// The day of the year. It must agree with month and day if the text has them too.
    fn date_of<'a>(&self, day_of_year: i16) -> Result<Date, LayoutFault<'a>> {
        let date = Date::new(self.year, 1, 1)
            .and_then(|date| date.with().day_of_year(day_of_year).build())
            .ok()
            .ok_or(LayoutFault::OutOfRange("day-of-year"))?;
        if self.month.is_some_and(|month| month != date.month()) {
            return Err(LayoutFault::DayOfYear("month"));
        }
        if self.day.is_some_and(|day| day != date.day()) {
            return Err(LayoutFault::DayOfYear("day"));
        }
        Ok(date)
    }
}
