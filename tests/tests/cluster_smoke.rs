//! The Kubernetes that other tests rely on: it starts, does what they need, and leaves no trace.

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};

use anyhow::ensure;
use npd_tests::agent::PATIENCE;
use npd_tests::cluster::{self, ApiServer, Client, Node, eventually, small_pod};
use npd_tests::harness::{self, Need, Test};
use tempfile::TempDir;

/// They need no agent. But with it as a need, `cargo test` alone builds no Kubernetes and starts no
/// node.
const TESTS: &[Test] = &[
    Test {
        name: "the_api_server_keeps_its_objects_over_a_crash",
        needs: &[Need::Agent, Need::ApiServer],
        run: the_api_server_keeps_its_objects_over_a_crash,
    },
    Test {
        name: "the_agent_has_the_rights_of_npd_and_no_others",
        needs: &[Need::Agent, Need::Cluster],
        run: the_agent_has_the_rights_of_npd_and_no_others,
    },
    Test {
        name: "the_node_runs_pods_within_limits_and_leaves_nothing_behind",
        needs: &[Need::Agent, Need::Node],
        run: the_node_runs_pods_within_limits_and_leaves_nothing_behind,
    },
];

fn main() -> ExitCode {
    harness::serial(TESTS)
}

fn the_api_server_keeps_its_objects_over_a_crash() -> anyhow::Result<()> {
    let dir = TempDir::new()?;
    let mut api = ApiServer::start(dir.path())?;
    api.client.kubectl(&["create", "namespace", "saved"])?;
    let agent = agent(&api.client)?;

    api.kill9();
    ensure!(api.client.kubectl(&["get", "namespaces"]).is_err());
    api.restart()?;
    api.client.kubectl(&["get", "namespace", "saved"])?;
    agent.kubectl(&["auth", "whoami"])?;
    Ok(())
}

fn the_agent_has_the_rights_of_npd_and_no_others() -> anyhow::Result<()> {
    let dir = TempDir::new()?;
    let (admin, _server) = cluster::connect(dir.path())?;
    let agent = agent(&admin)?;
    let may = |what: &str| {
        let args = ["auth", "can-i"].into_iter().chain(what.split(' '));
        agent.kubectl(&args.collect::<Vec<_>>()).is_ok()
    };
    ensure!(may("get nodes"));
    ensure!(may("patch nodes --subresource=status"));
    ensure!(may("create events"));
    ensure!(may("patch events.events.k8s.io"));
    ensure!(!may("patch nodes"));
    ensure!(!may("list nodes"));
    ensure!(!may("get pods"));
    Ok(())
}

/// The pods are as those of NPD's own manifest, without `hostNetwork`, and reach the API server.
fn the_node_runs_pods_within_limits_and_leaves_nothing_behind() -> anyhow::Result<()> {
    let before = machine()?;
    let node = Node::start()?;
    ensure!(Node::start().is_err(), "there are two nodes at a time");

    let client = &node.client;
    client.apply(&small_pod("quiet", "[]"))?;
    client.apply(&small_pod("hungry", r#"["allocate", "200000000"]"#))?;
    eventually(PATIENCE, || {
        let reason = "jsonpath={.status.containerStatuses[0].state.terminated.reason}";
        let reason = client.kubectl(&["get", "pod", "hungry", "-o", reason])?;
        ensure!(reason == "OOMKilled", "the hungry pod's end is {reason:?}");
        Ok(())
    })?;
    client.kubectl(&["wait", "--timeout=5m", "--for=condition=Ready", "pod/quiet"])?;
    client.kubectl(&["exec", "quiet", "--", "/pause", "connect"])?;

    drop(node);
    let after = machine()?;
    let changes: Vec<_> = before.symmetric_difference(&after).collect();
    ensure!(changes.is_empty(), "the node changed {changes:#?}");
    Ok(())
}

fn agent(admin: &Client) -> anyhow::Result<Client> {
    let token = admin.token_for("npd-test")?;
    admin.with_token("npd-test", &token)
}

/// A line for each thing that a node might leave behind or change.
fn machine() -> anyhow::Result<BTreeSet<String>> {
    let list = "cat /proc/self/mountinfo
        grep . /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic /proc/sys/kernel/panic_on_oops
        find /sys/fs/cgroup -name 'kubepods*'
        ls -d /etc/* /opt/* /run/* /usr/libexec/* /var/lib/* /var/log/*
        ps -eo stat,args | grep -v ^Z | grep -E '[/]cluster/node/|[c]ontainerd-shim|[/]pause'";
    let output = Command::new("sh").args(["-c", list]).output()?;
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().map(str::to_owned).collect())
}
