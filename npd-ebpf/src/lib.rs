//! The programs in the kernel, and the layout of what crosses the boundary to them, in both
//! directions.
//!
//! Records go up: each kind is a struct that begins with a [`Header`] and stands beside the program
//! that sends it. Layouts go down: where the running kernel keeps what the programs read, which
//! differs between kernels. The agent reads them from the kernel's BTF and writes them into globals
//! of the eBPF object before it loads the programs.
//!
//! The agent uses this crate for the structs. The programs themselves are compiled for the BPF
//! target only; `main.rs` makes the object of them.
//!
//! Deriving zerocopy's traits makes implicit padding a compile error and decoding safe.
#![no_std]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::needless_pass_by_value,
        reason = "aya's macros hand a program its context by value"
    ),
    expect(
        clippy::inline_always,
        reason = "what is inlined needs no verifier state and no stack frame of its own"
    ),
    expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        reason = "helpers take sizes of a few bytes as u32 and return what has been checked as i64"
    )
)]

mod programs;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use self::programs::*;

/// The names of the maps that all programs share.
pub mod map {
    /// The ring buffer that carries every record.
    pub const RECORDS: &str = "RECORDS";
    /// An array: how many records of each kind found the ring full.
    pub const DROPS: &str = "DROPS";
}

/// How many bytes the ring buffer holds: about 180 OOM kills.
pub const RING_BYTES: u32 = 128 * 1024;

/// Kinds of records have numbers below this. Each kind's stands beside its struct.
pub const MAX_RECORD_KINDS: u32 = 32;

/// The beginning of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Header {
    /// The kind of the record; less than [`MAX_RECORD_KINDS`].
    pub id: u32,
    /// Zero; keeps the time aligned.
    pub reserved: u32,
    /// When it happened, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
}

/// A struct of offsets and other numbers that differ between kernels, which the programs find in a
/// global of the eBPF object. All zeros is what it holds before the agent fills it in.
pub trait Layout: IntoBytes + Immutable {
    /// The name of the global.
    const GLOBAL: &'static str;
}
