//! `net`: what each interface has received and sent.

use regex::Regex;

use super::config::SectionConfig;
use super::metric::{Collect, Label, Labels, Metric, Sample};
use crate::node::Roots;
use crate::node::files::each_line;

const INTERFACE: &[&str] = &["interface_name"];

/// The metrics of this collector, in the order of the columns of `/proc/net/dev`.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "net/rx_bytes",
        "net_rx_bytes",
        INTERFACE,
        "Cumulative count of bytes received.",
    ),
    Metric::counter(
        "net/rx_packets",
        "net_rx_packets",
        INTERFACE,
        "Cumulative count of packets received.",
    ),
    Metric::counter(
        "net/rx_errors",
        "net_rx_errors",
        INTERFACE,
        "Cumulative count of receive errors encountered.",
    ),
    Metric::counter(
        "net/rx_dropped",
        "net_rx_dropped",
        INTERFACE,
        "Cumulative count of packets dropped while receiving.",
    ),
    Metric::counter(
        "net/rx_fifo",
        "net_rx_fifo",
        INTERFACE,
        "Cumulative count of FIFO buffer errors.",
    ),
    Metric::counter(
        "net/rx_frame",
        "net_rx_frame",
        INTERFACE,
        "Cumulative count of packet framing errors.",
    ),
    Metric::counter(
        "net/rx_compressed",
        "net_rx_compressed",
        INTERFACE,
        "Cumulative count of compressed packets received by the device driver.",
    ),
    Metric::counter(
        "net/rx_multicast",
        "net_rx_multicast",
        INTERFACE,
        "Cumulative count of multicast frames received by the device driver.",
    ),
    Metric::counter(
        "net/tx_bytes",
        "net_tx_bytes",
        INTERFACE,
        "Cumulative count of bytes transmitted.",
    ),
    Metric::counter(
        "net/tx_packets",
        "net_tx_packets",
        INTERFACE,
        "Cumulative count of packets transmitted.",
    ),
    Metric::counter(
        "net/tx_errors",
        "net_tx_errors",
        INTERFACE,
        "Cumulative count of transmit errors encountered.",
    ),
    Metric::counter(
        "net/tx_dropped",
        "net_tx_dropped",
        INTERFACE,
        "Cumulative count of packets dropped while transmitting.",
    ),
    Metric::counter(
        "net/tx_fifo",
        "net_tx_fifo",
        INTERFACE,
        "Cumulative count of FIFO buffer errors.",
    ),
    Metric::counter(
        "net/tx_collisions",
        "net_tx_collisions",
        INTERFACE,
        "Cumulative count of collisions detected on the interface.",
    ),
    Metric::counter(
        "net/tx_carrier",
        "net_tx_carrier",
        INTERFACE,
        "Cumulative count of carrier losses detected by the device driver.",
    ),
    Metric::counter(
        "net/tx_compressed",
        "net_tx_compressed",
        INTERFACE,
        "Cumulative count of compressed packets transmitted by the device driver.",
    ),
];

/// Reads `/proc/net/dev`. procfs's parser fails completely on one unexpected line.
pub struct NetCollector {
    /// Interfaces to ignore.
    exclude: Option<Regex>,
}

/// Makes the collector.
pub fn new(config: &SectionConfig) -> Box<dyn Collect> {
    let exclude = config.exclude_interface_regexp.0.clone();
    Box::new(NetCollector { exclude })
}

impl Collect for NetCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        // `/proc/net` shows the reader's network namespace; that of process 1 is the node's.
        let path = roots.of_first_process("net/dev");
        each_line(&path, |line| self.interface(line, sample))
    }
}

impl NetCollector {
    fn interface(&self, line: &str, sample: &mut Sample) {
        // An interface may have colons in its name; the last one ends it. The heading has none.
        let Some((name, columns)) = line.rsplit_once(':') else {
            return;
        };
        let name = name.trim();
        let exclude = self.exclude.as_ref();
        if exclude.is_some_and(|exclude| exclude.is_match(name)) {
            return;
        }
        let labels = Labels::from([Label::from(name)]);
        let values = columns.split_whitespace().map(str::parse);
        for (metric, value) in METRICS.iter().zip(values) {
            if let Ok(value) = value {
                sample.count(metric.id, Labels::clone(&labels), value);
            }
        }
    }
}
