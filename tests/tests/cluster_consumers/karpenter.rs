//! The real Karpenter, whose repair policies name the agent's aliases.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use npd_tests::agent::PATIENCE;
use npd_tests::cluster::{ApiServer, Client, Karpenter, Lab, eventually};
use npd_tests::faults::disk::{Disk, Type};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::scene;

/// Longer than tests/karpenter/main.go tolerates.
const BEYOND_TOLERATION: Duration = Duration::from_secs(12);

const CLAIM: &str = "npd-test";

/// A fault that ends in time, and an agent that is killed, cost no node. A fault that stays costs one.
pub(crate) fn karpenter_replaces_only_a_node_that_stays_sick() -> anyhow::Result<()> {
    let dir = TempDir::new()?;
    let server = ApiServer::start(dir.path())?;
    let admin = &server.client;
    let _karpenter = Karpenter::start(admin, dir.path())?;
    let node = claim_node(admin)?;
    let lab = Lab::on(admin, &node)?;
    lab.write_condition("kubelet", "Ready", "KubeletReady")?;

    let disk = Disk::new(Type::Ext4)?;
    let mount = disk.mount("rw")?;
    let probes = lab.write("ebpf.json", &scene::probes(mount.point())?.to_string())?;
    let probes = format!("--config.ebpf-monitor={}", probes.display());
    let start = || lab.start_with(&[&probes, scene::ALIASES, "--state-dir=state"]);
    let agent = start()?;
    lab.expect("StorageReady", "True", "DiskIsReady", PATIENCE)?;
    mount.remount("ro")?;
    lab.expect("StorageReady", "False", "FilesystemIsReadOnly", PATIENCE)?;
    mount.remount("rw")?;
    lab.expect("StorageReady", "True", "DiskIsReady", PATIENCE)?;
    agent.kill()?;
    let _agent = start()?;
    sleep(BEYOND_TOLERATION);
    ensure!(
        !is_given_up(admin)?,
        "Karpenter replaces a node that is well"
    );

    mount.remount("ro")?;
    eventually(PATIENCE, || {
        ensure!(is_given_up(admin)?, "Karpenter keeps a sick node");
        Ok(())
    })
}

/// Asks Karpenter for a node, and returns its name.
fn claim_node(admin: &Client) -> anyhow::Result<String> {
    let requirement =
        |key: &str, value: &str| json!({"key": key, "operator": "In", "values": [value]});
    let class = json!({
        "apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass",
        "metadata": {"name": CLAIM},
    });
    let claim = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
        "metadata": {"name": CLAIM},
        "spec": {
            "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": CLAIM},
            "requirements": [
                requirement("node.kubernetes.io/instance-type", "c-2x-amd64-linux"),
                requirement("karpenter.sh/capacity-type", "on-demand"),
            ],
            "resources": {"requests": {"cpu": "1"}},
        },
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [class, claim]});
    // Karpenter makes these kinds known when it starts.
    eventually(PATIENCE, || admin.apply(&list.to_string()))?;
    eventually(PATIENCE, || {
        let claim = get_claim(admin)?.context("the claim is gone")?;
        let name = claim["status"]["nodeName"].as_str();
        Ok(name
            .with_context(|| format!("no Node yet: {claim:#}"))?
            .to_owned())
    })
}

/// Whether Karpenter has decided to replace the node.
fn is_given_up(admin: &Client) -> anyhow::Result<bool> {
    let claim = get_claim(admin)?;
    Ok(claim.is_none_or(|claim| claim["metadata"]["deletionTimestamp"].is_string()))
}

fn get_claim(admin: &Client) -> anyhow::Result<Option<Value>> {
    let found = admin.kubectl(&[
        "get",
        "nodeclaim",
        CLAIM,
        "--output=json",
        "--ignore-not-found",
    ])?;
    if found.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&found)?))
}
