//! The node problem detector, from the inside out:
//!
//! * the common types ([`problem`]), the conditions and their claims ([`ledger`]), one report per
//!   incident ([`incident`]), further names of conditions ([`aliases`]);
//! * the texts of the kernel log ([`kernel_text`]);
//! * what checks the node ([`monitor`]) and sends findings ([`reporter`]);
//! * what turns findings into updates ([`hub`]) and reports them ([`exporter`], [`server`]);
//! * what runs other programs ([`exec`]);
//! * what starts and supervises it all ([`agent`]).
#![forbid(unsafe_code)]
// Standard error may be broken, and then these macros panic.
#![cfg_attr(not(test), warn(clippy::print_stderr))]

pub mod problem;

pub mod go;

pub mod aliases;
pub mod incident;
pub mod ledger;

pub mod kernel_text;

pub mod bounded_queue;
pub mod checkpoint;
pub mod checks;
pub mod exec;
pub mod fd;
pub mod journal;
mod logs;
pub mod metrics;
pub mod node;
pub mod program;
pub mod rendered;
pub mod reporter;
pub mod state_dir;
pub mod status_page;
pub mod systemd;
pub mod threads;

pub mod monitor;

pub mod exporter;
pub mod hub;
pub mod server;

pub mod tools;

pub mod agent;
pub mod config;
pub mod flags;
pub mod listen;
pub mod logging;
pub mod signals;

#[cfg(any(test, fuzzing))]
pub mod fuzz;
