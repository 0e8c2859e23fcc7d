//! The flags that every NPD program has from its logging library. They are accepted, so that configs
//! work unchanged, and have no effect.

use crate::go::pflag::{Flag, boolean, level, vmodule};

/// The flags, for the table of a program.
pub(super) fn flags<T>() -> Vec<Flag<T>> {
    let flags = [
        Flag::new(
            "--v",
            "LEVEL",
            "0",
            "Accepted and ignored",
            |_, _, value| level(&mut 0, value),
        )
        .letter('v'),
        Flag::new(
            "--vmodule",
            "LEVELS",
            "",
            "Accepted and ignored",
            |_, _, value| vmodule(&mut String::new(), value),
        ),
        Flag::boolean(
            "--logtostderr",
            "true",
            "Accepted and ignored",
            |_, _, value| boolean(&mut true, value),
        ),
    ];
    flags.map(Flag::hidden).to_vec()
}
