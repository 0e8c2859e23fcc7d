//! Logs that are rotated, and an agent that is killed, while they are written: every line comes.

mod comparison;
mod counter;
mod journal;
mod rotation;

use std::process::ExitCode;

use npd_tests::harness::{self, Need, Test};
use npd_tests::journald::JOURNALD;

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
            Need::File(JOURNALD),
            Need::Tool("journalctl"),
            Need::Tool("logger"),
        ],
        run: journal::rotation,
    },
    Test {
        name: "a_journal_compressed_by_xz_is_read_as_journalctl_reads_it",
        needs: &[
            Need::File(comparison::REMOTE),
            Need::Tool("journalctl"),
            Need::Tool("python3"),
        ],
        run: comparison::xz,
    },
    Test {
        name: "a_journal_compressed_by_lz4_is_read_as_journalctl_reads_it",
        needs: &[
            Need::File(comparison::REMOTE),
            Need::Tool("journalctl"),
            Need::Tool("python3"),
        ],
        run: comparison::lz4,
    },
    Test {
        name: "a_journal_compressed_by_zstd_is_read_as_journalctl_reads_it",
        needs: &[
            Need::File(comparison::REMOTE),
            Need::Tool("journalctl"),
            Need::Tool("python3"),
        ],
        run: comparison::zstd,
    },
    Test {
        name: "what_journald_writes_is_read_as_journalctl_reads_it",
        needs: &[Need::Root, Need::File(JOURNALD), Need::Tool("journalctl")],
        run: journal::comparison,
    },
    Test {
        name: "npd_s_config_of_log_counter_sets_its_condition",
        needs: &[
            Need::Agent,
            Need::Root,
            Need::File(JOURNALD),
            Need::Tool("journalctl"),
        ],
        run: counter::shipped_config,
    },
    Test {
        name: "log_counter_reads_the_kernel_s_log",
        needs: &[Need::Agent, Need::Root, Need::File("/dev/kmsg")],
        run: counter::kernel_log,
    },
];

fn main() -> ExitCode {
    harness::parallel(TESTS)
}
