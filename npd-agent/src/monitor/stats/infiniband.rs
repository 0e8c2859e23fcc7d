//! `links`: ports of InfiniBand and `RoCE` adapters.

use std::path::Path;

use super::metric::{Collect, Label, Labels, Metric, Sample};
use crate::node::Roots;
use crate::node::files::{names, read, read_number};
use crate::problem::FaultyObject;

const PORT: &[&str] = &["device", "port"];

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "infiniband/port_active",
        "infiniband_port_active",
        PORT,
        "1 while the port of the InfiniBand or RoCE adapter can carry data, else 0",
    )
    .about(port, &[]),
    Metric::gauge(
        "infiniband/port_rate_gbps",
        "infiniband_port_rate_gbps",
        PORT,
        "Gigabits per second of the port, at the width and speed that both ends have agreed on",
    ),
    Metric::counter(
        "infiniband/port_errors_total",
        "infiniband_port_errors_total",
        &["counter", "device", "port"],
        "Errors of the port, by the name of the kernel's counter",
    )
    .about(port, &[]),
];

/// The last two labels are the adapter and the port.
fn port(labels: &Labels) -> FaultyObject {
    let names = labels.last_chunk::<2>();
    FaultyObject {
        kind: "port".to_owned(),
        name: names.map_or_else(String::new, |[device, port]| format!("{device}/{port}")),
    }
}

/// The counters of errors. Some drivers have them among their own, in `hw_counters`.
const ERRORS: &[&str] = &[
    "excessive_buffer_overrun_errors",
    "link_downed",
    "link_error_recovery",
    "local_ack_timeout_err",
    "local_link_integrity_errors",
    "out_of_sequence",
    "packet_seq_err",
    "port_rcv_errors",
    "port_xmit_discards",
    "rnr_nak_retry_err",
    "symbol_error",
];

/// Reads `/sys/class/infiniband`.
pub struct InfinibandCollector;

impl Collect for InfinibandCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let devices = roots.sys.join("class/infiniband");
        for device in names(&devices) {
            let ports = devices.join(&device).join("ports");
            for port in names(&ports) {
                collect_port(&ports.join(&port), &device, &port, sample);
            }
        }
        Ok(())
    }
}

fn collect_port(folder: &Path, device: &str, port: &str, sample: &mut Sample) {
    let labels = Labels::from([device, port].map(Label::from));
    // `4: ACTIVE`, as IBTA numbers the states.
    if let Ok(state) = read(&folder.join("state")) {
        let active = u64::from(state.starts_with("4:"));
        sample.count("infiniband/port_active", Labels::clone(&labels), active);
    }
    // `100 Gb/sec (4X EDR)`.
    let rate = read(&folder.join("rate")).ok();
    let rate = rate.and_then(|rate| rate.split_whitespace().next()?.parse().ok());
    if let Some(rate) = rate {
        sample.set("infiniband/port_rate_gbps", labels, rate);
    }
    if sample.wants("infiniband/port_errors_total") {
        for &counter in ERRORS {
            let folders = ["counters", "hw_counters"].iter();
            let mut counts = folders.filter_map(|of| read_number(&folder.join(of).join(counter)));
            if let Some(count) = counts.next() {
                let labels = [counter, device, port].map(Label::from);
                sample.count("infiniband/port_errors_total", labels, count);
            }
        }
    }
}
