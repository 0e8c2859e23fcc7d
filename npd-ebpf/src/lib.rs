//! The programs that run in the kernel, and the structs that they exchange with the agent.
//!
//! The programs send records to the agent. Each kind of record is a struct that begins with a
//! [`Header`]; it is defined beside the program that sends it. The agent gives layouts to the
//! programs: the offsets of the fields that they read, which differ between kernels. It reads them
//! from the kernel's BTF, and writes them into globals of the eBPF object before it loads the
//! programs.
//!
//! The agent uses this crate only for the structs. The programs are compiled only for the BPF target;
//! `main.rs` makes the object from them.
//!
//! The structs derive zerocopy's traits. So implicit padding does not compile, and decoding is safe.
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
    /// An array: how many records of each kind were lost because the ring buffer was full.
    pub const DROPS: &str = "DROPS";
}

/// The size of the ring buffer in bytes: enough for about 180 OOM kills.
pub const RING_BYTES: u32 = 128 * 1024;

/// The number of a kind of record is less than this. It is defined beside the record's struct.
pub const MAX_RECORD_KINDS: u32 = 32;

/// The beginning of every record.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct Header {
    /// The kind of the record; less than [`MAX_RECORD_KINDS`].
    pub id: u32,
    /// Zero; aligns the time.
    pub reserved: u32,
    /// When it happened, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
}

/// A struct of offsets and other numbers that differ between kernels. The programs read it from a
/// global of the eBPF object. It is all zeros until the agent fills it in.
pub trait Layout: IntoBytes + Immutable {
    /// The name of the global.
    const GLOBAL: &'static str;
}
