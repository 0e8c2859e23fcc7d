//! Looks at the node, with the agent's own monitors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::verdict::{ScanVerdict, actions};
use crate::config;
use crate::monitor::{ConfigFile, Monitors, ebpf, log, plugin};
use crate::node::{Node, Roots, proc};
use crate::status_page::StatusModel;
use crate::tools::moment::{LookTime, observe};

/// How long to look in any case.
const LEAST: Duration = Duration::from_secs(1);

/// How long to look without the kernel's log, on which some conditions wait for ever.
const BLIND: Duration = Duration::from_secs(4);

/// The kernel's log, by its name as a source.
const KERNEL_LOG: &str = "kmsg";

/// A check that needs no configuration, and the condition that it decides.
struct ScanCheck {
    check: &'static str,
    condition: &'static str,
    healthy: &'static str,
    message: &'static str,
    reason: &'static str,
}

const CHECKS: &[ScanCheck] = &[
    ScanCheck {
        check: "builtin:disk",
        condition: "DiskFull",
        healthy: "DiskHasSpace",
        message: "the root file system has space",
        reason: "DiskIsFull",
    },
    ScanCheck {
        check: "builtin:pids",
        condition: "PidsExhausted",
        healthy: "PidsAreLeft",
        message: "process ids are left",
        reason: "PidsAreTaken",
    },
];

/// Only where connections are tracked.
const CONNTRACK: ScanCheck = ScanCheck {
    check: "builtin:conntrack",
    condition: "ConntrackFull",
    healthy: "ConntrackHasRoom",
    message: "the table of connections has room",
    reason: "ConntrackIsFull",
};

/// Looks until everything is known, or for so long.
pub(super) async fn look(limit: Duration) -> anyhow::Result<ScanVerdict> {
    let node = Node::new("", |name| std::env::var(name).ok())?;
    let monitors = monitors(&node.roots)?;
    let actions = actions(&monitors);
    let watched: usize = monitors.iter().map(|one| one.watches().len()).sum();
    // As if an agent had run since boot: everything in the log counts.
    let since_boot = json!({"next": 0, "rules": {}});
    let saved = BTreeMap::from([(KERNEL_LOG.to_owned(), since_boot)]);
    let (began, start) = (Timestamp::now(), Instant::now());
    let is_enough = |shown: &StatusModel| {
        shown.probes.len() >= watched
            && shown.sources.contains_key(KERNEL_LOG)
            && (shown.unseen.is_empty() || is_down(shown) && start.elapsed() >= BLIND)
    };
    let time = LookTime {
        least: LEAST,
        most: limit,
    };
    let page = observe(node, monitors, saved, is_enough, time).await?;
    Ok(ScanVerdict::of(&page.read(), &actions, began))
}

/// Whether the kernel's log cannot be read.
fn is_down(shown: &StatusModel) -> bool {
    let kernel_log = shown.sources.get(KERNEL_LOG);
    kernel_log.is_some_and(|source| !source.up)
}

/// Those that run by default and see faults, and more.
fn monitors(roots: &Roots) -> anyhow::Result<Monitors> {
    let mut monitors = Monitors::new();
    for (kind, more) in [
        (log::KIND, None),
        (ebpf::KIND, Some(file("scan-probes", &probes()))),
    ] {
        let mut files = config::named(Some(kind.flag), "builtin".as_ref())?;
        files.extend(more);
        // The agent's own files have no mistakes.
        monitors.extend((kind.load)(&files, &mut Vec::new())?);
    }
    let checks = file("scan-checks", &checks(roots));
    monitors.extend((plugin::KIND.load)(&[checks], &mut Vec::new())?);
    Ok(monitors)
}

fn file(name: &str, content: &Value) -> ConfigFile {
    ConfigFile {
        name: Arc::from(name),
        dir: None,
        bytes: content.to_string().into_bytes(),
    }
}

/// For the rules of the built-in file: a task hangs if it sleeps for two seconds, not for half a minute.
/// Nobody wants to wait that long.
fn probes() -> Value {
    json!({
        "plugin": "ebpf",
        "source": "scan",
        "pluginConfig": {"hungTaskThreshold": "2s"},
    })
}

fn checks(roots: &Roots) -> Value {
    let tracks = proc::connections(roots).is_some();
    let checks = CHECKS.iter().chain(tracks.then_some(&CONNTRACK));
    let conditions = checks.clone().map(
        |check| json!({"type": check.condition, "reason": check.healthy, "message": check.message}),
    );
    let rules = checks.map(|check| {
        json!({"type": "permanent", "condition": check.condition, "reason": check.reason,
               "path": check.check})
    });
    json!({
        "plugin": "custom",
        "source": "scan",
        "pluginConfig": {"invoke_interval": "1h", "timeout": "5s", "max_output_length": 200},
        "conditions": conditions.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
    })
}
