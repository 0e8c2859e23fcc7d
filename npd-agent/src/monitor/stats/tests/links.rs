//! Links and redundancy, as `/sys` shows them. The trees are composed: their files are those of
//! `Documentation/ABI`, `ib_core` and `bonding`.

use expect_test::expect;

use super::*;
use crate::problem::FaultyObject;

const SHIPPED_LINKS: &str = include_str!("../../../../../deploy/config/links-monitor.json");

/// A machine with a GPU, two ports, a bond and an array.
fn healthy() -> Tree {
    let tree = Tree::new();
    for (port, state) in [("1", "4: ACTIVE"), ("2", "1: DOWN")] {
        let port = format!("sys/class/infiniband/mlx5_0/ports/{port}");
        tree.file(&format!("{port}/state"), &format!("{state}\n"))
            .file(&format!("{port}/rate"), "100 Gb/sec (4X EDR)\n")
            .file(&format!("{port}/counters/link_downed"), "1\n")
            .file(&format!("{port}/counters/symbol_error"), "0\n")
            .file(&format!("{port}/hw_counters/rnr_nak_retry_err"), "7\n");
    }
    for (device, class, width, speed) in [
        ("0000:9b:00.0", "0x030200", "16", "2.5 GT/s PCIe"),
        ("0000:01:00.0", "0x010802", "4", "16.0 GT/s PCIe"),
        ("0000:02:00.0", "0x020000", "0", "Unknown"),
        ("0000:00:1f.0", "0x060100", "1", "2.5 GT/s PCIe"),
    ] {
        let device = format!("sys/bus/pci/devices/{device}");
        tree.file(&format!("{device}/class"), &format!("{class}\n"))
            .file(&format!("{device}/config"), "\u{1}\u{2}\u{3}\u{4}\u{5}")
            .file(
                &format!("{device}/current_link_width"),
                &format!("{width}\n"),
            )
            .file(&format!("{device}/max_link_width"), "16\n")
            .file(
                &format!("{device}/current_link_speed"),
                &format!("{speed}\n"),
            )
            .file(&format!("{device}/max_link_speed"), "16.0 GT/s PCIe\n");
    }
    for (member, carrier) in [("ens1f0", "1"), ("ens1f1", "1")] {
        let member = format!("sys/class/net/{member}");
        tree.file(&format!("{member}/device/vendor"), "0x15b3\n")
            .file(&format!("{member}/carrier"), &format!("{carrier}\n"))
            .file(&format!("{member}/carrier_changes"), "3\n")
            .file(&format!("{member}/carrier_down_count"), "1\n")
            .file(&format!("{member}/bonding_slave/mii_status"), "up\n");
    }
    tree.file("sys/class/net/bond0/bonding/slaves", "ens1f0 ens1f1\n")
        .file("sys/class/net/bond0/carrier", "1\n")
        .file("sys/class/net/bonding_masters", "bond0\n")
        .file("sys/class/net/veth1/carrier", "1\n");
    tree.file("sys/block/md0/md/array_state", "active\n")
        .file("sys/block/md0/md/degraded", "0\n")
        .file("sys/block/md127/md/array_state", "inactive\n")
        .file("sys/block/md1/md/array_state", "clear\n")
        .file("sys/block/sda/size", "1\n");
    tree.file("sys/class/nvme/nvme0/state", "live\n");
    tree
}

