//! Prints what the programs log, for those who debug them.

use std::os::fd::AsFd as _;

use anyhow::Context as _;
use aya::Ebpf;
use aya_log::EbpfLogger;
use tracing::info;

use crate::fd;
use crate::problem::Forever;

/// What the programs log.
pub(super) struct ProgramLog(EbpfLogger<ToTracing>);

impl ProgramLog {
    /// The log of the programs of an object that was built with the feature, too.
    pub(super) fn new(ebpf: &mut Ebpf) -> anyhow::Result<Self> {
        EbpfLogger::init_with_logger(ebpf, ToTracing)
            .map(Self)
            .context("finding the log of the programs; build the object with `--ebpf-log`")
    }

    /// Prints it until that fails.
    pub(super) async fn print(mut self) -> Forever {
        let fd = self.0.as_fd().try_clone_to_owned();
        let log = fd
            .and_then(fd::readable)
            .context("waiting for the log of the programs")?;
        loop {
            let mut ready = log
                .readable()
                .await
                .context("waiting for the log of the programs")?;
            self.0.flush();
            ready.clear_ready();
        }
    }
}

/// aya-log prints through `log`, and we through `tracing`.
struct ToTracing;

impl log::Log for ToTracing {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        info!(program = record.target(), "{}", record.args());
    }

    fn flush(&self) {}
}
