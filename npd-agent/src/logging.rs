//! The agent's own log, on standard error.

use tracing::level_filters::LevelFilter;

/// Starts logging. `verbosity` is klog's: 0 for operators, 4 and up for debugging, 6 for every step.
pub fn start(verbosity: i32) {
    let level = match verbosity {
        ..4 => LevelFilter::INFO,
        4..6 => LevelFilter::DEBUG,
        6.. => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
}
