//! Conditions about the node's storage.

use std::fs;
use std::path::Path;

use super::*;

const RULES: &str = r#"{"plugin": "kmsg", "lookback": "1h", "conditions": [{"type": "XfsShutdown"}],
    "rules": [{"type": "permanent", "condition": "XfsShutdown", "reason": "XfsHasShutdown",
        "match": "record", "pattern": "XFS \\((?P<device>[^)]+)\\): .*Shutting down filesystem",
        "mountPoints": ["/var/lib/kubelet"]}]}"#;

/// A machine where these devices are mounted, each on a path.
fn mount(root: &Path, mounts: &[(&str, &str)]) {
    mount_as("xfs", root, mounts);
}

fn mount_as(fs_type: &str, root: &Path, mounts: &[(&str, &str)]) {
    let lines = mounts
        .iter()
        .map(|(device, path)| format!("1 0 0:99 / {path} rw - {fs_type} /dev/{device} rw\n"));
    fs::create_dir_all(root.join("1")).unwrap();
    fs::write(root.join("1/mountinfo"), lines.collect::<String>()).unwrap();
}

/// A monitor on a machine with this `/proc`.
fn bench(proc: &Path) -> KmsgBench {
    let mut bench = KmsgBench::new(&[RULES]);
    bench.log.starts = vec![Duration::ZERO];
    bench.reporter.node = Arc::new(Node {
        name: "n".to_owned(),
        boot_id: String::new(),
        roots: Roots {
            proc: proc.to_owned(),
            ..Roots::from_env(|_| None)
        },
    });
    bench
}

#[tokio::test]
async fn a_text_about_another_type_of_file_system_sets_no_condition() {
    let folder = tempfile::tempdir().unwrap();
    mount_as("ext4", folder.path(), &[("sda1", "/")]);
    let mut bench = bench(folder.path());
    let record = "2,1,1000000,-;XFS (sda1): I/O Error. Shutting down filesystem.";
    let _gone = bench.read(recorded(record)).await;
    check(
        &bench.found(),
        &expect![[r#"
            one.json XfsHasShutdown -: "XFS (sda1): I/O Error. Shutting down filesystem." filesystem sda1
        "#]],
    );
}

#[tokio::test]
async fn only_the_nodes_own_device_sets_the_condition_until_it_is_unmounted() {
    let folder = tempfile::tempdir().unwrap();
    let pods_path = "/var/lib/kubelet/pods/u/volumes/v/mount";
    mount(folder.path(), &[("sda1", "/"), ("sdk", pods_path)]);
    let mut bench = bench(folder.path());
    let records = "2,1,1000000,-;XFS (sdk): I/O Error. Shutting down filesystem.\n\
                   2,2,1000000,-;XFS (loop0): I/O Error. Shutting down filesystem.\n\
                   2,3,1000000,-;XFS (sda1): I/O Error. Shutting down filesystem.";
    let _gone = bench.read(recorded(records)).await;
    check(
        &bench.found(),
        &expect![[r#"
            one.json XfsHasShutdown -: "XFS (sdk): I/O Error. Shutting down filesystem." filesystem sdk
            one.json XfsHasShutdown -: "XFS (loop0): I/O Error. Shutting down filesystem." filesystem loop0
            one.json XfsHasShutdown XfsShutdown: "XFS (sda1): I/O Error. Shutting down filesystem." filesystem sda1
        "#]],
    );
    assert_eq!(
        bench.log.over(&bench.reporter).await.len(),
        0,
        "it is still mounted"
    );
    mount(folder.path(), &[("sdb1", "/"), ("sdk", pods_path)]);
    let over = bench.log.over(&bench.reporter).await;
    let over: Vec<_> = over
        .iter()
        .map(|end| (end.present, end.subject.clone()))
        .collect();
    assert_eq!(
        over,
        [(
            ConditionStatus::False,
            Some(Subject::new("filesystem", "sda1"))
        )]
    );
}
