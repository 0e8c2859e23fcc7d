//! What there is to know of each subject's words.

/// How the kernel's log words one kind of incident.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    /// The name of the probe that sees the same incidents.
    pub probe: &'static str,
    /// The key of the [`Subject`](crate::problem::Subject) that a line is about; `None` for a line about anything else.
    pub key: fn(&str) -> Option<String>,
}
