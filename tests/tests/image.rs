//! The agent's image: its content, and that everything in it runs there.

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
        name: "a_derived_image_adds_packages",
        needs: &[
            Need::Agent,
            Need::Root,
            Need::Tool("apt-get"),
            Need::DebianSources,
        ],
        run: a_derived_image_adds_packages,
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
    let monitors = ["system-log", "ebpf", "system-stats"];
    let flags = monitors.map(|monitor| format!("--config.{monitor}-monitor=builtin"));
    let mut entrypoint = vec!["/node-problem-detector".to_owned()];
    entrypoint.extend(flags);
    assert_eq!(image.config["Entrypoint"], json!(entrypoint));

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

/// A command, its exit code and its output, where there is no systemd, no DNS and no network. What
/// the scripts say is what NPD's say, except where that is not so: see docs/compatibility.md.
const COMMANDS: &[(&str, i32, &str)] = &[
    (
        "/config/plugin/check_ntp.sh",
        2,
        "Could not find 'systemctl' - require systemd",
    ),
    // A systemctl that was added, but no systemd: it would say that all is well.
    (
        "printf '#!/bin/sh\\nexit ${SYSTEMCTL:-0}' >/tmp/systemctl && chmod +x /tmp/systemctl
         PATH=/tmp:$PATH /config/plugin/check_ntp.sh",
        2,
        "cannot tell: systemd is not to be reached",
    ),
    (
        "mount -t tmpfs none /run && mkdir -p /run/systemd/system
         for SYSTEMCTL in 0 3 4 1
         do export SYSTEMCTL; PATH=/tmp:$PATH /config/plugin/check_ntp.sh; echo $?
         done",
        0,
        "ntp.service is running\n0\nntp.service is not running\n1\nntp.service is not running\n1\n\
         cannot tell: systemctl does not reach systemd\n2",
    ),
    (
        "/config/plugin/dns_problem.sh",
        1,
        "DNS lookup to kubernetes.default is not working",
    ),
    (
        "PATH=/nowhere /config/plugin/dns_problem.sh",
        2,
        "Could not find 'getent' - require getent",
    ),
    (
        "echo 10.0.0.1 kubernetes.default >/tmp/hosts && mount --bind /tmp/hosts /etc/hosts &&
         /config/plugin/dns_problem.sh",
        0,
        "DNS lookup to kubernetes.default is working",
    ),
    (
        "/config/plugin/iptables_mode.sh",
        0,
        "No iptables rules found",
    ),
    (
        "iptables-nft -A INPUT -j ACCEPT && /config/plugin/iptables_mode.sh",
        0,
        "Using iptables-nft: 1 rules",
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
    (
        "mount -t tmpfs none /proc/sys/net && /config/plugin/network_problem.sh",
        2,
        "",
    ),
    (
        "mount -t tmpfs none /proc/sys/net && mkdir /proc/sys/net/netfilter
         cd /proc/sys/net/netfilter && echo 100 >nf_conntrack_max
         for count in 90 95
         do echo $count >nf_conntrack_count; /config/plugin/network_problem.sh; echo $?
         done",
        0,
        "Conntrack table usage: 90 out of 100\n0\nConntrack table usage over 90%: 95 out of 100\n1",
    ),
    // NPD's own scripts are for bash.
    (
        "bash -c '[[ abc =~ ^a(.*)c$ ]] && echo ${BASH_REMATCH[1]}'",
        0,
        "b",
    ),
    (
        "for program in awk conntrack cut date df findmnt getent grep head ip iptables \
           lsblk nsenter sed ss stat tail timeout tr wc xargs
         do command -v $program >/dev/null || echo no $program
         done",
        0,
        "",
    ),
    // What these say in a container is not about the host.
    ("command -v systemctl || command -v journalctl", 127, ""),
    // What the image has of the machine that built it.
    ("ls /etc/hostname /etc/resolv.conf 2>/dev/null", 2, ""),
    // Debian's own, wherever the packages came from.
    (
        "sed 's/^deb http:[^ ]*debian[.]org/deb/' /etc/apt/sources.list; ls /etc/apt/sources.list.d",
        0,
        "deb/debian bookworm main\ndeb/debian bookworm-updates main\n\
         deb/debian-security bookworm-security main",
    ),
    // Over a link, the node's time zone would be mounted somewhere else.
    ("test ! -L /etc/localtime && date +%Z", 0, "UTC"),
];

/// Runs the command `$1` in the root `$0`, as a container runtime does: not with this machine's PATH.
const CONTAINER: &str = r#"
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    mkdir -p "$0/dev" && mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" &&
    exec chroot "$0" /bin/sh -c "$1""#;

fn plugins_find_their_programs_in_the_full_image() -> anyhow::Result<()> {
    let image = Image::read(&image::build(&[])?)?;
    assert_eq!(image.name, format!("docker.io/library/npd-ebpf:{VERSION}"));
    let root = TempDir::new()?;
    image.unpack(root.path())?;
    for (command, code, text) in COMMANDS {
        check(root.path(), &["--net"], command, *code, text)?;
    }
    Ok(())
}

/// Runs `command` in `root`, in namespaces of its own.
fn check(
    root: &Path,
    namespaces: &[&str],
    command: &str,
    code: i32,
    text: &str,
) -> anyhow::Result<()> {
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--fork"])
        .args(namespaces)
        .args(["sh", "-c", CONTAINER])
        .args([root, Path::new(command)])
        .output()?;
    let stdout = String::from_utf8(output.stdout)?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), stdout.trim_end()),
        (Some(code), text),
        "{command}: {stderr}"
    );
    Ok(())
}

/// What a Dockerfile that begins with our image would run, and how the test checks the result.
const STEPS: &[(&str, &str)] = &[
    (
        "apt-get update >&2 && apt-get install -y jq >&2 && echo '{\"a\": 1}' | jq .a",
        "1",
    ),
    (
        "clean-install ethtool psmisc >&2 && ethtool --version | cut -d' ' -f1 &&
         find /var/lib/apt/lists /var/cache/apt/archives -type f ! -name lock && command -v killall",
        "ethtool\n/usr/bin/killall",
    ),
];

/// This machine's way to Debian: its resolver, proxies and mirrors.
const NETWORK: &str = r#"
    cp /etc/resolv.conf /etc/hosts "$0/etc/" &&
    apt-config dump | grep ^Acquire:: >"$0/etc/apt/apt.conf.d/99machine" &&
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
        'Origin: Debian' | grep ' bookworm' >"$0/etc/apt/sources.list""#;

fn a_derived_image_adds_packages() -> anyhow::Result<()> {
    let root = TempDir::new()?;
    Image::read(&image::build(&[])?)?.unpack(root.path())?;
    let network = Command::new("sh")
        .args(["-c", NETWORK])
        .arg(root.path())
        .status()?;
    ensure!(network.success(), "this machine has no sources of bookworm");
    for (step, text) in STEPS {
        check(root.path(), &[], step, 0, text)?;
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
