//! A kernel log that is busy with other lines.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::sysctl::Sysctl;

/// Lines go out in batches of this period.
const PERIOD: Duration = Duration::from_millis(10);

/// Writes lines to the kernel's log until it is dropped.
pub struct Flood {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    writer: Option<JoinHandle<anyhow::Result<()>>>,
    _unlimited: Sysctl,
}

impl Flood {
    /// Writes so many lines a second.
    pub fn start(lines_per_second: u32) -> anyhow::Result<Self> {
        let unlimited = Sysctl::set("kernel/printk_devkmsg", "on")?;
        let log = File::options().write(true).open("/dev/kmsg");
        let log = log.context("opening /dev/kmsg")?;
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicU64::new(0));
        let writer = std::thread::spawn({
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            move || write_lines(&log, lines_per_second, &stop, &written)
        });
        Ok(Self {
            stop,
            written,
            writer: Some(writer),
            _unlimited: unlimited,
        })
    }

    /// How many lines have been written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Stops, and returns how many lines were written.
    pub fn stop(mut self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        match self.writer.take().map(JoinHandle::join) {
            Some(Ok(result)) => result?,
            _ => bail!("the writer has panicked"),
        }
        Ok(self.written())
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            super::left_behind(
                "a writer to the kernel's log",
                writer.join().ok().context("it panicked"),
            );
        }
    }
}

fn write_lines(
    mut log: &File,
    lines_per_second: u32,
    stop: &AtomicBool,
    written: &AtomicU64,
) -> anyhow::Result<()> {
    let started = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let due = started.elapsed().as_secs_f64() * f64::from(lines_per_second);
        while (written.load(Ordering::Relaxed) as f64) < due && !stop.load(Ordering::Relaxed) {
            let number = written.fetch_add(1, Ordering::Relaxed);
            // Facility 1 is users', level 7 is kept off consoles. One write is one record.
            let line = format!("<15>npd-test: line {number} of a busy kernel log");
            log.write_all(line.as_bytes())
                .context("writing to /dev/kmsg")?;
        }
        std::thread::sleep(PERIOD);
    }
    Ok(())
}
