//! The metrics that NPD does not have.

use expect_test::expect;

use super::*;

#[test]
fn what_is_ours_is_off_unless_configured() {
    let names = page(&recorded("vm-6.18"), &[SHIPPED, SHIPPED_NET]);
    for prefix in ["kernel", "process", "file", "pressure", "clock"] {
        assert!(!names.contains(&format!("\n{prefix}_")), "{prefix}");
    }
}

#[test]
fn the_kernels_own_counts() {
    check_all(
        &page(&recorded("vm-6.18"), &[&whole("kernel", kernel::METRICS)]),
        &expect![[r#"
            kernel_hard_lockups_total 0
            kernel_hung_tasks_total 2
            kernel_oom_kills_total 7
            kernel_oopses_total 0
            kernel_rcu_stalls_total 0
            kernel_soft_lockups_total 0
            kernel_tainted 0
            kernel_warnings_total 0
        "#]],
    );
}

#[test]
fn what_runs_out() {
    let tree = Tree::new();
    tree.file("proc/loadavg", "0.1 0.2 0.3 2/95 1234\n")
        .file("proc/sys/kernel/pid_max", "4194304\n")
        .file("proc/sys/kernel/threads-max", "190\n")
        .file("proc/sys/fs/file-nr", "1200\t0\t4800\n")
        .file("proc/sys/net/netfilter/nf_conntrack_count", "66000\n")
        .file("proc/sys/net/netfilter/nf_conntrack_max", "65536\n");
    check_all(
        &page(&tree.roots(), &[&whole("limits", limits::METRICS)]),
        &expect![[r#"
            conntrack_entries 66000
            conntrack_limit 65536
            conntrack_percent_used 100.7080078125
            file_limit 4800
            file_open 1200
            file_percent_used 25
            process_limit 190
            process_percent_used 50
            process_tasks 95
        "#]],
    );
    // An agent in a pod has the sysctl of the pod's network.
    tree.file(
        "proc/1/net/stat/nf_conntrack",
        "entries  clashres found new\n00008000  00000000 0000 0000\n00008000  00000001 0000 0000\n",
    );
    let entries = section("limits", &["conntrack/entries", "conntrack/percent_used"]);
    check_all(
        &page(&tree.roots(), &[&entries]),
        &expect![[r#"
            conntrack_entries 32768
            conntrack_percent_used 50
        "#]],
    );
}

#[test]
fn pressure_comes_from_psi() {
    let tree = Tree::new();
    let full = "some avg10=1.50 avg60=0.25 avg300=0.00 total=2500000\n\
                full avg10=0.50 avg60=0.00 avg300=0.00 total=1000000\n";
    // Before Linux 5.13 there is no `full` for processors.
    tree.file("proc/pressure/cpu", full.lines().next().unwrap())
        .file("proc/pressure/io", full);
    let config = section(
        "pressure",
        &["pressure/stalled_seconds_total", "pressure/avg10"],
    );
    let (page, errors) = Running::new(&[&config]).sample(&tree.roots());
    check_all(
        &page,
        &expect![[r#"
            pressure_avg10{resource="cpu",share="some"} 1.5
            pressure_avg10{resource="io",share="some"} 1.5
            pressure_avg10{resource="io",share="full"} 0.5
            pressure_stalled_seconds_total{resource="cpu",share="some"} 2.5
            pressure_stalled_seconds_total{resource="io",share="some"} 2.5
            pressure_stalled_seconds_total{resource="io",share="full"} 1
        "#]],
    );
    assert!(errors[0].contains("pressure/memory"), "{errors:?}");
}

#[test]
fn memory_events_of_pods_on_cgroup_v2_are_the_kernels() {
    let tree = Tree::new();
    tree.file(
        "sys/fs/cgroup/kubepods.slice/memory.events",
        "low 0\nhigh 0\nmax 12\noom 3\noom_kill 4\noom_group_kill 1\n",
    );
    check_all(
        &page(&tree.roots(), &[&whole("cgroup", cgroup::METRICS)]),
        &expect![[r#"
            cgroup_memory_events_total{cgroup="kubepods.slice",event="low"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice",event="high"} 0
            cgroup_memory_events_total{cgroup="kubepods.slice",event="max"} 12
            cgroup_memory_events_total{cgroup="kubepods.slice",event="oom"} 3
            cgroup_memory_events_total{cgroup="kubepods.slice",event="oom_kill"} 4
            cgroup_memory_events_total{cgroup="kubepods.slice",event="oom_group_kill"} 1
        "#]],
    );
}

#[test]
fn kills_of_pods_on_cgroup_v1_are_added_up() {
    let tree = Tree::new();
    let kills = |group: &str, kills: u64| {
        let path = format!("sys/fs/cgroup/memory/kubepods{group}/memory.oom_control");
        let text = format!("oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n");
        tree.file(&path, &text);
    };
    let mut running = Running::new(&[&whole("cgroup", cgroup::METRICS)]);
    let mut after = || {
        let (page, _) = running.sample(&tree.roots());
        let values = page.lines().filter_map(|line| line.rsplit_once("} "));
        let values = values.map(|(_, value)| value.parse::<u64>().unwrap());
        // Of all pods, and of burstable ones.
        values.collect::<Vec<_>>()
    };
    assert_eq!(after(), [0; 0]);
    kills("", 0);
    kills("/burstable", 0);
    kills("/burstable/poda/1", 0);
    // The group of a container is not counted in its pod's group, and that is not counted in its class.
    kills("/burstable/poda", 0);
    kills("/podb", 1);
    assert_eq!(after(), [1, 0]);
    kills("/burstable/poda/1", 2);
    assert_eq!(after(), [3, 2]);
    // The pod is deleted. What it counted stays counted.
    let pod = "sys/fs/cgroup/memory/kubepods/burstable/poda";
    fs::remove_dir_all(tree.roots().sys.join(&pod[4..])).unwrap();
    assert_eq!(after(), [3, 2]);
    kills("/burstable/poda", 0);
    kills("/burstable/poda/1", 1);
    assert_eq!(after(), [4, 3]);
    fs::remove_dir_all(tree.roots().sys.join("fs/cgroup/memory/kubepods")).unwrap();
    assert_eq!(after(), [0; 0]);
}

#[test]
fn hardware_errors_are_counted_where_there_is_hardware() {
    let tree = Tree::new();
    tree.file("sys/devices/system/edac/mc/mc0/ce_count", "5\n")
        .file("sys/devices/system/edac/mc/mc0/ue_count", "0\n")
        .file("sys/devices/system/edac/mc/power/control", "auto\n")
        .file("sys/block/sda/device/ioerr_cnt", "0x1f\n")
        .file("sys/block/sda/device/iotmo_cnt", "0x2\n")
        .file("sys/block/vda/size", "1\n")
        .file("sys/class/nvme/nvme0/state", "live\n")
        .file("sys/class/nvme/nvme1/state", "dead\n");
    // As in the kernel's documentation, sysfs-bus-pci-devices-aer.
    tree.file(
        "sys/bus/pci/devices/0000:00:1c.0/aer_dev_correctable",
        "Receiver Error 2\nBad TLP 0\nBad DLLP 0\nRELAY_NUM Rollover 0\n\
         Advisory Non-Fatal 0\nHeader Log Overflow 0\nTOTAL_ERR_COR 2\n",
    )
    .file(
        "sys/bus/pci/devices/0000:00:1c.0/aer_dev_fatal",
        "Undefined 0\nData Link Protocol 0\nTOTAL_ERR_FATAL 0\n",
    )
    .file("sys/bus/pci/devices/0000:00:02.0/vendor", "0x8086\n");
    check_all(
        &page(&tree.roots(), &[&whole("hardware", hardware::METRICS)]),
        &expect![[r#"
            edac_errors_total{controller="mc0",severity="corrected"} 5
            edac_errors_total{controller="mc0",severity="uncorrected"} 0
            nvme_live{controller="nvme0"} 1
            nvme_live{controller="nvme1"} 0
            pcie_aer_errors_total{device="0000:00:1c.0",severity="correctable"} 2
            pcie_aer_errors_total{device="0000:00:1c.0",severity="fatal"} 0
            scsi_io_errors_total{device="sda"} 31
            scsi_timeouts_total{device="sda"} 2
        "#]],
    );
}

#[test]
fn the_clock_is_as_right_as_its_daemon_says() {
    let tree = Tree::new();
    let mark = "proc/1/root/run/systemd/timesync/synchronized";
    tree.file(mark, "");
    let mark = fs::File::open(tree.roots().proc.join(&mark[5..])).unwrap();
    let hours_ago = |hours| std::time::SystemTime::now() - Duration::from_hours(hours);
    let seconds = || {
        let page = page(&tree.roots(), &[&whole("clock", clock::METRICS)]);
        let series = r#"clock_seconds_since_sync{daemon="systemd-timesyncd"} "#;
        let value = page.lines().find_map(|line| line.strip_prefix(series));
        value.unwrap().parse::<u64>().unwrap()
    };
    mark.set_modified(hours_ago(2)).unwrap();
    assert_eq!(seconds() / 3600, 2);
    // The clock was set back after that.
    mark.set_modified(std::time::SystemTime::now() + Duration::from_hours(1))
        .unwrap();
    assert_eq!(seconds(), 0);
}

#[test]
fn file_systems_that_cannot_be_written_to() {
    let tree = Tree::new();
    tree.file(
        "proc/1/mountinfo",
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
         2 0 8:2 / /data rw - ext4 /dev/sda2 rw,emergency_ro\n\
         3 0 8:3 / /boot ro - vfat /dev/sda3 rw\n\
         4 0 8:1 /etc /mnt/etc ro - ext4 /dev/sda1 rw\n\
         5 0 0:30 / /run rw - tmpfs tmpfs rw\n",
    );
    check_all(
        &page(
            &tree.roots(),
            &[&section("disk", &["filesystem/read_only"])],
        ),
        &expect![[r#"
            filesystem_read_only{device_name="sda1",mount_point="/"} 0
            filesystem_read_only{device_name="sda2",mount_point="/data"} 1
            filesystem_read_only{device_name="sda3",mount_point="/boot"} 1
        "#]],
    );
}
