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

fn load(folder: &Path, node: &Node) -> Checkpoint {
    StateDir::load(folder.to_owned(), node).checkpoint
}

fn writer(
    state: StateDir,
    acknowledged: Vec<Acknowledged>,
) -> (CheckpointWriter, impl Future<Output = Forever>) {
    let page = StatusPage::new("n".to_owned(), jiff::Timestamp::UNIX_EPOCH);
    CheckpointWriter::new(state, acknowledged, page)
}

/// Saves a position, and waits until it is on disk.
async fn keep(folder: &Path, position: u64) {
    let state = StateDir::load(folder.to_owned(), &node("n", "b"));
    let (mut writer, task) = writer(state, Vec::new());
    writer.progress("kmsg".to_owned(), position.into(), 0);
    let written = async {
        while load(folder, &node("n", "b")).positions.get("kmsg") != Some(&position.into()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        Err(error) = task => panic!("{error:#}"),
        () = written => {}
    }
}

#[tokio::test]
async fn what_was_saved_is_loaded() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path().join("deep/er");
    keep(&folder, 7).await;
    keep(&folder, 8).await;
    let found = load(&folder, &node("n", "b"));
    assert_eq!(
        found.positions,
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
    let (mut writer, task) = writer(state, Vec::new());
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
    assert_eq!(found.positions["kmsg"], 7);
    assert_eq!(found.memories["kmsg"], "asleep");
}

#[tokio::test]
async fn a_checkpoint_waits_until_everything_is_reported() {
    let folder = TempDir::new().unwrap();
    let state = StateDir::load(folder.path().to_owned(), &node("n", "b"));
    let (acknowledge, acknowledged) = watch::channel(0);
    let (slow, slowly_acknowledged) = watch::channel(0);
    let (mut writer, mut task) = {
        let (writer, task) = writer(state, vec![acknowledged, slowly_acknowledged]);
        (writer, Box::pin(task))
    };
    let position = || {
        load(folder.path(), &node("n", "b"))
            .positions
            .get("s")
            .cloned()
    };
    let mut write = async |until: u64| {
        let mut patience = tokio::time::interval(Duration::from_millis(1));
        for _ in 0..500 {
            tokio::select! {
                Err(error) = &mut task => panic!("{error:#}"),
                _ = patience.tick() => {}
            }
            if position() == Some(until.into()) {
                return true;
            }
        }
        false
    };
    writer.progress("s".to_owned(), 1.into(), 10);
    acknowledge.send_replace(10);
    assert!(!write(1).await);
    // Later updates do not make it wait for ever.
    writer.progress("s".to_owned(), 2.into(), 12);
    slow.send_replace(11);
    assert!(write(1).await);
    acknowledge.send_replace(20);
    slow.send_replace(20);
    assert!(write(2).await);
    // An exporter that has ended acknowledges nothing more.
    writer.progress("s".to_owned(), 3.into(), 30);
    acknowledge.send_replace(30);
    drop(slow);
    assert!(write(3).await);
}

#[tokio::test]
async fn what_does_not_hold_here_and_now_is_ignored() {
    let folder = TempDir::new().unwrap();
    keep(folder.path(), 7).await;
    assert!(
        load(folder.path(), &node("n", "other boot"))
            .positions
            .is_empty()
    );
    assert!(
        load(folder.path(), &node("other node", "b"))
            .positions
            .is_empty()
    );
    for boot_id in ["b", ""] {
        let unknown = r#"{"version": 2, "node": "n", "boot_id": "", "places": {"kmsg": 7}, "memories": {}, "claims": []}"#;
        fs::write(folder.path().join(FILE), unknown).unwrap();
        let found = load(folder.path(), &node("n", boot_id));
        assert!(found.positions.is_empty());
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

#[tokio::test(start_paused = true)]
async fn a_folder_that_hangs_is_a_source_that_is_down() {
    let folder = TempDir::new().unwrap();
    let state = StateDir::load(folder.path().to_owned(), &node("n", "b"));
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let _hung = state.disk.run(move || gate.recv().is_err()).unwrap();
    let page = StatusPage::new("n".to_owned(), jiff::Timestamp::UNIX_EPOCH);
    let (mut writer, task) = CheckpointWriter::new(state, Vec::new(), page.clone());
    writer.progress("kmsg".to_owned(), 7.into(), 0);
    let is_up = || page.read().sources.get(SOURCE).map(|state| state.up);
    let script = async {
        while is_up() != Some(false) {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        drop(release);
        while is_up() != Some(true) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        Err(error) = task => panic!("{error:#}"),
        () = script => {}
    }
    assert_eq!(load(folder.path(), &node("n", "b")).positions["kmsg"], 7);
}
