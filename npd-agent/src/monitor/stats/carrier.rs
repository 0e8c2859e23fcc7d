//! `links`: whether the network adapters have a link, and how often they have lost it.

use super::metric::{Collect, Label, Labels, Metric, Sample, object};
use crate::node::Roots;
use crate::node::files::{names, read_number};
use crate::problem::FaultyObject;

const INTERFACE: &[&str] = &["interface_name"];

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "link/carrier",
        "link_carrier",
        INTERFACE,
        "1 while the network adapter has a link, 0 while it has none; nothing while it is switched off",
    )
    .about(interface, &[]),
    Metric::counter(
        "link/carrier_changes_total",
        "link_carrier_changes_total",
        INTERFACE,
        "How often the network adapter has got or lost its link",
    ),
    Metric::counter(
        "link/carrier_losses_total",
        "link_carrier_losses_total",
        INTERFACE,
        "How often the network adapter has lost its link (Linux 4.16)",
    )
    .about(interface, &[]),
];

fn interface(labels: &Labels) -> FaultyObject {
    object("interface", labels)
}

/// Reads `/sys/class/net`. Only adapters count: interfaces that programs make, for example for pods, come
/// and go.
pub struct CarrierCollector;

impl Collect for CarrierCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let interfaces = roots.sys.join("class/net");
        for name in names(&interfaces) {
            let folder = interfaces.join(&name);
            let device = folder.join("device");
            if !device.exists() || device.join("physfn").exists() {
                continue;
            }
            let labels = Labels::from([Label::from(name)]);
            for (metric, file) in
                METRICS
                    .iter()
                    .zip(["carrier", "carrier_changes", "carrier_down_count"])
            {
                // While an interface is switched off, its carrier cannot be read.
                if sample.wants(metric.id)
                    && let Some(value) = read_number(&folder.join(file))
                {
                    sample.count(metric.id, Labels::clone(&labels), value);
                }
            }
        }
        Ok(())
    }
}
