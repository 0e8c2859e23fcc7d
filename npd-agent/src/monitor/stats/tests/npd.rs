//! Compares with NPD: names, types, labels and HELP, and the values.

use std::collections::BTreeMap;

use expect_test::expect;

use super::*;

/// Every metric of both shipped configs: exported name, type, labels, HELP.
const CONTRACT: &str = include_str!("../../../../../tests/fixtures/stats/npd-metrics.tsv");

/// Name → type, labels and HELP, as NPD has them.
fn contract() -> BTreeMap<&'static str, (&'static str, String, &'static str)> {
    let row = |line: &'static str| {
        let columns: Vec<&str> = line.split('\t').collect();
        (columns[0], (columns[1], columns[2].to_owned(), columns[3]))
    };
    CONTRACT.lines().map(row).collect()
}

/// Name → type, labels and HELP, as a page has them.
fn reported(page: &str) -> BTreeMap<&str, (&str, String, &str)> {
    let mut families = BTreeMap::new();
    let mut help = "";
    for line in page.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match &words[..] {
            ["#", "HELP", _, text] => help = text,
            ["#", "TYPE", name, kind] => {
                families.insert(*name, (*kind, String::new(), help));
            }
            _ => {
                let (series, _) = line.rsplit_once(' ').unwrap();
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let labels = labels
                    .split("\",")
                    .filter_map(|label| label.split_once('='));
                let labels: Vec<_> = labels.map(|(label, _)| label).collect();
                families.get_mut(name).unwrap().1 = labels.join(" ");
            }
        }
    }
    families
}

#[test]
fn the_shipped_configs_export_what_npd_does() {
    let mut running = Running::new(&[SHIPPED, SHIPPED_NET]);
    running.sample(&recorded("vm-6.18"));
    // The queue's length is known from the second collection on.
    let (page, errors) = running.sample(&recorded("vm-6.18"));
    assert_eq!(errors, [""; 0]);
    assert_eq!(reported(&page), contract());
}

#[test]
fn every_metric_of_npd_can_be_exported_under_another_name() {
    let renamed = |text: &str| text.replace("\"displayName\": \"", "\"displayName\": \"node/");
    let page = page(
        &recorded("vm-6.18"),
        &[&renamed(SHIPPED), &renamed(SHIPPED_NET)],
    );
    for name in reported(&page).keys() {
        let name = name.strip_prefix("node_").unwrap();
        assert!(contract().contains_key(name), "{name}");
    }
}

#[test]
fn the_average_queue_is_that_of_the_time_between() {
    let tree = Tree::new();
    let config = section("disk", &["disk/avg_queue_len"]);
    let mut running = Running::new(&[&config]);
    let mut after = |weighted: u64| {
        let stat = format!("8 0 sda 1 0 0 0 0 0 0 0 0 0 {weighted}\n");
        tree.file("proc/diskstats", &stat);
        let (page, _) = running.sample(&tree.roots());
        let mut series = page.lines().filter_map(|line| line.split_once("} "));
        series
            .next()
            .map(|(_, value)| value.parse::<f64>().unwrap())
    };
    assert_eq!(after(1000), None);
    assert_eq!(after(1000), Some(0.0));
    // An hour of waiting within a moment.
    assert!(after(3_601_000).unwrap() > 1.0);
}

#[test]
fn counters_are_the_kernels_own() {
    let page = page(&recorded("vm-6.18"), &[SHIPPED, SHIPPED_NET]);
    check(
        &page,
        "cpu_usage_time",
        &expect![[r#"
            cpu_usage_time{state="user"} 1436.24
            cpu_usage_time{state="nice"} 393.37
            cpu_usage_time{state="system"} 466.78
            cpu_usage_time{state="idle"} 3639.95
            cpu_usage_time{state="iowait"} 25.59
            cpu_usage_time{state="irq"} 0
            cpu_usage_time{state="softirq"} 5.55
            cpu_usage_time{state="steal"} 1.29
            cpu_usage_time{state="guest"} 0
            cpu_usage_time{state="guest_nice"} 0
        "#]],
    );
    check(
        &page,
        "system_",
        &expect![[r#"
            system_cpu_stat{cpu="cpu0",stage="user"} 685.68
            system_cpu_stat{cpu="cpu0",stage="nice"} 193.27
            system_cpu_stat{cpu="cpu0",stage="system"} 201.78
            system_cpu_stat{cpu="cpu0",stage="idle"} 1895.67
            system_cpu_stat{cpu="cpu0",stage="iowait"} 5.43
            system_cpu_stat{cpu="cpu0",stage="iRQ"} 0
            system_cpu_stat{cpu="cpu0",stage="softIRQ"} 1.51
            system_cpu_stat{cpu="cpu0",stage="steal"} 0.62
            system_cpu_stat{cpu="cpu0",stage="guest"} 0
            system_cpu_stat{cpu="cpu0",stage="guestNice"} 0
            system_cpu_stat{cpu="cpu1",stage="user"} 750.55
            system_cpu_stat{cpu="cpu1",stage="nice"} 200.1
            system_cpu_stat{cpu="cpu1",stage="system"} 264.99
            system_cpu_stat{cpu="cpu1",stage="idle"} 1744.27
            system_cpu_stat{cpu="cpu1",stage="iowait"} 20.16
            system_cpu_stat{cpu="cpu1",stage="iRQ"} 0
            system_cpu_stat{cpu="cpu1",stage="softIRQ"} 4.03
            system_cpu_stat{cpu="cpu1",stage="steal"} 0.66
            system_cpu_stat{cpu="cpu1",stage="guest"} 0
            system_cpu_stat{cpu="cpu1",stage="guestNice"} 0
            system_interrupts_total 3706900
            system_os_feature{os_feature="KTD",value=""} 0
            system_os_feature{os_feature="UnifiedCgroupHierarchy",value=""} 0
            system_os_feature{os_feature="KernelModuleIntegrity",value=""} 0
            system_os_feature{os_feature="GPUSupport",value=""} 0
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
            net_rx_bytes{interface_name="lo"} 145593623
            net_rx_bytes{interface_name="ifb0"} 0
            net_rx_bytes{interface_name="ifb1"} 0
            net_rx_bytes{interface_name="eth0"} 586909828
        "#]],
    );
}

#[test]
fn memory_adds_up() {
    let page = page(&recorded("vm-6.18"), &[SHIPPED]);
    check(
        &page,
        "memory_",
        &expect![[r#"
            memory_anonymous_used{state="active"} 1605632
            memory_anonymous_used{state="inactive"} 13266944
            memory_bytes_used{state="free"} 13744726016
            memory_bytes_used{state="buffered"} 29396992
            memory_bytes_used{state="cached"} 9897766912
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
