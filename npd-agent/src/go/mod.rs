//! Reads what NPD reads with Go's standard library.
//!
//! NPD is written in Go, so its files and flags use Go's formats: a duration is `5m0s`, a time layout is
//! `Jan _2 15:04:05`, a pattern is RE2, and keys in a config file ignore case. A file written for NPD
//! must mean the same here. This module contains all these formats. It is pure, and knows neither
//! monitors nor flags:
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
//! | [`number`] | `strconv.ParseInt`, `strconv.ParseFloat` | flags with numbers |
//! | [`quantity`] | `resource.Quantity` of `k8s.io/apimachinery` | limits of plugins |
//! | [`pflag`] | `github.com/spf13/pflag` | the command line of each program |
//!
//! Tests compare each module with results of the Go standard library (`tests/fixtures/go/*.tsv`; the
//! first line names the Go version).

pub mod boolean;
pub mod csv;
pub mod duration;
pub mod json;
pub mod layout;
pub mod number;
pub mod pflag;
pub mod quantity;
pub mod quote;
pub mod regex;

#[cfg(test)]
mod tests;
