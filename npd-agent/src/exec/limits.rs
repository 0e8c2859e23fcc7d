//! The limits of a program and its descendants.

/// The limits of a program and its descendants; `None` means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramLimits {
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

/// What a program lacked. The number is our limit; `None` if the pod's limit, or the node's, was
/// reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// The kernel killed one of its processes to free memory.
    Memory(Option<u64>),
    /// It could not start one more process.
    Pids(Option<u64>),
}
