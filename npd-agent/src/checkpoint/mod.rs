//! Saves on disk where the agent stopped. After a restart the agent continues there, misses no line, and
//! reports none twice.
//!
//! A checkpoint is valid for one boot of one node. It is written after every exporter has reported what it
//! covers, or has dropped and counted it. An agent that is killed before that finds the last findings
//! again; the exporters ensure that they are not reported again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::aliases::SavedAlias;
use crate::incident::SavedIncident;
use crate::ledger::SavedClaim;
use crate::node::Node;
use crate::problem::Forever;
use crate::state_dir::{self, StateThread};
use crate::status_page::StatusPage;

/// The file's name in `--state-dir`.
const FILE: &str = "checkpoint.json";

/// A larger checkpoint is not read, in bytes.
const LARGEST: u64 = 64 << 20;

/// The name in `/status` of the folder, and how long writing may take before it counts as down.
const SOURCE: &str = "state-dir";
const PATIENCE: Duration = Duration::from_secs(10);

/// The format's version. It changes when older checkpoints can no longer be read.
const VERSION: u32 = 2;

/// What the agent needs to continue where it stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    version: u32,
    node: String,
    boot_id: String,
    /// How far each source was read, in the source's own format.
    #[serde(rename = "places")] // what earlier versions of the agent have written
    pub positions: BTreeMap<String, Value>,
    /// What each probe has saved for a restart, in its own format.
    pub memories: BTreeMap<String, Value>,
    /// The claims on the node's conditions.
    pub claims: Vec<SavedClaim>,
    /// What probes have just reported, and texts of the log may still be about.
    #[serde(default)]
    pub incidents: Vec<SavedIncident>,
    /// What the aliases show.
    #[serde(default)]
    pub aliases: Vec<SavedAlias>,
    /// For each source, the number of the last update that was reported when it had been read so far.
    #[serde(default)]
    pub acknowledged: BTreeMap<String, u64>,
}

/// The folder for saved state, and the last checkpoint.
#[derive(Clone, Debug)]
pub struct StateDir {
    /// `--state-dir`.
    pub folder: PathBuf,
    /// The checkpoint of the agent before.
    pub checkpoint: Checkpoint,
    /// Does all work on the folder.
    pub disk: StateThread,
}

impl StateDir {
    /// Reads the checkpoint in `folder`. If the disk hangs, there is none.
    pub fn load(folder: PathBuf, node: &Node) -> Self {
        let disk = StateThread::default();
        let path = folder.join(FILE);
        let read = disk.within_patience(move || read(&path));
        let read = read.context("reading the checkpoint").flatten();
        Self {
            checkpoint: valid(read, &folder, node),
            folder,
            disk,
        }
    }
}

impl Checkpoint {
    /// The node and the boot for which it holds.
    pub fn holds_for(&self) -> (&str, &str) {
        (&self.node, &self.boot_id)
    }
}

/// The number of the last update up to which all are reported, or dropped and counted. A checkpoint waits
/// for it.
pub type Acknowledged = watch::Receiver<u64>;

/// Updates the checkpoint, and passes it to the task that writes it.
#[derive(Debug)]
pub struct CheckpointWriter {
    checkpoint: Checkpoint,
    latest: watch::Sender<Snapshot>,
}

/// A checkpoint in JSON, and the number of the update that must be reported before it is valid.
#[derive(Clone, Debug, Default)]
struct Snapshot {
    bytes: Vec<u8>,
    after: u64,
}

