//! The node problem detector.
#![forbid(unsafe_code)]

fn main() {}
