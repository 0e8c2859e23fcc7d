//! Takes records out of the ring buffer and hands each to its probe.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use anyhow::Context as _;
use aya::maps::{MapData, RingBuf};
use npd_ebpf::{Header, MAX_RECORD_KINDS};
use prometheus::{Histogram, IntCounter};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use zerocopy::FromBytes as _;

use super::load::ProgramsHandle;
use super::probe::{Probe, ProbeRecord, SOURCE};
use crate::fd;
use crate::node::clock::monotonic;
use crate::problem::Forever;
use crate::reporter::Reporter;

/// The longest record that anyone sends.
const MAX_RECORD: usize = 4096;

/// The ring buffer that all programs write to.
pub(super) struct RingBuffer {
    records: RingBuf<MapData>,
    ready: AsyncFd<OwnedFd>,
}

/// Where the records of one kind go.
struct Route {
    records: mpsc::Sender<ProbeRecord>,
    drops: IntCounter,
    detection: Histogram,
    /// How many drops are counted in `drops`.
    reported: u64,
}

impl RingBuffer {
    /// The ring buffer, registered with the runtime.
    pub(super) fn new(records: RingBuf<MapData>) -> anyhow::Result<Self> {
        let ready = records.as_fd().try_clone_to_owned();
        let ready = ready
            .and_then(fd::readable)
            .context("waiting for the ring buffer")?;
        Ok(Self { records, ready })
    }

    /// Delivers records. Waits for probes that are busy. The ring buffer then fills up, and the
    /// programs count the records that do not fit.
    pub(super) async fn deliver(
        mut self,
        probes: Vec<(&'static Probe, mpsc::Sender<ProbeRecord>)>,
        kernel: ProgramsHandle,
        reporter: Reporter,
    ) -> Forever {
        let malformed = reporter
            .metrics
            .records_malformed
            .with_label_values(&[SOURCE]);
        let mut routes = routes(&probes, &reporter);
        loop {
            let mut ready = self.ready.readable().await.context("waiting for records")?;
            while let Some(bytes) = self.records.next() {
                let record = record(&bytes);
                drop(bytes);
                let route = record.and_then(|(head, record)| {
                    let route = routes.get(&head.id)?;
                    Some((route, head.time, record))
                });
                let Some((route, time, record)) = route else {
                    malformed.inc();
                    continue;
                };
                route.records.send(record).await?;
                let late = monotonic().saturating_sub(Duration::from_nanos(time));
                route.detection.observe(late.as_secs_f64());
            }
            ready.clear_ready();
            // Records are dropped only if the ring buffer is full, and a full ring buffer wakes this
            // task.
            for (id, route) in &mut routes {
                let dropped = kernel.lock().dropped(*id);
                route.drops.inc_by(dropped.saturating_sub(route.reported));
                route.reported = dropped;
            }
        }
    }
}

fn routes(
    probes: &[(&'static Probe, mpsc::Sender<ProbeRecord>)],
    reporter: &Reporter,
) -> BTreeMap<u32, Route> {
    let drops = &reporter.metrics.probe_drops;
    let detection = &reporter.metrics.detection;
    let mut routes = BTreeMap::new();
    for (probe, records) in probes {
        for program in probe.programs {
            let route = Route {
                records: records.clone(),
                drops: drops.with_label_values(&[probe.name]),
                detection: detection.with_label_values(&[probe.name]),
                reported: 0,
            };
            routes.insert(program.record, route);
        }
    }
    routes
}

/// A copy of the record, and its header; `None` if it is invalid.
fn record(bytes: &[u8]) -> Option<(Header, ProbeRecord)> {
    if bytes.len() > MAX_RECORD {
        return None;
    }
    let (header, _) = Header::read_from_prefix(bytes).ok()?;
    (header.id < MAX_RECORD_KINDS).then(|| (header, ProbeRecord(Box::from(bytes))))
}
