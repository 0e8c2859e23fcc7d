//! A cluster that has our image, and what its users see of the node.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use npd_tests::agent::PATIENCE;
use npd_tests::cluster::{Node, eventually, small_pod};
use npd_tests::image;

use serde_json::Value;

/// How long the replacement of a pod may take, images aside.
const ROLLOUT: &str = "--timeout=5m";

/// Where the agent's objects are.
const NAMESPACE: &str = "--namespace=kube-system";

const DAEMONSET: &str = "daemonset/node-problem-detector";

/// The cluster of all tests. A static value is not dropped, so [`stop`] does that.
static LAB: Mutex<Option<Arc<Lab>>> = Mutex::new(None);

/// One node, which the agent runs on as a `DaemonSet`.
pub(crate) struct Lab {
    pub(crate) node: Node,
}

/// The cluster, started when it is first asked for.
pub(crate) fn lab() -> anyhow::Result<Arc<Lab>> {
    let mut shared = LAB.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lab) = &*shared {
        return Ok(Arc::clone(lab));
    }
    let image = image::build(&[])?;
    let node = Node::start()?;
    node.import_image(&image)?;
    let lab = Arc::new(Lab { node });
    *shared = Some(Arc::clone(&lab));
    Ok(lab)
}

/// Stops the cluster, if there is one.
pub(crate) fn stop() {
    let mut shared = LAB.lock().unwrap_or_else(PoisonError::into_inner);
    *shared = None;
}

/// The folder of a file or folder of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