/// The checkpoint that was read in `folder`. One of another node, from before a reboot, or that cannot be
/// read, is ignored.
fn valid(read: anyhow::Result<Option<Checkpoint>>, folder: &Path, node: &Node) -> Checkpoint {
    let fresh = Checkpoint {
        version: VERSION,
        node: node.name.clone(),
        boot_id: node.boot_id.clone(),
        ..Checkpoint::default()
    };
    let path = folder.join(FILE);
    match read {
        Ok(Some(found)) if found.node != node.name => {
            warn!(path = %path.display(), of = found.node, "Ignoring the checkpoint of another node");
            fresh
        }
        // Without the id of this boot, a checkpoint may be from another boot.
        Ok(Some(found)) if found.boot_id != node.boot_id || node.boot_id.is_empty() => {
            info!(path = %path.display(), "The checkpoint is from another boot; starting without it");
            fresh
        }
        Ok(Some(found)) => found,
        Ok(None) => fresh,
        Err(error) => {
            warn!(path = %path.display(), error = format!("{error:#}"), "Ignoring the checkpoint");
            fresh
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Option<Checkpoint>> {
    let bytes = match state_dir::read(path, LARGEST) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context("reading the checkpoint"),
    };
    let found: Checkpoint = serde_json::from_slice(&bytes).context("parsing the checkpoint")?;
    let version = found.version;
    ensure!(
        version == VERSION,
        "its format is version {version}; this agent reads only version {VERSION}"
    );
    Ok(Some(found))
}

impl CheckpointWriter {
    /// Continues from `state`. The returned task writes the checkpoint after it has changed and every
    /// exporter has reported what it covers. If the exporters or the disk are slow, it writes only the
    /// latest one. It ends when the writer was dropped and the last checkpoint is on disk.
    pub fn new(
        state: StateDir,
        acknowledged: Vec<Acknowledged>,
        status_page: StatusPage,
    ) -> (Self, impl Future<Output = Forever>) {
        let StateDir {
            folder,
            checkpoint,
            disk,
        } = state;
        let (latest, changes) = watch::channel(Snapshot::default());
        (
            Self { checkpoint, latest },
            write_on(changes, acknowledged, folder, disk, status_page),
        )
    }

    /// Everything up to `position` was passed to the exporters, with the updates up to `after`.
    pub fn progress(&mut self, source: String, position: Value, after: u64) {
        self.checkpoint.acknowledged.insert(source.clone(), after);
        self.checkpoint.positions.insert(source, position);
        self.save(after);
    }

    /// The probe saves this for a restart. What it reported before was passed to the exporters, with the
    /// updates up to `after`.
    pub fn remember(&mut self, probe: &str, memory: Value, after: u64) {
        self.checkpoint.memories.insert(probe.to_owned(), memory);
        self.save(after);
    }

    /// These are the claims now. Their effects were passed to the exporters, with the updates up to `after`.
    pub fn claimed(&mut self, claims: Vec<SavedClaim>, after: u64) {
        if claims != self.checkpoint.claims {
            self.checkpoint.claims = claims;
            self.save(after);
        }
    }

    /// The aliases show this now. It was passed to the exporters, with the updates up to `after`.
    pub fn aliased(&mut self, aliases: Vec<SavedAlias>, after: u64) {
        if aliases != self.checkpoint.aliases {
            self.checkpoint.aliases = aliases;
            self.save(after);
        }
    }

    /// Probes have just reported these incidents, with the updates up to `after`.
    pub fn reported(&mut self, incidents: Vec<SavedIncident>, after: u64) {
        if incidents != self.checkpoint.incidents {
            self.checkpoint.incidents = incidents;
            self.save(after);
        }
    }

    fn save(&self, after: u64) {
        match serde_json::to_vec(&self.checkpoint) {
            Ok(bytes) => {
                self.latest.send_replace(Snapshot { bytes, after });
            }
            Err(error) => warn!(%error, "Checkpoint cannot be encoded as JSON"),
        }
    }
}

async fn write_on(
    mut changes: watch::Receiver<Snapshot>,
    mut acknowledged: Vec<Acknowledged>,
    folder: PathBuf,
    disk: StateThread,
    status_page: StatusPage,
) -> Forever {
    let mut failing = false;
    loop {
        changes
            .changed()
            .await
            .context("waiting for a changed checkpoint")?;
        let Snapshot { bytes, after } = changes.borrow_and_update().clone();
        for acknowledged in &mut acknowledged {
            // An exporter that has ended reports nothing more.
            _ = acknowledged
                .wait_for(|acknowledged| *acknowledged >= after)
                .await;
        }
        let folder = folder.clone();
        let show = |error: Option<String>| status_page.source(SOURCE, false, error);
        let written = match disk.run(move || write(&folder, &bytes)) {
            Ok(mut writing) => loop {
                if let Ok(written) = timeout(PATIENCE, &mut writing).await {
                    break written.context("writing the checkpoint")?;
                }
                show(Some(format!("writing has taken more than {PATIENCE:?}")));
            },
            Err(error) => Err(error).context("making a thread to write the checkpoint"),
        };
        let error = written.err().map(|error| format!("{error:#}"));
        if let Some(error) = &error
            && !failing
        {
            warn!(
                error,
                "Cannot write the checkpoint; after a restart, problems may be reported again"
            );
        }
        failing = error.is_some();
        show(error);
    }
}

/// Replaces the old checkpoint, completely or not at all. A crash of the machine may lose it; but after a
/// reboot it would not be valid anyway.
fn write(folder: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = folder.join(format!("{FILE}.new"));
    let path = folder.join(FILE);
    fs::create_dir_all(folder)
        .with_context(|| format!("making the folder {}", folder.display()))?;
    let mut file = state_dir::create(&new).with_context(|| format!("writing {}", new.display()))?;
    file.write_all(bytes)
        .with_context(|| format!("writing {}", new.display()))?;
    fs::rename(&new, &path).with_context(|| format!("renaming it to {}", path.display()))
}

#[cfg(test)]
mod tests;
