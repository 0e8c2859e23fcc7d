//! Go's dialects.
//!
//! NPD is written in Go, so its files and flags are too: a duration is `5m0s`, a time layout is
//! `Jan _2 15:04:05`, a pattern is RE2, and a key in a config file matches whatever its case.
//! A file written for NPD has to mean the same here, and everything that makes it so is in this
//! module, pure and without any knowledge of monitors or flags:
//!
//! | module | Go package | used for |
//! | --- | --- | --- |
//! | [`duration`] | `time.ParseDuration` | flags and config files |
//! | [`layout`] | `time.Parse` | `timestampFormat` of log files |
//! | [`regex`] | `regexp` | `pattern` of rules |
//! | [`json`] | `encoding/json` | config files, with file, line and column in every error |
//! | [`quote`] | `strconv.Quote`, HTML-safe JSON | event messages, `/conditions` |
//! | [`csv`] | `encoding/csv` | list flags |
//! | [`boolean`] | `strconv.ParseBool` | boolean flags |
//!
//! Each module is held against vectors that the Go standard library printed
//! (`tests/fixtures/go/*.tsv`; the first line names the Go version).

pub mod boolean;
pub mod csv;
pub mod duration;
pub mod json;
pub mod layout;
pub mod quote;
pub mod regex;

#[cfg(test)]
mod vectors;
