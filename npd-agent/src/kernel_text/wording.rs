//! The texts of one kind of subject.

/// The texts of the kernel log about one kind of incident.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    /// The name of the probe that sees the same incidents.
    pub probe: &'static str,
    /// The key of the [`Subject`](crate::problem::Subject) that a line is about; `None` for a line about anything else.
    pub key: fn(&str) -> Option<String>,
}
