//! Compiles the text of a layout into fields.

use std::ops::Range;

/// A compiled layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeLayout {
    pub(super) text: String,
    pub(super) steps: Vec<LayoutStep>,
    /// The text after the last field.
    pub(super) suffix: Range<usize>,
}

/// A field and the text before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LayoutStep {
    /// The range of the text before the field in the layout.
    pub(super) prefix: Range<usize>,
    /// The range of the field itself.
    pub(super) element: Range<usize>,
    pub(super) field: LayoutField,
}

/// A field of a layout. `fixed` means exactly as many digits as in the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayoutField {
    /// `2006`
    Year,
    /// `06`
    ShortYear,
    /// `January`
    MonthName,
    /// `Jan`
    ShortMonthName,
    /// `01`, `1`
    Month { fixed: bool },
    /// `Monday`; must be the name of a day, and is ignored
    WeekdayName,
    /// `Mon`
    ShortWeekdayName,
    /// `02`, `2`, `_2`
    Day { fixed: bool, padded: bool },
    /// `002`, `__2`
    DayOfYear { padded: bool },
    /// `15`
    Hour,
    /// `03`, `3`
    Hour12 { fixed: bool },
    /// `04`, `4`
    Minute { fixed: bool },
    /// `05`, `5`; a fraction after it is read with it, unless the layout has that next
    Second { fixed: bool, before_fraction: bool },
    /// `.000`, `,000`: this number of digits
    Fraction { digits: usize },
    /// `.999`, `,999`: any number of digits, or none
    OptionalFraction,
    /// `PM`, `pm`
    HalfOfDay { lower: bool },
    /// `-07`, `-0700`, `-07:00`, `-070000`, `-07:00:00`, and with `or_z` the same after a `Z`
    Offset {
        or_z: bool,
        colons: bool,
        parts: usize,
    },
    /// `MST`
    ZoneName,
}

/// Fields with a fixed text. If one text begins with another, the longer one comes first.
const FIELDS: &[(&str, LayoutField)] = &[
    ("January", LayoutField::MonthName),
    ("Monday", LayoutField::WeekdayName),
    ("MST", LayoutField::ZoneName),
    ("01", LayoutField::Month { fixed: true }),
    (
        "02",
        LayoutField::Day {
            fixed: true,
            padded: false,
        },
    ),
    ("03", LayoutField::Hour12 { fixed: true }),
    ("04", LayoutField::Minute { fixed: true }),
    (
        "05",
        LayoutField::Second {
            fixed: true,
            before_fraction: false,
        },
    ),
    ("06", LayoutField::ShortYear),
    ("002", LayoutField::DayOfYear { padded: false }),
    ("15", LayoutField::Hour),
    ("1", LayoutField::Month { fixed: false }),
    ("2006", LayoutField::Year),
    (
        "2",
        LayoutField::Day {
            fixed: false,
            padded: false,
        },
    ),
    (
        "_2",
        LayoutField::Day {
            fixed: false,
            padded: true,
        },
    ),
    ("__2", LayoutField::DayOfYear { padded: true }),
    ("3", LayoutField::Hour12 { fixed: false }),
    ("4", LayoutField::Minute { fixed: false }),
    (
        "5",
        LayoutField::Second {
            fixed: false,
            before_fraction: false,
        },
    ),
    ("PM", LayoutField::HalfOfDay { lower: false }),
    ("pm", LayoutField::HalfOfDay { lower: true }),
    (
        "-070000",
        LayoutField::Offset {
            or_z: false,
            colons: false,
            parts: 3,
        },
    ),
    (
        "-07:00:00",
        LayoutField::Offset {
            or_z: false,
            colons: true,
            parts: 3,
        },
    ),
    (
        "-0700",
        LayoutField::Offset {
            or_z: false,
            colons: false,
            parts: 2,
        },
    ),
    (
        "-07:00",
        LayoutField::Offset {
            or_z: false,
            colons: true,
            parts: 2,
        },
    ),
    (
        "-07",
        LayoutField::Offset {
            or_z: false,
            colons: false,
            parts: 1,
        },
    ),
    (
        "Z070000",
        LayoutField::Offset {
            or_z: true,
            colons: false,
            parts: 3,
        },
    ),
    (
        "Z07:00:00",
        LayoutField::Offset {
            or_z: true,
            colons: true,
            parts: 3,
        },
    ),
    (
        "Z0700",
        LayoutField::Offset {
            or_z: true,
            colons: false,
            parts: 2,
        },
    ),
    (
        "Z07:00",
        LayoutField::Offset {
            or_z: true,
            colons: true,
            parts: 2,
        },
    ),
    (
        "Z07",
        LayoutField::Offset {
            or_z: true,
            colons: false,
            parts: 1,
        },
    ),
];

impl TimeLayout {
    /// Compiles a layout. Every text is a layout; text that is not a field stands for itself.
    pub fn new(layout: &str) -> Self {
        let mut steps: Vec<LayoutStep> = Vec::new();
        let (mut prefix, mut at) = (0, 0);
        while at < layout.len() {
            let Some((field, length)) = field_at(&layout.as_bytes()[at..]) else {
                at += 1;
                continue;
            };
            let is_fraction = matches!(
                field,
                LayoutField::Fraction { .. } | LayoutField::OptionalFraction
            );
            if let Some(LayoutStep {
                field:
                    LayoutField::Second {
                        before_fraction, ..
                    },
                ..
            }) = steps.last_mut()
            {
                *before_fraction = is_fraction;
            }
            steps.push(LayoutStep {
                prefix: prefix..at,
                element: at..at + length,
                field,
            });
            at += length;
            prefix = at;
        }
        Self {
            text: layout.to_owned(),
            steps,
            suffix: prefix..layout.len(),
        }
    }
}

/// The field at the start of a layout, and its length.
fn field_at(layout: &[u8]) -> Option<(LayoutField, usize)> {
    // `_2006` is an underscore and a year.
    if layout.starts_with(b"_2006") {
        return None;
    }
    let short_name = |name: &[u8], field| {
        // `Month` and `Janus` are words, not fields.
        let is_word = layout.get(name.len()).is_some_and(u8::is_ascii_lowercase);
        (layout.starts_with(name) && !is_word).then_some((field, name.len()))
    };
    let fixed = FIELDS
        .iter()
        .find(|(text, _)| layout.starts_with(text.as_bytes()));
    fixed
        .map(|(text, field)| (*field, text.len()))
        .or_else(|| short_name(b"Jan", LayoutField::ShortMonthName))
        .or_else(|| short_name(b"Mon", LayoutField::ShortWeekdayName))
        .or_else(|| fraction_at(layout))
}

/// A point or comma, and then only zeros or only nines.
fn fraction_at(layout: &[u8]) -> Option<(LayoutField, usize)> {
    let [b'.' | b',', digit @ (b'0' | b'9'), ..] = layout else {
        return None;
    };
    let digits = layout[1..].iter().take_while(|c| *c == digit).count();
    // With other digits it is something else, such as a version.
    if layout.get(1 + digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let field = match digit {
        b'0' => LayoutField::Fraction { digits },
        _ => LayoutField::OptionalFraction,
    };
    Some((field, 1 + digits))
}