impl Lab {
    pub(crate) fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        self.node.client.kubectl(args)
    }

    /// The same, understood.
    pub(crate) fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let text = self.kubectl(&[args, &["--output=json"]].concat())?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The same for a list.
    fn list(&self, args: &[&str]) -> anyhow::Result<Vec<Value>> {
        let list = self.json(args)?;
        list["items"].as_array().cloned().context("no list")
    }

    /// Applies a kustomization, or a manifest, and waits until the agent is ready.
    pub(crate) fn deploy(&self, path: &str) -> anyhow::Result<()> {
        self.kubectl(&["apply", &argument(path)])?;
        let rollout = self.kubectl(&["rollout", "status", DAEMONSET, NAMESPACE, ROLLOUT]);
        rollout.map(drop).map_err(|error| {
            let pods = self.kubectl(&["describe", "pods", NAMESPACE]);
            let log = self.log();
            error.context(format!("{path}: {}{}", shown(pods), shown(log)))
        })
    }

    /// Takes the agent off the node, and waits until it is gone.
    pub(crate) fn remove(&self, path: &str) -> anyhow::Result<()> {
        let wait = "--wait=true";
        self.kubectl(&["delete", &argument(path), "--ignore-not-found", wait])?;
        eventually(PATIENCE, || {
            let pods = self.pods()?;
            ensure!(pods.is_empty(), "{} pods are left", pods.len());
            Ok(())
        })
    }

    fn pods(&self) -> anyhow::Result<Vec<Value>> {
        let label = "--selector=app=node-problem-detector";
        self.list(&["get", "pods", NAMESPACE, label])
    }

    /// The agent's one pod.
    pub(crate) fn pod(&self) -> anyhow::Result<Value> {
        let mut pods = self.pods()?;
        ensure!(pods.len() == 1, "there are {} pods", pods.len());
        pods.pop().context("no pod")
    }

    /// What the agent has logged.
    pub(crate) fn log(&self) -> anyhow::Result<String> {
        self.kubectl(&["logs", DAEMONSET, NAMESPACE])
    }

    /// Deletes the agent's pod and waits until another one is ready.
    pub(crate) fn replace_pod(&self) -> anyhow::Result<()> {
        let pod = self.pod()?;
        let name = pod["metadata"]["name"].as_str().context("no name")?;
        self.kubectl(&["delete", "pod", name, NAMESPACE])?;
        self.kubectl(&["rollout", "status", DAEMONSET, NAMESPACE, ROLLOUT])?;
        let replacement = self.pod()?;
        ensure!(
            replacement["metadata"]["uid"] != pod["metadata"]["uid"],
            "{name} is still there"
        );
        Ok(())
    }

    /// The conditions of the Node for which `wanted` says yes to the type.
    pub(crate) fn conditions(&self, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Value>> {
        let node = self.json(&["get", "node", self.node.name])?;
        let conditions = node["status"]["conditions"].as_array();
        let mut conditions = conditions.context("no conditions")?.clone();
        conditions.retain(|condition| condition["type"].as_str().is_some_and(&wanted));
        Ok(conditions)
    }

    /// Waits until a condition has this state, and returns it.
    pub(crate) fn condition(&self, r#type: &str, status: &str) -> anyhow::Result<Value> {
        eventually(PATIENCE, || {
            let found = self.conditions(|of| of == r#type)?.pop();
            let found = found.with_context(|| format!("there is no condition {type}"))?;
            ensure!(found["status"] == status, "expected {status}: {found:#}");
            Ok(found)
        })
    }

    /// The Events about an object, for example `Node/localhost`, with this reason.
    pub(crate) fn events(&self, object: &str, reason: &str) -> anyhow::Result<Vec<Value>> {
        let (kind, name) = object.split_once('/').context("no kind")?;
        let fields = format!(
            "--field-selector=involvedObject.kind={kind},involvedObject.name={name},reason={reason}"
        );
        self.list(&["get", "events", "--all-namespaces", &fields])
    }

    /// How often the Events about an object with this reason say that it happened.
    pub(crate) fn count(&self, object: &str, reason: &str) -> anyhow::Result<u64> {
        let events = self.events(object, reason)?;
        Ok(events
            .iter()
            .filter_map(|event| event["count"].as_u64())
            .sum())
    }

    /// Waits until they say that it happened so often.
    pub(crate) fn wait_for_count(
        &self,
        object: &str,
        reason: &str,
        expected: u64,
    ) -> anyhow::Result<()> {
        eventually(PATIENCE, || {
            let count = self.count(object, reason)?;
            ensure!(
                count == expected,
                "{count} of {expected} {reason} on {object}"
            );
            Ok(())
        })
    }

    /// Waits until one Event about an object with this reason has a message that begins so, and says
    /// that it happened once.
    pub(crate) fn wait_for_one(
        &self,
        object: &str,
        reason: &str,
        message: &str,
    ) -> anyhow::Result<()> {
        eventually(PATIENCE, || {
            let mut events = self.events(object, reason)?;
            let begins = |event: &Value| {
                let text = event["message"].as_str();
                text.is_some_and(|text| text.starts_with(message))
            };
            events.retain(begins);
            ensure!(
                events.len() == 1 && events[0]["count"] == 1,
                "not one Event about {message}: {events:#?}"
            );
            Ok(())
        })
    }

    /// Runs a pod that takes more memory than it may have, until it is killed.
    pub(crate) fn run_out_of_memory(&self, name: &str) -> anyhow::Result<()> {
        let manifest = small_pod(name, "[allocate, '200000000']");
        self.node.client.apply(&manifest)?;
        eventually(PATIENCE, || {
            let pod = self.json(&["get", "pod", name])?;
            let state = &pod["status"]["containerStatuses"][0]["state"];
            ensure!(state["terminated"]["reason"] == "OOMKilled", "{state}");
            Ok(())
        })
    }
}

/// The flag with which kubectl uses objects from there.
fn argument(path: &str) -> String {
    let path = repository(path);
    let flag = if path.is_dir() {
        "kustomize"
    } else {
        "filename"
    };
    format!("--{flag}={}", path.display())
}

fn shown(output: anyhow::Result<impl Debug + ToString>) -> String {
    output.map_or_else(|error| format!("{error:#}\n"), |text| text.to_string())
}
