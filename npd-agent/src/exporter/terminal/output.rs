//! Standard output, which may not accept anything for a while.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use crate::fd;
use crate::status_page::StatusPage;

/// The pause before what could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes everything, however long it takes.
pub(super) struct Output<F> {
    fd: F,
    status_page: StatusPage,
    /// Since when writing fails.
    failing: Option<Timestamp>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "in a thread that does nothing else"
)]
fn pause() {
    std::thread::sleep(PAUSE);
}

impl<F: AsFd> Output<F> {
    pub(super) fn new(fd: F, status_page: StatusPage) -> Self {
        let output = Self {
            fd,
            status_page,
            failing: None,
        };
        output.show("well".to_owned());
        output
    }

    /// Writes all bytes. Tries again when it fails: a disk may get free space, and a named pipe a
    /// reader.
    pub(super) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match fd::write(&self.fd, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) => {
                    self.failed(&error);
                    pause();
                }
            }
        }
        if let Some(since) = self.failing.take() {
            info!(%since, "Standard output can be written again");
            self.show("well".to_owned());
        }
    }

    fn failed(&mut self, error: &io::Error) {
        if self.failing.is_none() {
            warn!(%error, "Standard output cannot be written: problems wait to be printed");
        }
        let since = *self.failing.get_or_insert_with(Timestamp::now);
        self.show(format!("failing since {since:.0}: {error}"));
    }

    fn show(&self, state: String) {
        self.status_page.update(|shown| {
            shown.exporters.insert("terminal".to_owned(), state);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Read as _;

    use super::*;

    fn status_page() -> StatusPage {
        StatusPage::new("n1".to_owned(), Timestamp::now())
    }

    fn state(status_page: &StatusPage) -> String {
        status_page.read().exporters["terminal"].clone()
    }

    #[test]
    fn what_fails_is_shown_and_tried_again_until_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // A named pipe can lose its reader, and get another one.
        let open = |write| {
            OpenOptions::new()
                .read(true)
                .write(write)
                .open(&path)
                .unwrap()
        };
        let first = open(true);
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        drop(first);
        let status_page = status_page();
        let shown = status_page.clone();
        let mut output = Output::new(writer, status_page);
        assert_eq!(state(&shown), "well");
        let thread = std::thread::spawn(move || output.write(b"problem\n"));
        while !state(&shown).starts_with("failing since ") {
            std::thread::yield_now();
        }
        assert!(state(&shown).ends_with("Broken pipe (os error 32)"));
        let mut reader = open(false);
        thread.join().unwrap();
        assert_eq!(state(&shown), "well");
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"problem\n");
    }
}
