//! Which entries of a journal are wanted.

use std::fmt;

/// `FIELD=value`, as a journal stores it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    pub(super) data: Vec<u8>,
    name: usize,
}

impl Term {
    /// The term that a field has this value.
    pub fn new(field: &str, value: &str) -> Self {
        Self {
            data: format!("{field}={value}").into_bytes(),
            name: field.len(),
        }
    }

    /// The terms for entries of a systemd unit, or by systemd about it, as with `journalctl --unit`.
    pub fn of_unit(unit: &str) -> Vec<Self> {
        let fields = ["_SYSTEMD_UNIT", "UNIT", "OBJECT_SYSTEMD_UNIT"];
        fields.map(|field| Self::new(field, unit)).to_vec()
    }

    /// The field's name.
    pub(super) fn field(&self) -> &[u8] {
        &self.data[..self.name]
    }

    /// The field's value.
    fn value(&self) -> &[u8] {
        &self.data[self.name + 1..]
    }
}

/// Which entries are wanted: those that have at least one term of each group. Entries are found through
/// the first group, so it should be the rarest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryFilter {
    /// The groups; each is a list of alternatives.
    pub groups: Vec<Vec<Term>>,
}

impl EntryFilter {
    /// Whether an entry is wanted whose fields have these values. A field that is not known counts as wanted.
    pub fn accepts<'v>(&self, value: impl Fn(&[u8]) -> Option<&'v [u8]>) -> bool {
        self.groups.iter().all(|group| {
            let mut known = group
                .iter()
                .filter_map(|term| Some((term, value(term.field())?)));
            known.next().is_none_or(|first| {
                let mut known = std::iter::once(first).chain(known);
                known.any(|(term, value)| term.value() == value)
            })
        })
    }
}

impl fmt::Display for EntryFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.groups.iter().enumerate() {
            let and = if index > 0 { "," } else { "" };
            let group = group.iter().map(|term| String::from_utf8_lossy(&term.data));
            write!(f, "{and}{}", group.collect::<Vec<_>>().join("|"))?;
        }
        Ok(())
    }
}
