//! Saves on disk where the agent stopped. After a restart the agent continues there, misses no line, and
//! reports none twice.
//!
//! A checkpoint is valid for one boot of one node. It is written after every exporter has reported what it
//! covers, or has dropped and counted it. An agent that is killed before that finds the last findings
//! again; the exporters ensure that they are not reported again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::ledger::SavedClaim;
use crate::node::Node;
use crate::problem::Forever;
use crate::threads::ThreadPool;

/// The file's name in `--state-dir`.
const FILE: &str = "checkpoint.json";

/// The format's version. It changes when older checkpoints can no longer be read.
const VERSION: u32 = 2;

/// What the agent needs to continue where it stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    version: u32,
    node: String,
    boot_id: String,
    /// How far each source was read, in the source's own format.
    pub places: BTreeMap<String, Value>,
    /// What each probe has saved for a restart, in its own format.
    pub memories: BTreeMap<String, Value>,
    /// The claims on the node's conditions.
    pub claims: Vec<SavedClaim>,
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
}

impl StateDir {
    /// Reads the checkpoint in `folder`.
    pub fn load(folder: PathBuf, node: &Node) -> Self {
        let checkpoint = load(&folder, node);
        Self { folder, checkpoint }
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

/// Reads the checkpoint in `folder`. A checkpoint of another node, from before a reboot, or that cannot be
/// read, is ignored.
fn load(folder: &Path, node: &Node) -> Checkpoint {
    let fresh = Checkpoint {
        version: VERSION,
        node: node.name.clone(),
        boot_id: node.boot_id.clone(),
        ..Checkpoint::default()
    };
    let path = folder.join(FILE);
    match read(&path) {
        Ok(Some(found)) if found.node != node.name => {
            warn!(path = %path.display(), of = found.node, "Ignoring the checkpoint of another node");
            fresh
        }
        // Whoever does not know the boot cannot tell this one from the last.
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
    let bytes = match fs::read(path) {
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
    /// latest one.
    pub fn new(
        state: StateDir,
        acknowledged: Vec<Acknowledged>,
    ) -> (Self, impl Future<Output = Forever>) {
        let StateDir { folder, checkpoint } = state;
        let (latest, changes) = watch::channel(Snapshot::default());
        (
            Self { checkpoint, latest },
            write_on(changes, acknowledged, folder),
        )
    }

    /// Everything up to `place` was passed to the exporters, with the updates up to `after`.
    pub fn progress(&mut self, source: String, place: Value, after: u64) {
        self.checkpoint.acknowledged.insert(source.clone(), after);
        self.checkpoint.places.insert(source, place);
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
) -> Forever {
    let threads = ThreadPool::new("checkpoint", 1);
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
        let written = match threads.ready() {
            Ok(threads) => {
                let writing = threads.run(move || write(&folder, &bytes));
                writing.await.context("writing the checkpoint")?
            }
            Err(error) => Err(error).context("making a thread to write the checkpoint"),
        };
        if let Err(error) = &written
            && !failing
        {
            warn!(
                error = format!("{error:#}"),
                "Cannot write the checkpoint; after a restart, problems may be reported again"
            );
        }
        failing = written.is_err();
    }
}

/// Replaces the old checkpoint, completely or not at all. A crash of the machine may lose it; but after a
/// reboot it would not be valid anyway.
fn write(folder: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = folder.join(format!("{FILE}.new"));
    let path = folder.join(FILE);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    fs::create_dir_all(folder)
        .with_context(|| format!("making the folder {}", folder.display()))?;
    let mut file = options
        .open(&new)
        .with_context(|| format!("writing {}", new.display()))?;
    file.write_all(bytes)
        .with_context(|| format!("writing {}", new.display()))?;
    fs::rename(&new, &path).with_context(|| format!("renaming it to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::node::Roots;

    fn node(name: &str, boot_id: &str) -> Node {
        Node {
            name: name.to_owned(),
            roots: Roots::from_env(|_| None),
            boot_id: boot_id.to_owned(),
        }
    }

    /// Saves a position, and waits until it is on disk.
    async fn keep(folder: &Path, place: u64) {
        let before = load(folder, &node("n", "b"));
        let state = StateDir {
            folder: folder.to_owned(),
            checkpoint: before,
        };
        let (mut writer, task) = CheckpointWriter::new(state, Vec::new());
        writer.progress("kmsg".to_owned(), place.into(), 0);
        let written = async {
            while load(folder, &node("n", "b")).places.get("kmsg") != Some(&place.into()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            Err(error) = task => panic!("{error:#}"),
            () = written => {}
        }
    }

    #[tokio::test]
    async fn what_was_kept_is_found_again() {
        let folder = TempDir::new().unwrap();
        let folder = folder.path().join("deep/er");
        keep(&folder, 7).await;
        keep(&folder, 8).await;
        let found = load(&folder, &node("n", "b"));
        assert_eq!(
            found.places,
            BTreeMap::from([("kmsg".to_owned(), 8.into())])
        );
        let names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, [FILE]);
    }

    #[tokio::test]
    async fn a_probe_and_a_source_may_have_the_same_name() {
        let folder = TempDir::new().unwrap();
        let state = StateDir::load(folder.path().to_owned(), &node("n", "b"));
        let (mut writer, task) = CheckpointWriter::new(state, Vec::new());
        writer.progress("kmsg".to_owned(), 7.into(), 0);
        writer.remember("kmsg", "asleep".into(), 0);
        let written = async {
            let load = || load(folder.path(), &node("n", "b"));
            while load().memories.is_empty() {
                tokio::task::yield_now().await;
            }
            load()
        };
        let found = tokio::select! {
            Err(error) = task => panic!("{error:#}"),
            found = written => found,
        };
        assert_eq!(found.places["kmsg"], 7);
        assert_eq!(found.memories["kmsg"], "asleep");
    }

    #[tokio::test]
    async fn a_checkpoint_waits_until_everything_is_reported() {
        let folder = TempDir::new().unwrap();
        let state = StateDir::load(folder.path().to_owned(), &node("n", "b"));
        let (tell, acknowledged) = watch::channel(0);
        let (slow, slowly_acknowledged) = watch::channel(0);
        let (mut writer, mut task) = {
            let (writer, task) =
                CheckpointWriter::new(state, vec![acknowledged, slowly_acknowledged]);
            (writer, Box::pin(task))
        };
        let place = || {
            load(folder.path(), &node("n", "b"))
                .places
                .get("s")
                .cloned()
        };
        let mut write = async |until: u64| {
            let mut patience = tokio::time::interval(std::time::Duration::from_millis(1));
            for _ in 0..500 {
                tokio::select! {
                    Err(error) = &mut task => panic!("{error:#}"),
                    _ = patience.tick() => {}
                }
                if place() == Some(until.into()) {
                    return true;
                }
            }
            false
        };
        writer.progress("s".to_owned(), 1.into(), 10);
        tell.send_replace(10);
        assert!(!write(1).await);
        // What comes meanwhile does not make it wait for ever.
        writer.progress("s".to_owned(), 2.into(), 12);
        slow.send_replace(11);
        assert!(write(1).await);
        tell.send_replace(20);
        slow.send_replace(20);
        assert!(write(2).await);
        // One that has ended tells nothing more.
        writer.progress("s".to_owned(), 3.into(), 30);
        tell.send_replace(30);
        drop(slow);
        assert!(write(3).await);
    }

    #[tokio::test]
    async fn what_does_not_hold_here_and_now_is_ignored() {
        let folder = TempDir::new().unwrap();
        keep(folder.path(), 7).await;
        assert!(
            load(folder.path(), &node("n", "other boot"))
                .places
                .is_empty()
        );
        assert!(
            load(folder.path(), &node("other node", "b"))
                .places
                .is_empty()
        );
        for boot_id in ["b", ""] {
            let unknown = r#"{"version": 2, "node": "n", "boot_id": "", "places": {"kmsg": 7}, "memories": {}, "claims": []}"#;
            fs::write(folder.path().join(FILE), unknown).unwrap();
            let found = load(folder.path(), &node("n", boot_id));
            assert!(found.places.is_empty());
        }
        for corrupt in [
            "",
            "{",
            "[]",
            r#"{"version": 1, "node": "n", "boot_id": "b", "places": {}, "memories": {}, "claims": []}"#,
        ] {
            fs::write(folder.path().join(FILE), corrupt).unwrap();
            assert_eq!(load(folder.path(), &node("n", "b")).boot_id, "b");
        }
    }
}
