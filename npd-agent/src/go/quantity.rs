//! Quantities of memory as Kubernetes writes them: `resource.Quantity` of `k8s.io/apimachinery`, whole
//! numbers only. Written here because the crate `k8s-openapi` has this type only as a text.

use std::fmt;

/// What may follow the number, and what it means.
const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("k", 1000),
    ("Ki", 1 << 10),
    ("M", 1_000_000),
    ("Mi", 1 << 20),
    ("G", 1_000_000_000),
    ("Gi", 1 << 30),
    ("T", 1_000_000_000_000),
    ("Ti", 1 << 40),
];

/// A number of bytes, written like `256Mi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity(pub u64);

impl Quantity {
    /// Reads a quantity.
    pub fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
        number.parse::<u64>().ok()?.checked_mul(*bytes).map(Self)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        let fits = |(_, unit): &&(&str, u64)| bytes >= *unit && bytes.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().rfind(fits).copied().unwrap_or(("", 1));
        write!(f, "{}{name}", bytes / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<(u64, &str)>) {
        let quantity = Quantity::parse(text);
        let shown = quantity.map(|quantity| quantity.to_string());
        let read = quantity.map(|quantity| quantity.0).zip(shown.as_deref());
        assert_eq!(read, expect, "{text}");
    }

    #[test]
    fn memory_is_written_as_in_kubernetes() {
        check("268435456", Some((256 << 20, "256Mi")));
        check("256Mi", Some((256 << 20, "256Mi")));
        check("1024Mi", Some((1 << 30, "1Gi")));
        check("1536Mi", Some((1536 << 20, "1536Mi")));
        check("300M", Some((300_000_000, "300M")));
        check("2k", Some((2000, "2k")));
        check("1", Some((1, "1")));
        check("0", Some((0, "0")));
        for wrong in [
            "",
            "Mi",
            "-1",
            "1.5Gi",
            "1 Mi",
            "256mi",
            "256MiB",
            "99999999Ti",
        ] {
            check(wrong, None);
        }
    }
}
