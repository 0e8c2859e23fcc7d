//! The kinds of faults.

use serde::{Deserialize, Serialize};

/// What is wrong with a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The kernel refuses writes, after an error or because someone pressed `SysRq`-U.
    ReadOnly,
    /// Someone remounted it.
    RemountedReadOnly,
    /// It refuses everything.
    Shutdown,
}
