//! The flags that every NPD program has from its logging library. They are accepted, so that configs
//! work unchanged, and have no effect.

use clap::{ArgAction, Args};

use crate::go::boolean::parse_bool;

/// To be flattened into a program's flags.
#[derive(Args, Debug)]
pub(super) struct Klog {
    /// Accepted for NPD's sake
    #[arg(short = 'v', long = "v", default_value_t = 0, hide = true)]
    _verbosity: i32,

    /// Accepted for NPD's sake
    #[arg(long = "vmodule", default_value = "", hide = true)]
    _vmodule: String,

    /// Accepted for NPD's sake
    #[arg(long = "logtostderr", default_value = "true", hide = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = parse_bool, action = ArgAction::Set)]
    _logtostderr: bool,
}
