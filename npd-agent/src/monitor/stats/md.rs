//! `hardware`: software RAID.

use super::metric::{Collect, Label, Labels, Metric, Sample, object};
use crate::node::Roots;
use crate::node::files::{names, read, read_number};
use crate::problem::FaultyObject;

const ARRAY: &[&str] = &["array"];

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "md/missing_members",
        "md_missing_members",
        ARRAY,
        "Members that the RAID array lacks",
    )
    .about(array, &["RaidDegraded", "RaidFailed"]),
    Metric::gauge(
        "md/working",
        "md_working",
        ARRAY,
        "1 while the RAID array can be read, 0 while it is broken or not started",
    )
    .about(array, &["RaidFailed"]),
];

fn array(labels: &Labels) -> FaultyObject {
    object("array", labels)
}

/// Reads `/sys/block/*/md`.
pub struct MdCollector;

impl Collect for MdCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let disks = roots.sys.join("block");
        for array in names(&disks) {
            let folder = disks.join(&array).join("md");
            let Ok(state) = read(&folder.join("array_state")) else {
                continue;
            };
            let labels = Labels::from([Label::from(array)]);
            // `clear` is a name without an array. RAID 0 has no count, as it lacks all or nothing.
            let working = match state.trim() {
                "clear" => continue,
                "inactive" | "broken" => 0,
                _ => 1,
            };
            sample.count("md/working", Labels::clone(&labels), working);
            if let Some(missing) = read_number(&folder.join("degraded")) {
                sample.count("md/missing_members", labels, missing);
            }
        }
        Ok(())
    }
}
