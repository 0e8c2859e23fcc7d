//! The collectors on recorded and on generated trees.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use expect_test::{Expect, expect};
use prometheus::{Registry, TextEncoder};
use tempfile::TempDir;

use super::*;
use crate::node::Roots;

const SHIPPED: &str = include_str!("../../../../deploy/config/system-stats-monitor.json");
const SHIPPED_NET: &str =
    include_str!("../../../../deploy/config/net-cgroup-system-stats-monitor.json");

fn fixture(machine: &str) -> Roots {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/stats");
    roots(&fixtures.join(machine))
}

fn roots(tree: &Path) -> Roots {
    Roots::from_env(|name| {
        let folder = name.strip_prefix("HOST_")?.to_lowercase();
        Some(tree.join(folder).display().to_string())
    })
}

fn config(name: &str, text: &str) -> ConfigFile {
    ConfigFile {
        name: Arc::from(name),
        dir: None,
        bytes: text.as_bytes().to_vec(),
    }
}

/// The page after one pass over `roots` with each of the configs.
fn page(roots: &Roots, configs: &[&str]) -> String {
    let (store, registry) = (Store::default(), Registry::new());
    for text in configs {
        let mut monitor = config::load(&config("stats.json", text), &store).unwrap();
        for lane in &mut monitor.lanes {
            let pass = lane.collect_now(roots);
            lane.publish(pass, &store);
        }
    }
    store.register(&registry).unwrap();
    TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap()
}

/// Names and labels of the series whose names start with `prefix`.
#[track_caller]
fn check(page: &str, prefix: &str, expect: &Expect) {
    let lines = page.lines().filter(|line| line.starts_with(prefix));
    expect.assert_eq(&lines.fold(String::new(), |all, line| all + line + "\n"));
}

fn section(name: &str, ids: &[&str]) -> String {
    let metrics: Vec<_> = ids
        .iter()
        .map(|id| format!("{id:?}: {{\"displayName\": {id:?}}}"))
        .collect();
    format!(
        "{{{name:?}: {{\"metricsConfigs\": {{{}}}}}}}",
        metrics.join(",")
    )
}

