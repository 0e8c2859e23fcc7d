//! What the task runner shares with the tests.

pub mod oci;
pub mod prebuilt;
