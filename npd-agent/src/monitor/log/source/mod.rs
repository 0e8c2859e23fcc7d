//! Where entries come from. One reader feeds every rule set on its source.

pub(super) mod filelog;
mod follow;
pub(super) mod journald;
pub(super) mod kmsg;
mod watch;