#[test]
fn the_shipped_configs_export_every_series_of_npd() {
    let page = page(&fixture("vm-6.18"), &[SHIPPED, SHIPPED_NET]);
    let mut families = String::new();
    for line in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        let series = page
            .lines()
            .filter(|l| l.starts_with(&format!("{name}{{")) || l.starts_with(&format!("{name} ")));
        writeln!(families, "{line} {}", series.count()).unwrap();
    }
    expect![[r#"
        cpu_load_15m gauge 1
        cpu_load_1m gauge 1
        cpu_load_5m gauge 1
        cpu_runnable_task_count gauge 1
        cpu_usage_time counter 10
        disk_bytes_used gauge 2
        disk_io_time counter 2
        disk_merged_operation_count counter 4
        disk_operation_bytes_count counter 4
        disk_operation_count counter 4
        disk_operation_time counter 4
        disk_percent_used gauge 1
        disk_weighted_io counter 2
        host_uptime gauge 1
        memory_anonymous_used gauge 2
        memory_bytes_used gauge 5
        memory_dirty_used gauge 2
        memory_page_cache_used gauge 2
        memory_percent_used gauge 1
        memory_unevictable_used gauge 1
        net_rx_bytes counter 4
        net_rx_compressed counter 4
        net_rx_dropped counter 4
        net_rx_errors counter 4
        net_rx_fifo counter 4
        net_rx_frame counter 4
        net_rx_multicast counter 4
        net_rx_packets counter 4
        net_tx_bytes counter 4
        net_tx_carrier counter 4
        net_tx_collisions counter 4
        net_tx_compressed counter 4
        net_tx_dropped counter 4
        net_tx_errors counter 4
        net_tx_fifo counter 4
        net_tx_packets counter 4
        system_cpu_stat counter 20
        system_interrupts_total counter 1
        system_os_feature gauge 5
        system_processes_total counter 1
        system_procs_blocked gauge 1
        system_procs_running gauge 1
    "#]]
    .assert_eq(&families);
}

#[test]
fn counters_are_the_kernels_own() {
    let page = page(&fixture("vm-6.18"), &[SHIPPED, SHIPPED_NET]);
    check(
        &page,
        "cpu_usage_time",
        &expect![[r#"
        cpu_usage_time{state="guest"} 0
        cpu_usage_time{state="guest_nice"} 0
        cpu_usage_time{state="idle"} 3639.95
        cpu_usage_time{state="iowait"} 25.59
        cpu_usage_time{state="irq"} 0
        cpu_usage_time{state="nice"} 393.37
        cpu_usage_time{state="softirq"} 5.55
        cpu_usage_time{state="steal"} 1.29
        cpu_usage_time{state="system"} 466.78
        cpu_usage_time{state="user"} 1436.24
    "#]],
    );
    check(
        &page,
        "system_",
        &expect![[r#"
        system_cpu_stat{cpu="cpu0",stage="guest"} 0
        system_cpu_stat{cpu="cpu0",stage="guestNice"} 0
        system_cpu_stat{cpu="cpu0",stage="iRQ"} 0
        system_cpu_stat{cpu="cpu0",stage="idle"} 1895.67
        system_cpu_stat{cpu="cpu0",stage="iowait"} 5.43
        system_cpu_stat{cpu="cpu0",stage="nice"} 193.27
        system_cpu_stat{cpu="cpu0",stage="softIRQ"} 1.51
        system_cpu_stat{cpu="cpu0",stage="steal"} 0.62
        system_cpu_stat{cpu="cpu0",stage="system"} 201.78
        system_cpu_stat{cpu="cpu0",stage="user"} 685.68
        system_cpu_stat{cpu="cpu1",stage="guest"} 0
        system_cpu_stat{cpu="cpu1",stage="guestNice"} 0
        system_cpu_stat{cpu="cpu1",stage="iRQ"} 0
        system_cpu_stat{cpu="cpu1",stage="idle"} 1744.27
        system_cpu_stat{cpu="cpu1",stage="iowait"} 20.16
        system_cpu_stat{cpu="cpu1",stage="nice"} 200.1
        system_cpu_stat{cpu="cpu1",stage="softIRQ"} 4.03
        system_cpu_stat{cpu="cpu1",stage="steal"} 0.66
        system_cpu_stat{cpu="cpu1",stage="system"} 264.99
        system_cpu_stat{cpu="cpu1",stage="user"} 750.55
        system_interrupts_total 3706900
        system_os_feature{os_feature="GPUSupport",value=""} 0
        system_os_feature{os_feature="KTD",value=""} 0
        system_os_feature{os_feature="KernelModuleIntegrity",value=""} 0
        system_os_feature{os_feature="UnifiedCgroupHierarchy",value=""} 0
        system_os_feature{os_feature="UnknownModules",value=""} 0
        system_processes_total 86780
        system_procs_blocked 0
        system_procs_running 1
    "#]],
    );
    check(
        &page,
        "disk_operation_",
        &expect![[r#"
        disk_operation_bytes_count{device_name="loop0",direction="read"} 8574464
        disk_operation_bytes_count{device_name="loop0",direction="write"} 6384128
        disk_operation_bytes_count{device_name="vda",direction="read"} 32033526784
        disk_operation_bytes_count{device_name="vda",direction="write"} 38478725120
        disk_operation_count{device_name="loop0",direction="read"} 587
        disk_operation_count{device_name="loop0",direction="write"} 81
        disk_operation_count{device_name="vda",direction="read"} 669211
        disk_operation_count{device_name="vda",direction="write"} 98806
        disk_operation_time{device_name="loop0",direction="read"} 36
        disk_operation_time{device_name="loop0",direction="write"} 129
        disk_operation_time{device_name="vda",direction="read"} 603930
        disk_operation_time{device_name="vda",direction="write"} 225815
    "#]],
    );
    check(
        &page,
        "net_rx_bytes",
        &expect![[r#"
        net_rx_bytes{interface_name="eth0"} 586909828
        net_rx_bytes{interface_name="ifb0"} 0
        net_rx_bytes{interface_name="ifb1"} 0
        net_rx_bytes{interface_name="lo"} 145593623
    "#]],
    );
}

#[test]
fn memory_adds_up() {
    let page = page(&fixture("vm-6.18"), &[SHIPPED]);
    check(
        &page,
        "memory_",
        &expect![[r#"
        memory_anonymous_used{state="active"} 1605632
        memory_anonymous_used{state="inactive"} 13266944
        memory_bytes_used{state="buffered"} 29396992
        memory_bytes_used{state="cached"} 9897766912
        memory_bytes_used{state="free"} 13744726016
        memory_bytes_used{state="slab"} 1209352192
        memory_bytes_used{state="used"} 395268096
        memory_dirty_used{state="dirty"} 371314688
        memory_dirty_used{state="writeback"} 0
        memory_page_cache_used{state="active"} 4231417856
        memory_page_cache_used{state="inactive"} 5686669312
        memory_percent_used{state="used"} 1.5637763787300745
        memory_unevictable_used 23048192
    "#]],
    );
}

#[test]
fn what_is_ours_is_off_unless_configured() {
    let page = page(&fixture("vm-6.18"), &[SHIPPED]);
    assert!(!page.contains("\nkernel_"));
    let ids: Vec<_> = kernel::METRICS.iter().map(|metric| metric.id).collect();
    let page = self::page(&fixture("vm-6.18"), &[&section("kernel", &ids)]);
    check(
        &page,
        "kernel_",
        &expect![[r#"
        kernel_hard_lockups 0
        kernel_hung_tasks 2
        kernel_oom_kills 7
        kernel_oopses 0
        kernel_rcu_stalls 0
        kernel_soft_lockups 0
        kernel_tainted 0
        kernel_warnings 0
    "#]],
    );
    let ids: Vec<_> = limits::METRICS.iter().map(|metric| metric.id).collect();
    let page = self::page(&fixture("vm-6.18"), &[&section("limits", &ids)]);
    check(
        &page,
        "process_",
        &expect![[r#"
        process_count 95
        process_limit 32768
        process_percent_used 0.2899169921875
    "#]],
    );
}

/// A tree that a test writes.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn roots(&self) -> Roots {
        roots(self.0.path())
    }
}

#[test]
fn pressure_comes_from_psi() {
    let tree = Tree::new();
    let full = "some avg10=1.50 avg60=0.25 avg300=0.00 total=2500000\n\
                full avg10=0.50 avg60=0.00 avg300=0.00 total=1000000\n";
    // Before Linux 5.13 there is no `full` for processors.
    tree.file("proc/pressure/cpu", full.lines().next().unwrap());
    tree.file("proc/pressure/memory", full)
        .file("proc/pressure/io", full);
    let config = section("pressure", &["pressure/stalled_seconds", "pressure/avg10"]);
    check(
        &page(&tree.roots(), &[&config]),
        "pressure_",
        &expect![[r#"
        pressure_avg10{resource="cpu",share="some"} 1.5
        pressure_avg10{resource="io",share="full"} 0.5
        pressure_avg10{resource="io",share="some"} 1.5
        pressure_avg10{resource="memory",share="full"} 0.5
        pressure_avg10{resource="memory",share="some"} 1.5
        pressure_stalled_seconds{resource="cpu",share="some"} 2.5
        pressure_stalled_seconds{resource="io",share="full"} 1
        pressure_stalled_seconds{resource="io",share="some"} 2.5
        pressure_stalled_seconds{resource="memory",share="full"} 1
        pressure_stalled_seconds{resource="memory",share="some"} 2.5
    "#]],
    );
}

#[test]
fn memory_events_of_pods_on_either_cgroup_version() {
    let config = section("cgroup", &["cgroup/memory_events"]);
    let v2 = Tree::new();
    v2.file(
        "sys/fs/cgroup/kubepods.slice/memory.events",
        "low 0\nhigh 0\nmax 12\noom 3\noom_kill 4\noom_group_kill 1\n",
    );
    check(
        &page(&v2.roots(), &[&config]),
        "cgroup_",
        &expect![[r#"
        cgroup_memory_events{cgroup="kubepods.slice",event="high"} 0
        cgroup_memory_events{cgroup="kubepods.slice",event="low"} 0
        cgroup_memory_events{cgroup="kubepods.slice",event="max"} 12
        cgroup_memory_events{cgroup="kubepods.slice",event="oom"} 3
        cgroup_memory_events{cgroup="kubepods.slice",event="oom_group_kill"} 1
        cgroup_memory_events{cgroup="kubepods.slice",event="oom_kill"} 4
    "#]],
    );
    let v1 = Tree::new();
    v1.file(
        "sys/fs/cgroup/memory/kubepods/burstable/memory.oom_control",
        "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    );
    check(
        &page(&v1.roots(), &[&config]),
        "cgroup_",
        &expect![[r#"
        cgroup_memory_events{cgroup="kubepods/burstable",event="oom_kill"} 2
    "#]],
    );
}

#[test]
fn hardware_errors_are_counted_where_there_is_hardware() {
    let tree = Tree::new();
    tree.file("sys/devices/system/edac/mc/mc0/ce_count", "5\n");
    tree.file("sys/devices/system/edac/mc/mc0/ue_count", "0\n");
    tree.file("sys/block/sda/device/ioerr_cnt", "0x1f\n");
    tree.file(
        "sys/bus/pci/devices/0000:00:01.0/aer_dev_correctable",
        "RxErr 0\nBadTLP 7\nTOTAL_ERR_COR 7\n",
    );
    tree.file("sys/class/nvme/nvme0/state", "live\n")
        .file("sys/class/nvme/nvme1/state", "dead\n");
    let ids: Vec<_> = hardware::METRICS.iter().map(|metric| metric.id).collect();
    let page = page(&tree.roots(), &[&section("hardware", &ids)]);
    let values: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    expect![[r#"
        edac_errors{controller="mc0",severity="corrected"} 5
        edac_errors{controller="mc0",severity="uncorrected"} 0
        nvme_live{controller="nvme0"} 1
        nvme_live{controller="nvme1"} 0
        pcie_aer_errors{device="0000:00:01.0",severity="correctable",error="BadTLP"} 7
        pcie_aer_errors{device="0000:00:01.0",severity="correctable",error="TOTAL_ERR_COR"} 7
        scsi_io_errors{device="sda"} 31"#]]
    .assert_eq(&values.join("\n"));
}

#[test]
fn odd_lines_and_missing_files_cost_their_own_series_only() {
    let tree = Tree::new();
    tree.file(
        "proc/net/dev",
        "Inter-|\n face |\n eth0: 1 2 x 4\nbond0:9: 5 6\ngarbage\n\n\u{fffd}: 1\n",
    );
    tree.file(
        "proc/meminfo",
        "MemTotal: 100 kB\nMemFree: nonsense\nUnevictable: 1 kB\n",
    );
    let net = section("net", &["net/rx_bytes", "net/rx_packets", "net/rx_errors"]);
    let memory = section("memory", &["memory/unevictable_used", "memory/bytes_used"]);
    let page = page(
        &tree.roots(),
        &[&net, &memory, &section("cpu", &["cpu/load_1m"])],
    );
    let values: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    expect![[r#"
        memory_unevictable_used 1024
        net_rx_bytes{interface_name="bond0:9"} 5
        net_rx_bytes{interface_name="eth0"} 1
        net_rx_bytes{interface_name="�"} 1
        net_rx_packets{interface_name="bond0:9"} 6
        net_rx_packets{interface_name="eth0"} 2"#]]
    .assert_eq(&values.join("\n"));
}

#[test]
fn a_vanished_interface_takes_its_series_along() {
    let tree = Tree::new();
    let config = section("net", &["net/rx_bytes"]);
    let (store, registry) = (Store::default(), Registry::new());
    let mut monitor = config::load(&self::config("net.json", &config), &store).unwrap();
    store.register(&registry).unwrap();
    let mut after = |dev: &str| {
        tree.file("proc/net/dev", dev);
        let pass = monitor.lanes[0].collect_now(&tree.roots());
        monitor.lanes[0].publish(pass, &store);
        let page = TextEncoder::new()
            .encode_to_string(&registry.gather())
            .unwrap();
        page.matches("interface_name").count()
    };
    assert_eq!(after("\n\neth0: 1 1\nveth1: 2 2\n"), 2);
    assert_eq!(after("\n\neth0: 1 1\n"), 1);
    assert_eq!(after("\n\n"), 0);
}

#[test]
fn a_machine_of_any_size_is_one_pass() {
    let tree = generated(256, 500, 2000);
    let page = page(&tree.roots(), &[SHIPPED, SHIPPED_NET]);
    let count = |prefix: &str| page.lines().filter(|line| line.starts_with(prefix)).count();
    assert_eq!(count("system_cpu_stat{"), 256 * 10);
    assert_eq!(count("disk_operation_count{"), 500 * 2);
    assert_eq!(count("net_rx_bytes{"), 2000);
}

/// The tree of a big machine.
fn generated(cpus: usize, disks: usize, interfaces: usize) -> Tree {
    let tree = Tree::new();
    let mut stat = String::from("cpu  1 2 3 4 5 6 7 8 9 10\n");
    (0..cpus).for_each(|cpu| writeln!(stat, "cpu{cpu} 1 2 3 4 5 6 7 8 9 10").unwrap());
    stat += "intr 5 1 2\nprocesses 7\nprocs_running 1\nprocs_blocked 0\nbtime 1\n";
    tree.file("proc/stat", &stat)
        .file("proc/loadavg", "0.50 0.25 0.10 1/99 1234\n");
    let mut diskstats = String::new();
    for disk in 0..disks {
        writeln!(diskstats, "259 {disk} nvme{disk}n1 1 2 3 4 5 6 7 8 9 10 11").unwrap();
        tree.file(&format!("sys/block/nvme{disk}n1/size"), "1000\n");
    }
    tree.file("proc/diskstats", &diskstats)
        .file("proc/1/mountinfo", "");
    let mut dev = String::from("\n\n");
    for index in 0..interfaces {
        writeln!(dev, "eth{index}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16").unwrap();
    }
    tree.file("proc/1/net/dev", &dev);
    tree.file("proc/meminfo", "MemTotal: 100 kB\n")
        .file("proc/uptime", "5.0 1.0\n");
    tree.file("proc/cmdline", "quiet\n");
    tree
}

#[track_caller]
fn refuses(text: &str, expected: &str) {
    let error = config::load(&config("stats.json", text), &Store::default())
        .err()
        .unwrap();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn bad_configs_name_the_field() {
    refuses(
        r#"{"invokeInterval": "0s"}"#,
        "stats.json:1:20: invokeInterval: 0s is not over 0",
    );
    refuses(
        r#"{"rules": [{"type": "sometimes"}]}"#,
        r#"stats.json:1:21: rules[0].type: "sometimes" is neither temporary nor permanent"#,
    );
    refuses(
        r#"{"rules": [{"type": "permanent", "condition": "Full", "metric": "disk/percent_used"}]}"#,
        r#"stats.json:1:47: rules[0].condition: "Full" is not among the conditions"#,
    );
    refuses(
        r#"{"rules": [{"type": "temporary", "metric": "disk/percent"}]}"#,
        r#"stats.json:1:44: rules[0].metric: there is no metric "disk/percent""#,
    );
    refuses(
        r#"{"rules": [{"type": "temporary", "metric": "disk/percent_used"}]}"#,
        "stats.json:1:12: rules[0].above: a rule needs a bound: above, below or both",
    );
}
