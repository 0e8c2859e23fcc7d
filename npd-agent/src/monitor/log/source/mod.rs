//! Where entries come from. One reader feeds every rule set on its source.

pub(super) mod filelog;
pub(super) mod kmsg;
