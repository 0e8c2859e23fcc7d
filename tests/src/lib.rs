//! What the tests of the built agent share.

pub mod harness;
