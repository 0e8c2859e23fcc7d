//! Values that more than one kind of config file has.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::FileCheck;
use crate::go::duration::GoDuration;

/// A Go duration over 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "GoDuration")]
pub struct Positive(pub Duration);

impl TryFrom<GoDuration> for Positive {
    type Error = &'static str;

    fn try_from(duration: GoDuration) -> Result<Self, Self::Error> {
        let positive = duration.to_std().filter(|duration| !duration.is_zero());
        positive.map(Self).ok_or("must be more than 0")
    }
}

/// A Go duration that may be 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "GoDuration")]
pub struct NotNegative(pub Duration);

impl TryFrom<GoDuration> for NotNegative {
    type Error = &'static str;

    fn try_from(duration: GoDuration) -> Result<Self, Self::Error> {
        duration.to_std().map(Self).ok_or("must not be negative")
    }
}

/// A number over 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct AtLeastOne(pub u32);

impl TryFrom<i64> for AtLeastOne {
    type Error = &'static str;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        let number = u32::try_from(number).ok().filter(|number| *number > 0);
        number.map(Self).ok_or("must be at least 1")
    }
}

/// The value of a key that NPD does not know: NPD starts with any value. An invalid value counts as
/// absent.
#[derive(Clone, Debug)]
pub struct Lenient<T> {
    value: Option<T>,
    wrong: Option<String>,
}

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self {
            value: None,
            wrong: None,
        }
    }
}

impl<T> Lenient<T> {
    /// The value, if there is one. Notes it if the value at `path` is invalid.
    pub fn take(self, check: &mut FileCheck<'_>, path: &str) -> Option<T> {
        if let Some(wrong) = self.wrong {
            check.note(path, format!("{wrong}; it counts as absent"));
        }
        self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match T::deserialize(deserializer) {
            Ok(value) => Self {
                value: Some(value),
                wrong: None,
            },
            Err(error) => Self {
                value: None,
                wrong: Some(error.to_string()),
            },
        })
    }
}
