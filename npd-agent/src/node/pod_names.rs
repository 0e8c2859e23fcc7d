//! Finds the names of the node's pods, without any request: the kubelet has a log folder with each name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::cgroup::pods;
use crate::problem::{Pod, PodName};
use crate::threads::{ThreadPool, ThreadTask};

/// How long a report waits for a pod's name. The disk may hang.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many pods' names are remembered; the kubelet's own limit is a few hundred.
const MAX_PODS: usize = 4096;

/// The names of pods, from the folders `NAMESPACE_NAME_UID` that the kubelet makes for their logs.
#[derive(Debug)]
pub struct PodNames {
    folder: PathBuf,
    known: BTreeMap<String, PodName>,
    threads: ThreadPool,
    /// A reader that was still running when nobody waited any more.
    reading: Option<ThreadTask<BTreeMap<String, PodName>>>,
}

impl PodNames {
    /// Reads names from the folder `pods` in `log`, the path of `/var/log`, on a thread of `threads`.
    pub fn new(log: &Path, threads: ThreadPool) -> Self {
        Self {
            folder: log.join("pods"),
            known: BTreeMap::new(),
            threads,
            reading: None,
        }
    }

    /// The pod of the cgroup at `path`. If there are several around each other, because a cluster runs
    /// inside a pod of another, this is the outermost that has logs on this node, or the outermost if none
    /// has. A pod may make cgroups inside its own, with any name.
    ///
    /// Reads the folder when it sees a uid for the first time, on another thread, and waits only shortly.
    pub async fn pod(&mut self, path: &str) -> Option<Pod> {
        let pods = pods(path);
        let outermost = pods.first()?.uid.clone();
        if !pods.iter().any(|pod| self.known.contains_key(&pod.uid)) {
            self.read().await;
        }
        let named = pods.into_iter().find_map(|pod| {
            let name = self.known.get(&pod.uid)?.clone();
            let uid = pod.uid;
            Some(Pod {
                uid,
                name: Some(name),
            })
        });
        Some(named.unwrap_or(Pod {
            uid: outermost,
            name: None,
        }))
    }

    /// The pod with this uid, with its name if its logs are on this node.
    ///
    /// Reads the folder as [`Self::pod`] does.
    pub async fn with_uid(&mut self, uid: &str) -> Pod {
        if !self.known.contains_key(uid) {
            self.read().await;
        }
        Pod {
            uid: uid.to_owned(),
            name: self.known.get(uid).cloned(),
        }
    }

    async fn read(&mut self) {
        let folder = self.folder.clone();
        // If there is no thread, a pod without a name is better than no report.
        let start = || Some(self.threads.ready().ok()?.run(move || read_names(&folder)));
        let Some(mut reading) = self.reading.take().or_else(start) else {
            return;
        };
        match timeout(PATIENCE, &mut reading).await {
            Ok(read) => self.known = read.unwrap_or_default(),
            Err(_elapsed) => self.reading = Some(reading),
        }
    }
}

fn read_names(folder: &Path) -> BTreeMap<String, PodName> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let mut parts = name.splitn(3, '_');
        let namespace = parts.next()?.to_owned();
        let name = parts.next()?.to_owned();
        let uid = parts.next()?.to_owned();
        Some((uid, PodName { namespace, name }))
    };
    entries.filter_map(name).take(MAX_PODS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "8dbc75a9-3d26-4e0f-9e6b-2b8f1b6f7c11";
    const STATIC: &str = "ba2ab4ba8f5d1cd4a0c8ba2b3f2a1c55";
    const ID: &str = "3f8cbf1f3b7a7a4d2f0a0f2c8a1b8f4e6d7c5b4a39281706f5e4d3c2b1a09f8e";

    #[tokio::test]
    async fn names_come_from_the_folders_of_logs() {
        let log = tempfile::tempdir().unwrap();
        let path = format!("/kubepods/pod{UID}/{ID}");
        let mut names = PodNames::new(log.path(), ThreadPool::new("test", 1));
        let unnamed = names.pod(&path).await.unwrap();
        assert_eq!((unnamed.uid.as_str(), unnamed.name), (UID, None));

        let folder =
            |name: &str| std::fs::create_dir_all(log.path().join("pods").join(name)).unwrap();
        folder(&format!("kube-system_kube-proxy-x7k_{STATIC}"));
        folder("not a pod");
        folder(&format!("default_web-0_{UID}"));
        let pod = names.pod(&path).await.unwrap();
        let name = pod.name.unwrap();
        assert_eq!(
            (name.namespace.as_str(), name.name.as_str()),
            ("default", "web-0")
        );

        // Of two pods around each other, the one that this node's kubelet knows.
        let inner = "00000000-0000-0000-0000-000000000000";
        let nested = format!("/kubepods/pod{UID}/{ID}/kubelet/kubepods/pod{inner}/{ID}");
        assert_eq!(names.pod(&nested).await.unwrap().uid, UID);
        let outer = format!("/kubepods/pod{inner}/{ID}/kubelet/kubepods/pod{UID}/{ID}");
        assert_eq!(names.pod(&outer).await.unwrap().uid, UID);
        // A pod that names another one.
        let within = format!("/kubepods/pod{STATIC}/{ID}/kubepods/pod{UID}/{ID}");
        assert_eq!(names.pod(&within).await.unwrap().uid, STATIC);
        assert_eq!(names.pod("/system.slice").await, None);
    }

    #[tokio::test]
    async fn a_name_is_known_though_the_logs_are_gone() {
        let log = tempfile::tempdir().unwrap();
        let folder = log.path().join(format!("pods/default_web-0_{UID}"));
        std::fs::create_dir_all(&folder).unwrap();
        let mut names = PodNames::new(log.path(), ThreadPool::new("test", 1));
        let path = format!("/kubepods/pod{UID}/{ID}");
        let before = names.pod(&path).await;
        std::fs::remove_dir(&folder).unwrap();
        assert_eq!(names.pod(&path).await, before);
        assert!(Path::new(&log.path().join("pods")).exists());
    }
}
