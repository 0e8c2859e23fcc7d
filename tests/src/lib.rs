//! What the tests of the built agent share.

pub mod agent;
pub mod cluster;
pub mod faults;
pub mod harness;
pub mod image;
pub mod journald;
pub mod machine;
pub mod metrics;
pub mod naive;
pub mod port;
pub mod prometheus;
pub mod shipped;
