//! What a fault is about, and who has seen it.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What is at fault, as the log names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FaultyObject {
    /// What kind of thing it is: `device`, `gpu`, `server`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl FaultyObject {
    /// The object as the thing that a fault is about.
    pub fn subject(&self) -> Subject {
        Subject {
            probe: Cow::Owned(self.kind.clone()),
            key: self.name.clone(),
        }
    }
}

impl fmt::Display for FaultyObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// The thing that a fault is about. It shows whether two findings are about the same fault.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Subject {
    /// The name of the probe for such things, whether it runs or not; without a probe, the kind of a
    /// [`FaultyObject`].
    pub probe: Cow<'static, str>,
    /// The thing, in the probe's format: a task's number, a device's name.
    pub key: String,
}

/// What the hub must know of a probe before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The probe's name; the first half of a [`Subject`].
    pub probe: &'static str,
    /// Whether a fault lasts until the probe reports its end. Otherwise it is over at once, like a kill.
    pub lasts: bool,
}

impl Subject {
    /// The thing `key` that `probe` watches.
    pub fn new(probe: &'static str, key: impl fmt::Display) -> Self {
        Self {
            probe: Cow::Borrowed(probe),
            key: key.to_string(),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.probe, self.key)
    }
}

/// The origin of a finding. It decides which of two findings about one incident is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// A kernel probe, a counter or the kernel's live state.
    Kernel,
    /// A line of the kernel's log.
    KernelText,
    /// A file of `/proc` or `/sys` that has shown the problem for some time.
    State {
        /// When it last showed that all was well.
        since: Timestamp,
        /// The reasons with which the kernel's log tells the same.
        log_reasons: &'static [&'static str],
    },
    /// Anything else: an application's log, a plugin.
    Other,
}
