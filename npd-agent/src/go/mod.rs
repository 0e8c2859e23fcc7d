//! NPD's files are written for Go.

pub mod boolean;
pub mod csv;
pub mod duration;
pub mod quote;
