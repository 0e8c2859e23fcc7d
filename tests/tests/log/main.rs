//! Logs that are rotated, and an agent that is killed, while they are written: every line comes.

mod journal;
mod rotation;

use std::process::ExitCode;

use npd_tests::harness::{self, Need, Test};

const TESTS: &[Test] = &[
    Test {
        name: "renaming_a_log_loses_and_repeats_nothing",
        needs: &[Need::Agent, Need::Tool("logrotate")],
        run: rotation::by_renaming,
    },
    Test {
        name: "copying_and_truncating_a_log_loses_and_repeats_nothing",
        needs: &[Need::Agent, Need::Tool("logrotate")],
        run: rotation::by_copying_and_truncating,
    },
    Test {
        name: "rotating_the_journal_loses_and_repeats_nothing",
        needs: &[
            Need::Agent,
            Need::Root,
            Need::File(journal::JOURNALD),
            Need::Tool("journalctl"),
            Need::Tool("logger"),
        ],
        run: journal::rotation,
    },
];

fn main() -> ExitCode {
    harness::parallel(TESTS)
}
