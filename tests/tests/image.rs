//! The agent's image: what it is made of, and that everything in it runs there.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::ensure;
use npd_tests::cluster::{Node, eventually};
use npd_tests::harness::{self, Need, Test};
use npd_tests::image::{self, Image};
use serde_json::json;
use tempfile::TempDir;

const TESTS: &[Test] = &[
    Test {
        name: "what_is_built_twice_is_the_same",
        needs: &[Need::Agent, Need::Root, Need::Tool("apt-get")],
        run: what_is_built_twice_is_the_same,
    },
    Test {
        name: "the_minimal_image_has_the_layout_of_npd_and_needs_no_library",
        needs: &[Need::Agent, Need::Root],
        run: the_minimal_image_has_the_layout_of_npd_and_needs_no_library,
    },
    Test {
        name: "plugins_find_their_programs_in_the_full_image",
        needs: &[Need::Agent, Need::Root, Need::Tool("apt-get")],
        run: plugins_find_their_programs_in_the_full_image,
    },
    Test {
        name: "the_kubelet_runs_it_by_the_name_in_the_manifests",
        needs: &[Need::Agent, Need::Node],
        run: the_kubelet_runs_it_by_the_name_in_the_manifests,
    },
];

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    harness::serial(TESTS)
}

fn what_is_built_twice_is_the_same() -> anyhow::Result<()> {
    for flags in [&[][..], &["--minimal"]] {
        let first = fs::read(image::build(flags)?)?;
        let second = fs::read(image::build(flags)?)?;
        ensure!(first == second, "two builds with {flags:?} differ");
    }
    Ok(())
}

fn the_minimal_image_has_the_layout_of_npd_and_needs_no_library() -> anyhow::Result<()> {
    let image = Image::read(&image::build(&["--minimal"])?)?;
    assert_eq!(
        image.name,
        format!("docker.io/library/npd-ebpf:{VERSION}-minimal")
    );
    let monitors =
        "--config.system-log-monitor=/config/kernel-monitor.json,/config/readonly-monitor.json";
    assert_eq!(
        image.config["Entrypoint"],
        json!(["/node-problem-detector", monitors])
    );

    let root = TempDir::new()?;
    image.unpack(root.path())?;
    let names = fs::read_dir(root.path())?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<anyhow::Result<Vec<_>>>()?;
    names.sort();
    assert_eq!(names, ["config", "home", "node-problem-detector"]);
    let kernel_monitor = fs::read(root.path().join("config/kernel-monitor.json"))?;
    assert_eq!(
        kernel_monitor,
        fs::read("../deploy/config/kernel-monitor.json")?
    );
    for plugin in ["health-checker", "log-counter"] {
        let link = root.path().join("home/kubernetes/bin").join(plugin);
        assert_eq!(fs::read_link(link)?, Path::new("/node-problem-detector"));
    }
    let checker = Command::new("chroot")
        .arg(root.path())
        .args(["/home/kubernetes/bin/health-checker", "--help"])
        .output()?;
    ensure!(String::from_utf8(checker.stdout)?.contains("Usage: health-checker"));
    let version = Command::new("chroot")
        .arg(root.path())
        .args(["/node-problem-detector", "--version"])
        .output()?;
    assert_eq!(String::from_utf8(version.stdout)?, format!("{VERSION}\n"));
    Ok(())
}

/// A command, its exit code and its output, where there is no systemd, no DNS and no network.
const COMMANDS: &[(&str, i32, &str)] = &[
    (
        "/config/plugin/check_ntp.sh",
        1,
        "ntp.service is not running",
    ),
    (
        "/config/plugin/dns_problem.sh",
        1,
        "DNS lookup to kubernetes.default is not working",
    ),
    (
        "/config/plugin/iptables_mode.sh",
        2,
        "No iptables rules found",
    ),
    (
        "cd /tmp && printf '#!/bin/sh\\necho -A INPUT' >iptables-nft-save && chmod +x iptables-nft-save
         cp iptables-nft-save iptables-legacy-save && PATH=/tmp:$PATH /config/plugin/iptables_mode.sh",
        1,
        "Found rules from both versions, iptables-legacy: 1 iptables-nft: 1",
    ),
    (
        "/config/plugin/network_problem.sh | grep -q '^Conntrack table usage: 0 out of' ||
         test ! -e /proc/sys/net/netfilter/nf_conntrack_count",
        0,
        "",
    ),
    // NPD's own scripts are for bash.
    (
        "bash -c '[[ abc =~ ^a(.*)c$ ]] && echo ${BASH_REMATCH[1]}'",
        0,
        "b",
    ),
    (
        "for program in awk conntrack cut date df findmnt getent grep head ip iptables \
           journalctl lsblk nsenter sed ss stat systemctl tail timeout tr wc xargs
         do command -v $program >/dev/null || echo no $program
         done",
        0,
        "",
    ),
    // What the image has of the machine that built it.
    (
        "ls /etc/apt/sources.list /etc/hostname /etc/resolv.conf 2>/dev/null",
        2,
        "",
    ),
    // Over a link, the node's time zone would be mounted somewhere else.
    ("test ! -L /etc/localtime && date +%Z", 0, "UTC"),
];

/// Runs the command `$1` in the root `$0`, as a container runtime does.
const CONTAINER: &str = r#"
    mkdir -p "$0/dev" && mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" &&
    exec chroot "$0" /bin/sh -c "$1""#;

fn plugins_find_their_programs_in_the_full_image() -> anyhow::Result<()> {
    let image = Image::read(&image::build(&[])?)?;
    assert_eq!(image.name, format!("docker.io/library/npd-ebpf:{VERSION}"));
    let root = TempDir::new()?;
    image.unpack(root.path())?;
    for (command, code, text) in COMMANDS {
        let output = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "sh", "-c", CONTAINER])
            .args([root.path(), Path::new(command)])
            .output()?;
        let stdout = String::from_utf8(output.stdout)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), stdout.trim_end()),
            (Some(*code), *text),
            "{command}: {stderr}"
        );
    }
    Ok(())
}

fn the_kubelet_runs_it_by_the_name_in_the_manifests() -> anyhow::Result<()> {
    let image = image::build(&[])?;
    let node = Node::start()?;
    node.import_image(&image)?;
    let client = &node.client;
    client.apply(&format!(
        "
apiVersion: v1
kind: Pod
metadata: {{ name: version }}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: npd-ebpf:{VERSION}
    imagePullPolicy: Never
    args: [--version]
"
    ))?;
    eventually(Duration::from_mins(2), || {
        let phase = client.kubectl(&["get", "pod", "version", "-o", "jsonpath={.status.phase}"])?;
        ensure!(phase == "Succeeded", "the pod is {phase}");
        Ok(())
    })?;
    assert_eq!(
        client.kubectl(&["logs", "version"])?,
        format!("{VERSION}\n")
    );
    Ok(())
}
