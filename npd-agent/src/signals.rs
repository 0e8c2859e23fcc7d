//! Signals that say nothing to the agent, and would end it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Lets the process live through every signal that ends a process and that somebody may send by
/// mistake, or to have a log file opened anew. Needs a runtime around it.
///
/// They get a handler and are not ignored: programs that are started, plugins, would inherit that.
/// SIGTERM and SIGINT are [the agent's](crate::agent); SIGQUIT ends it with a core dump, for whoever
/// wants one.
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
        // The handler stays when nobody listens any more.
        drop(signal(kind)?);
    }
    Ok(())
}
