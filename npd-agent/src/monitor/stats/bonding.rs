//! `links`: the members of bonded network interfaces.

use super::metric::{Collect, Label, Labels, Metric, Sample, object};
use crate::node::Roots;
use crate::node::files::{names, read};

const BOND: &[&str] = &["interface_name"];

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "bond/members",
        "bond_members",
        BOND,
        "Network interfaces that belong to the bond",
    ),
    Metric::gauge(
        "bond/members_up",
        "bond_members_up",
        BOND,
        "Members of the bond that have a link",
    )
    .about(
        |labels| object("interface", labels),
        &["BondDegraded", "BondDown"],
    ),
];

/// Reads `/sys/class/net/*/bonding`.
pub struct BondingCollector;

impl Collect for BondingCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let interfaces = roots.sys.join("class/net");
        for bond in names(&interfaces) {
            let Ok(members) = read(&interfaces.join(&bond).join("bonding/slaves")) else {
                continue;
            };
            let members = members.split_whitespace();
            let up = members.clone().filter(|member| {
                let status = interfaces.join(member).join("bonding_slave/mii_status");
                read(&status).is_ok_and(|status| status.trim() == "up")
            });
            let labels = Labels::from([Label::from(bond)]);
            let (members, up) = (members.clone().count() as u64, up.count() as u64);
            sample.count("bond/members", Labels::clone(&labels), members);
            sample.count("bond/members_up", labels, up);
        }
        Ok(())
    }
}
