//! From a cgroup's path to the pod that it belongs to, without asking anyone.
//!
//! The kubelet and the container runtimes name cgroups after the pod's uid and the container's id.
//! The kubelet also names a folder of logs after each pod, and thereby tells its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::problem::{Pod, PodName};

/// How long a report waits for a pod's name. The disk may be what hangs.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many pods' names are remembered; the kubelet's own limit is a few hundred.
const MAX_PODS: usize = 4096;

/// What a cgroup's path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InPod {
    /// The pod's uid; of a static pod, the hash of its manifest.
    pub uid: String,
    /// The container's id; `None` for the pod's own cgroup.
    pub container: Option<String>,
}

/// The pods that a path leads through, the outermost first. There is more than one if a cluster
/// runs in a pod of another.
///
/// Forms, from the kubelet's two cgroup drivers and the runtimes' names of scopes:
/// `kubepods/burstable/podUID/ID` and
/// `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope`,
/// under any prefix.
pub fn pods(path: &str) -> Vec<InPod> {
    let mut pods = Vec::new();
    let mut in_kubepods = false;
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        let uid = match name.strip_suffix(".slice") {
            Some(slice) if slice.contains("kubepods") => {
                slice.rsplit_once("-pod").and_then(|(_, uid)| uid_of(uid))
            }
            _ if in_kubepods => name.strip_prefix("pod").and_then(uid_of),
            _ => None,
        };
        in_kubepods |= name == "kubepods" || name.ends_with("-kubepods");
        if let Some(uid) = uid {
            let container = names.peek().and_then(|name| container_of(name));
            pods.push(InPod { uid, container });
        }
    }
    pods
}

/// A uid as the API server makes them, or the 32 digits of a static pod. systemd's names have `_`
/// in the place of `-`, which means something else there.
fn uid_of(name: &str) -> Option<String> {
    let digits = name.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = name.bytes().filter(|byte| b"-_".contains(byte)).count();
    let is_uid = digits == 32 && dashes + digits == name.len() && [0, 4].contains(&dashes);
    is_uid.then(|| name.replace('_', "-"))
}

fn container_of(name: &str) -> Option<String> {
    let name = name.strip_suffix(".scope").unwrap_or(name);
    // `crio-conmon-ID` is the container's monitor, and not it.
    let id = match name.rsplit_once('-') {
        Some(("cri-containerd" | "crio" | "docker", id)) => id,
        Some(_) => return None,
        None => name,
    };
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| id.to_owned())
}

/// Knows pods' names, from the folders `NAMESPACE_NAME_UID` that the kubelet makes for their logs.
#[derive(Debug)]
pub struct PodNames {
    folder: PathBuf,
    known: BTreeMap<String, PodName>,
    /// Still at it when the last reader gave up waiting.
    reading: Option<JoinHandle<BTreeMap<String, PodName>>>,
}

impl PodNames {
    /// Reads names from the `pods` folder in `log`, which is `/var/log` or the like.
    pub fn new(log: &Path) -> Self {
        Self {
            folder: log.join("pods"),
            known: BTreeMap::new(),
            reading: None,
        }
    }

    /// The pod of the cgroup at `path`. In a cluster within a cluster that is the innermost whose
    /// logs are on this node, or the outermost if none's are.
    ///
    /// Reads the folder if it meets a uid for the first time, in another thread and not for long.
    pub async fn pod(&mut self, path: &str) -> Option<Pod> {
        let pods = pods(path);
        let outermost = pods.first()?.uid.clone();
        if !pods.iter().any(|pod| self.known.contains_key(&pod.uid)) {
            self.read().await;
        }
        let named = pods.into_iter().rev().find_map(|pod| {
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
        let reading = self
            .reading
            .get_or_insert_with(|| spawn_blocking(move || read_names(&folder)));
        if let Ok(read) = timeout(PATIENCE, reading).await {
            self.reading = None;
            self.known = read.unwrap_or_default();
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
mod tests;