#[test]
fn links_are_shown_as_the_kernel_sees_them() {
    check_all(
        &page(&healthy().roots(), &[SHIPPED_LINKS]),
        &expect![[r#"
            bond_members{interface_name="bond0"} 2
            bond_members_up{interface_name="bond0"} 2
            infiniband_port_active{device="mlx5_0",port="1"} 1
            infiniband_port_active{device="mlx5_0",port="2"} 0
            infiniband_port_errors_total{counter="link_downed",device="mlx5_0",port="1"} 1
            infiniband_port_errors_total{counter="rnr_nak_retry_err",device="mlx5_0",port="1"} 7
            infiniband_port_errors_total{counter="symbol_error",device="mlx5_0",port="1"} 0
            infiniband_port_errors_total{counter="link_downed",device="mlx5_0",port="2"} 1
            infiniband_port_errors_total{counter="rnr_nak_retry_err",device="mlx5_0",port="2"} 7
            infiniband_port_errors_total{counter="symbol_error",device="mlx5_0",port="2"} 0
            infiniband_port_rate_gbps{device="mlx5_0",port="1"} 100
            infiniband_port_rate_gbps{device="mlx5_0",port="2"} 100
            link_carrier{interface_name="ens1f0"} 1
            link_carrier{interface_name="ens1f1"} 1
            link_carrier_changes_total{interface_name="ens1f0"} 3
            link_carrier_changes_total{interface_name="ens1f1"} 3
            link_carrier_losses_total{interface_name="ens1f0"} 1
            link_carrier_losses_total{interface_name="ens1f1"} 1
            md_missing_members{array="md0"} 0
            md_working{array="md0"} 1
            md_working{array="md127"} 0
            nvme_live{controller="nvme0"} 1
            pci_link_speed_gts{class="nvme",device="0000:01:00.0"} 16
            pci_link_speed_gts{class="display",device="0000:9b:00.0"} 2.5
            pci_link_speed_max_gts{class="nvme",device="0000:01:00.0"} 16
            pci_link_speed_max_gts{class="network",device="0000:02:00.0"} 16
            pci_link_speed_max_gts{class="display",device="0000:9b:00.0"} 16
            pci_link_width{class="nvme",device="0000:01:00.0"} 4
            pci_link_width{class="display",device="0000:9b:00.0"} 16
            pci_link_width_max{class="nvme",device="0000:01:00.0"} 16
            pci_link_width_max{class="network",device="0000:02:00.0"} 16
            pci_link_width_max{class="display",device="0000:9b:00.0"} 16
            pci_present{class="display",device="0000:9b:00.0"} 1
        "#]],
    );
}

/// What the shipped rules report after each change of the machine, half a minute apart.
struct ChangingMachine {
    tree: Tree,
    running: Running,
}

impl ChangingMachine {
    fn new() -> Self {
        let mut machine = Self {
            tree: healthy(),
            running: Running::new(&[&without_waits()]),
        };
        assert_eq!(machine.changed(|_| ()), [""; 0], "all is well");
        machine
    }

    fn changed(&mut self, change: impl FnOnce(&Tree)) -> Vec<String> {
        change(&self.tree);
        let threads = ThreadPool::new("test", 1);
        let roots = self.tree.roots();
        let monitor = &mut self.running.monitors[0];
        let mut found = Vec::new();
        for index in 0..monitor.collectors.len() {
            let collected = monitor.collectors[index].collect(&roots, &threads);
            let sample = self.running.runtime.block_on(collected).unwrap();
            found.extend(monitor.evaluate(&sample));
        }
        let shown = found.into_iter().map(|finding| {
            let reason = &finding.problem.reason;
            let about = finding.object.as_ref().map(ToString::to_string);
            let about = about.unwrap_or_default();
            assert_eq!(
                finding.subject,
                finding.object.as_ref().map(FaultyObject::subject)
            );
            format!(
                "{reason} {:?} {about}: {}",
                finding.present, finding.message
            )
        });
        shown.collect()
    }
}

/// The shipped config, which reports at once.
fn without_waits() -> String {
    let mut config: serde_json::Value = serde_json::from_str(SHIPPED_LINKS).unwrap();
    for rule in config["rules"].as_array_mut().unwrap() {
        rule.as_object_mut().unwrap().remove("for");
    }
    config.to_string()
}

#[test]
fn what_gets_worse_is_reported_and_ends() {
    let mut machine = ChangingMachine::new();
    let port = "class/infiniband/mlx5_0/ports/1";
    let steps = [
        (&*format!("{port}/state"), "1: DOWN", "4: ACTIVE"),
        (&format!("{port}/counters/link_downed"), "3", "4"),
        ("class/net/ens1f1/carrier", "0", "1"),
        ("class/net/ens1f1/bonding_slave/mii_status", "down", "up"),
        ("bus/pci/devices/0000:9b:00.0/current_link_width", "8", "16"),
        ("block/md0/md/degraded", "1", "0"),
        ("block/md0/md/array_state", "broken", "clean"),
        ("class/nvme/nvme0/state", "dead", "live"),
    ];
    let mut shown = Vec::new();
    for (path, bad, good) in steps {
        for text in [bad, good] {
            let changed = machine.changed(|tree| {
                tree.file(&format!("sys/{path}"), &format!("{text}\n"));
            });
            shown.extend(changed);
        }
    }
    expect![[r#"
        InfinibandPortDown True port/mlx5_0/1: infiniband/port_active{device="mlx5_0",port="1"} is 0, fallen from 1
        InfinibandPortDown False port/mlx5_0/1: infiniband/port_active{device="mlx5_0",port="1"} is within bounds
        InfinibandPortFlapping True port/mlx5_0/1: infiniband/port_errors_total{counter="link_downed",device="mlx5_0",port="1"} is 4, risen by 3 within 43200s
        NetworkLinkDown True interface/ens1f1: link/carrier{interface_name="ens1f1"} is 0, fallen from 1
        NetworkLinkDown False interface/ens1f1: link/carrier{interface_name="ens1f1"} is within bounds
        BondDegraded True interface/bond0: bond/members_up{interface_name="bond0"} is 1, fallen from 2
        BondDegraded False interface/bond0: bond/members_up{interface_name="bond0"} is within bounds
        PCILinkDegraded True gpu/0000:9b:00: pci/link_width{class="display",device="0000:9b:00.0"} is 8, fallen from 16
        PCILinkDegraded False gpu/0000:9b:00: pci/link_width{class="display",device="0000:9b:00.0"} is within bounds
        RaidDegraded True array/md0: md/missing_members{array="md0"} is 1, above 0
        RaidDegraded False array/md0: md/missing_members{array="md0"} is within bounds
        RaidFailed True array/md0: md/working{array="md0"} is 0, fallen from 1
        RaidFailed False array/md0: md/working{array="md0"} is within bounds
        NVMeControllerDown True controller/nvme0: nvme/live{controller="nvme0"} is 0, fallen from 1
        NVMeControllerDown False controller/nvme0: nvme/live{controller="nvme0"} is within bounds"#]].assert_eq(&shown.join("\n"));
}

#[test]
fn a_gpu_that_is_gone_is_missed_and_a_disk_is_not() {
    let mut machine = ChangingMachine::new();
    let remove = |device: &str| {
        let device = format!("bus/pci/devices/{device}");
        move |tree: &Tree| fs::remove_dir_all(tree.roots().sys.join(device)).unwrap()
    };
    assert_eq!(machine.changed(remove("0000:01:00.0")), [""; 0]);
    assert_eq!(
        machine.changed(remove("0000:9b:00.0")),
        [
            r#"PCIDeviceGone True gpu/0000:9b:00: pci/present{class="display",device="0000:9b:00.0"} is 0, below 1"#
        ]
    );
    let mut machine = ChangingMachine::new();
    let silent = |tree: &Tree| {
        let config = "bus/pci/devices/0000:9b:00.0/config";
        fs::write(tree.roots().sys.join(config), [0xff; 64]).unwrap();
    };
    assert_eq!(machine.changed(silent).len(), 1);
}
