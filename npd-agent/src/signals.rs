//! Signals that mean nothing to the agent, but would end it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Handles the signals that would end the process, and that somebody may send by mistake or to have a
/// log file reopened. Must be called in a runtime.
///
/// The signals get a handler. They are not ignored, because plugins would inherit that. The
/// [agent](crate::agent) handles SIGTERM and SIGINT. SIGQUIT ends the process with a core dump.
pub fn survive() -> io::Result<()> {
    let kinds = [
        SignalKind::hangup(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::alarm(),
        SignalKind::io(),
        SignalKind::from_raw(nix::libc::SIGVTALRM),
        SignalKind::from_raw(nix::libc::SIGPROF),
    ];
    for kind in kinds {
        // The handler stays installed when this stream is dropped.
        drop(signal(kind)?);
    }
    Ok(())
}
