//! The texts of one kind of subject.

/// Finds a subject's key and its cgroup in a line.
type CgroupOf = fn(&str) -> Option<(String, &str)>;

/// Finds the types of file systems that a text can be about.
type FsTypesOf = fn(&str) -> Option<&'static [&'static str]>;

/// The texts of the kernel log about one kind of incident.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    /// The name of the probe that sees the same incidents.
    pub probe: &'static str,
    /// The key of the [`Subject`](crate::problem::Subject) that a line is about; `None` for a line about anything else.
    pub key: fn(&str) -> Option<String>,
    /// Whether a subject is one incident, like a kill. Otherwise something can happen to it again and again.
    pub once: bool,
    /// The key of the subject whose cgroup a line names, and the path of that cgroup, if there are such
    /// lines.
    pub cgroup: Option<CgroupOf>,
    /// The types of the file systems that a text can be about; `None` if it is about anything else.
    pub fs_types: Option<FsTypesOf>,
}
