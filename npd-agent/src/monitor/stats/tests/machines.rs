//! Recorded machines that are unlike each other. `tests/fixtures/stats/README.md` describes them.

use expect_test::expect;

use super::*;

/// Sixteen processors, four `NVMe` disks, two of them paths of a multipath device, a bond, a VLAN,
/// a bridge and a pod's veth pair, cgroup v2.
const MANY: &str = "guest-6.12";

/// The same disks and interfaces, cgroup v1.
const OLD: &str = "guest-6.1";

#[test]
fn every_processor_has_its_stages() {
    let page = page(&recorded(MANY), &[SHIPPED]);
    assert_eq!(page.matches("\nsystem_cpu_stat{").count(), 16 * 10);
    check(
        &page,
        r#"system_cpu_stat{cpu="cpu15""#,
        &expect![[r#"
            system_cpu_stat{cpu="cpu15",stage="user"} 0.05
            system_cpu_stat{cpu="cpu15",stage="nice"} 0
            system_cpu_stat{cpu="cpu15",stage="system"} 0.68
            system_cpu_stat{cpu="cpu15",stage="idle"} 28.75
            system_cpu_stat{cpu="cpu15",stage="iowait"} 0.02
            system_cpu_stat{cpu="cpu15",stage="iRQ"} 0
            system_cpu_stat{cpu="cpu15",stage="softIRQ"} 0.04
            system_cpu_stat{cpu="cpu15",stage="steal"} 0
            system_cpu_stat{cpu="cpu15",stage="guest"} 0
            system_cpu_stat{cpu="cpu15",stage="guestNice"} 0
        "#]],
    );
}

#[test]
fn a_multipath_device_is_shown_because_it_is_mounted_and_so_are_its_paths() {
    let page = page(&recorded(MANY), &[SHIPPED]);
    check(
        &page,
        "disk_operation_bytes_count",
        &expect![[r#"
            disk_operation_bytes_count{device_name="nvme2n1",direction="read"} 4096
            disk_operation_bytes_count{device_name="nvme2n1",direction="write"} 0
            disk_operation_bytes_count{device_name="nvme3n1",direction="read"} 8791040
            disk_operation_bytes_count{device_name="nvme3n1",direction="write"} 16143360
            disk_operation_bytes_count{device_name="nvme1n1",direction="read"} 21111808
            disk_operation_bytes_count{device_name="nvme1n1",direction="write"} 28483584
            disk_operation_bytes_count{device_name="nvme0n1",direction="read"} 4096
            disk_operation_bytes_count{device_name="nvme0n1",direction="write"} 0
            disk_operation_bytes_count{device_name="dm-0",direction="read"} 21107712
            disk_operation_bytes_count{device_name="dm-0",direction="write"} 28483584
        "#]],
    );
}

#[test]
fn whole_disks_are_not_made_of_other_disks() {
    let devices = |option: &str| {
        let config = format!(
            r#"{{"disk": {{{option}: true, "metricsConfigs": {{"disk/io_time": {{"displayName": "t"}}}}}}}}"#
        );
        let page = page(&recorded(MANY), &[&config]);
        let names = page.lines().filter_map(|line| line.split('"').nth(1));
        names.map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        devices(r#""includeRootBlk""#),
        "nvme2n1 nvme3n1 nvme1n1 nvme0n1"
    );
    assert_eq!(devices(r#""includeAllAttachedBlk""#), "nvme3n1 dm-0");
}

#[test]
fn each_file_system_counts_once_and_by_the_kernels_name() {
    for machine in [MANY, OLD] {
        let config = section("disk", &["filesystem/read_only"]);
        check_all(
            &page(&recorded(machine), &[&config]),
            &expect![[r#"
                filesystem_read_only{device_name="dm-0",mount_point="/data"} 0
                filesystem_read_only{device_name="nvme3n1",mount_point="/var"} 0
            "#]],
        );
    }
}

#[test]
fn virtual_interfaces_are_shown_but_those_of_pods() {
    check(
        &page(&recorded(MANY), &[SHIPPED_NET]),
        "net_tx_packets",
        &expect![[r#"
            net_tx_packets{interface_name="lo"} 13
            net_tx_packets{interface_name="bond0"} 19
            net_tx_packets{interface_name="dummy0"} 7
            net_tx_packets{interface_name="dummy1"} 12
            net_tx_packets{interface_name="bond0.100"} 8
            net_tx_packets{interface_name="br0"} 12
        "#]],
    );
}

#[test]
fn pods_out_of_memory_on_cgroup_v2() {
    check(
        &page(&recorded(MANY), &[&whole("cgroup", cgroup::METRICS)]),
        "cgroup",
        &expect![[r#"
            cgroup_memory_events_total{cgroup="kubepods.slice",event="low"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice",event="high"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice",event="max"} 88
            cgroup_memory_events_total{cgroup="kubepods.slice",event="oom"} 3
            cgroup_memory_events_total{cgroup="kubepods.slice",event="oom_kill"} 2
            cgroup_memory_events_total{cgroup="kubepods.slice",event="oom_group_kill"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-burstable.slice",event="low"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-burstable.slice",event="high"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-burstable.slice",event="max"} 88
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-burstable.slice",event="oom"} 3
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-burstable.slice",event="oom_kill"} 2
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-burstable.slice",event="oom_group_kill"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-besteffort.slice",event="low"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-besteffort.slice",event="high"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-besteffort.slice",event="max"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-besteffort.slice",event="oom"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-besteffort.slice",event="oom_kill"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice/kubepods-besteffort.slice",event="oom_group_kill"} 0
        "#]],
    );
}

#[test]
fn pods_out_of_memory_on_cgroup_v1() {
    check_all(
        &page(&recorded(OLD), &[&whole("cgroup", cgroup::METRICS)]),
        &expect![[r#"
            cgroup_memory_events_total{cgroup="kubepods",event="oom_kill"} 2
            cgroup_memory_events_total{cgroup="kubepods/burstable",event="oom_kill"} 2
            cgroup_memory_events_total{cgroup="kubepods/besteffort",event="oom_kill"} 0
        "#]],
    );
}

#[test]
fn a_kernel_shows_what_it_counts() {
    check_all(
        &page(&recorded(OLD), &[&whole("kernel", kernel::METRICS)]),
        &expect![[r#"
            kernel_oom_kills_total 2
            kernel_oopses_total 0
            kernel_tainted 0
            kernel_warnings_total 0
        "#]],
    );
    check_all(
        &page(&recorded(MANY), &[&whole("kernel", kernel::METRICS)]),
        &expect![[r#"
            kernel_oom_kills_total 2
            kernel_oopses_total 0
            kernel_tainted 0
            kernel_warnings_total 0
        "#]],
    );
}

#[test]
fn ports_and_controllers() {
    check_all(
        &page(&recorded(MANY), &[&whole("hardware", hardware::METRICS)]),
        &expect![[r#"
            nvme_live{controller="nvme0"} 1
            nvme_live{controller="nvme1"} 1
            nvme_live{controller="nvme2"} 1
            nvme_live{controller="nvme3"} 1
            pcie_aer_errors_total{device="0000:00:02.0",severity="correctable"} 0
            pcie_aer_errors_total{device="0000:00:02.0",severity="nonfatal"} 0
            pcie_aer_errors_total{device="0000:00:02.0",severity="fatal"} 0
            pcie_aer_errors_total{device="0000:00:03.0",severity="correctable"} 0
            pcie_aer_errors_total{device="0000:00:03.0",severity="nonfatal"} 0
            pcie_aer_errors_total{device="0000:00:03.0",severity="fatal"} 0
            pcie_aer_errors_total{device="0000:00:04.0",severity="correctable"} 0
            pcie_aer_errors_total{device="0000:00:04.0",severity="nonfatal"} 0
            pcie_aer_errors_total{device="0000:00:04.0",severity="fatal"} 0
            pcie_aer_errors_total{device="0000:00:05.0",severity="correctable"} 0
            pcie_aer_errors_total{device="0000:00:05.0",severity="nonfatal"} 0
            pcie_aer_errors_total{device="0000:00:05.0",severity="fatal"} 0
        "#]],
    );
}

#[test]
fn pressure_and_limits() {
    let configs = [
        section(
            "pressure",
            &["pressure/stalled_seconds_total", "pressure/avg60"],
        ),
        whole("limits", limits::METRICS),
    ];
    check_all(
        &page(&recorded(MANY), &configs.each_ref().map(String::as_str)),
        &expect![[r#"
            conntrack_entries 0
            conntrack_limit 4096
            conntrack_percent_used 0
            file_limit 44362
            file_open 0
            file_percent_used 0
            pressure_avg60{resource="cpu",share="some"} 2.15
            pressure_avg60{resource="cpu",share="full"} 0
            pressure_avg60{resource="memory",share="some"} 0
            pressure_avg60{resource="memory",share="full"} 0
            pressure_avg60{resource="io",share="some"} 0.21
            pressure_avg60{resource="io",share="full"} 0.19
            pressure_stalled_seconds_total{resource="cpu",share="some"} 3.135911
            pressure_stalled_seconds_total{resource="cpu",share="full"} 0
            pressure_stalled_seconds_total{resource="memory",share="some"} 0.013376
            pressure_stalled_seconds_total{resource="memory",share="full"} 0.012654
            pressure_stalled_seconds_total{resource="io",share="some"} 0.286488
            pressure_stalled_seconds_total{resource="io",share="full"} 0.277516
            process_limit 3574
            process_percent_used 5.428091773922775
            process_tasks 194
        "#]],
    );
}
