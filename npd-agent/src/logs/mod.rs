//! What everyone needs who reads a log: the log monitor, and `log-counter`.

pub(crate) mod buffer;
pub(crate) mod entry_clock;
pub(crate) mod kmsg;
pub(crate) mod matcher;
pub(crate) mod window;
