//! Machines and kernels that behave oddly.

use expect_test::expect;

use super::*;

#[test]
fn odd_lines_and_missing_files_cost_their_own_series_only() {
    let tree = Tree::new();
    tree.file(
        "proc/self/net/dev",
        "Inter-|\n face |\n eth0: 1 2 x 4\nbond0:9: 5 6\ngarbage\n\n\u{fffd}: 1\n",
    );
    tree.file(
        "proc/meminfo",
        "MemTotal: 100 kB\nMemFree: nonsense\nUnevictable: 1 kB\n",
    );
    tree.file("proc/stat", "cpu  1 2\ncpu0 1 x\nintr\nprocesses 7");
    let net = section("net", &["net/rx_bytes", "net/rx_packets", "net/rx_errors"]);
    let memory = section("memory", &["memory/unevictable_used", "memory/bytes_used"]);
    let ids = ["cpu/load_1m", "cpu/usage_time", "system/processes_total"];
    let cpu = section("cpu", &ids);
    let (page, errors) = Running::new(&[&net, &memory, &cpu]).sample(&tree.roots());
    check_all(
        &page,
        &expect![[r#"
            cpu_usage_time{state="user"} 0.01
            cpu_usage_time{state="nice"} 0.02
            memory_unevictable_used 1024
            net_rx_bytes{interface_name="eth0"} 1
            net_rx_bytes{interface_name="bond0:9"} 5
            net_rx_bytes{interface_name="�"} 1
            net_rx_packets{interface_name="eth0"} 2
            net_rx_packets{interface_name="bond0:9"} 6
            system_processes_total 7
        "#]],
    );
    // The first that was wrong, without the name of the temporary folder.
    let reason = errors[0].split(": ").last().unwrap();
    assert_eq!(reason, "No such file or directory (os error 2)");
}

#[test]
fn no_tree_at_all_shows_nothing() {
    let configs: Vec<_> = SECTIONS
        .iter()
        .map(|section| whole(section.name, section.metrics))
        .collect();
    let configs: Vec<_> = configs.iter().map(String::as_str).collect();
    let (page, _) = Running::new(&configs).sample(&roots(Path::new("/nowhere")));
    // The kernel's clock needs none.
    let clock = |line: &&str| line.trim_start_matches("# HELP ").starts_with("clock_");
    let shown = page
        .lines()
        .filter(|line| !line.starts_with("# TYPE ") && !clock(line));
    assert_eq!(shown.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_vanished_interface_takes_its_series_along() {
    let tree = Tree::new();
    let config = section("net", &["net/rx_bytes"]);
    let mut running = Running::new(&[&config]);
    let mut after = |dev: &str| {
        tree.file("proc/1/net/dev", dev);
        let (page, _) = running.sample(&tree.roots());
        page.matches("interface_name").count()
    };
    assert_eq!(after("eth0: 1 1\nveth1: 2 2\n"), 2);
    assert_eq!(after("eth0: 1 1\n"), 1);
    assert_eq!(after("\n"), 0);
}

#[test]
fn a_processor_that_is_taken_away_takes_its_series_along() {
    let tree = Tree::new();
    let config = section("cpu", &["system/cpu_stat"]);
    let mut running = Running::new(&[&config]);
    let mut after = |stat: &str| {
        tree.file("proc/stat", stat);
        let (page, _) = running.sample(&tree.roots());
        let user = page.lines().filter(|line| line.contains("user"));
        user.map(str::to_owned).collect::<Vec<_>>()
    };
    let cpu =
        |cpu: u8, time: &str| format!("system_cpu_stat{{cpu=\"cpu{cpu}\",stage=\"user\"}} {time}");
    assert_eq!(
        after("cpu0 100\ncpu1 200\ncpu2 300\n"),
        [cpu(0, "1"), cpu(1, "2"), cpu(2, "3")]
    );
    assert_eq!(after("cpu0 100\ncpu2 400\n"), [cpu(0, "1"), cpu(2, "4")]);
}
