//! Where entries come from. One reader feeds every rule set on its source.

pub(super) mod kmsg;
