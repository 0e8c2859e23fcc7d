use std::path::Path;

use super::{PodNames, pods};

const UID: &str = "8dbc75a9-3d26-4e0f-9e6b-2b8f1b6f7c11";
const UID_IN_SLICE: &str = "8dbc75a9_3d26_4e0f_9e6b_2b8f1b6f7c11";
const STATIC: &str = "ba2ab4ba8f5d1cd4a0c8ba2b3f2a1c55";
const ID: &str = "3f8cbf1f3b7a7a4d2f0a0f2c8a1b8f4e6d7c5b4a39281706f5e4d3c2b1a09f8e";

/// `pod` and `container` are what is expected of the only pod on the path.
#[track_caller]
fn check(path: &str, pod: &str, container: Option<&str>) {
    let found = pods(path);
    let [found] = &found[..] else {
        panic!("{path}: {found:?}");
    };
    assert_eq!(found.uid, pod, "{path}");
    assert_eq!(found.container.as_deref(), container, "{path}");
}

#[track_caller]
fn check_none(path: &str) {
    assert_eq!(pods(path), [], "{path}");
}

#[test]
fn the_kubelet_names_cgroups_itself() {
    check(&format!("/kubepods/burstable/pod{UID}/{ID}"), UID, Some(ID));
    check(
        &format!("/kubepods/besteffort/pod{UID}/{ID}"),
        UID,
        Some(ID),
    );
    check(&format!("/kubepods/pod{UID}/{ID}"), UID, Some(ID));
    check(&format!("/kubepods/burstable/pod{UID}"), UID, None);
    // --cgroup-root, as kind sets it.
    check(
        &format!("/kubelet/kubepods/burstable/pod{UID}/{ID}"),
        UID,
        Some(ID),
    );
    check(
        &format!("/kubepods/burstable/pod{STATIC}/{ID}"),
        STATIC,
        Some(ID),
    );
}

#[test]
fn systemd_names_cgroups() {
    let burstable = "/kubepods.slice/kubepods-burstable.slice";
    let pod = format!("{burstable}/kubepods-burstable-pod{UID_IN_SLICE}.slice");
    check(&format!("{pod}/cri-containerd-{ID}.scope"), UID, Some(ID));
    check(&format!("{pod}/crio-{ID}.scope"), UID, Some(ID));
    check(&format!("{pod}/crio-{ID}.scope/container"), UID, Some(ID));
    check(&format!("{pod}/docker-{ID}.scope"), UID, Some(ID));
    check(&format!("{pod}/crio-conmon-{ID}.scope"), UID, None);
    check(&pod, UID, None);
    let guaranteed = format!("/kubepods.slice/kubepods-pod{UID_IN_SLICE}.slice");
    check(
        &format!("{guaranteed}/cri-containerd-{ID}.scope"),
        UID,
        Some(ID),
    );
    let of_static = format!("{burstable}/kubepods-burstable-pod{STATIC}.slice");
    check(&format!("{of_static}/crio-{ID}.scope"), STATIC, Some(ID));
}

#[test]
fn clusters_in_containers_have_a_prefix() {
    let kubelet = "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice";
    let pod = format!("kubelet-kubepods-burstable-pod{UID_IN_SLICE}.slice");
    let path = format!("/docker/{ID}/{kubelet}/{pod}/cri-containerd-{ID}.scope");
    check(&path, UID, Some(ID));
    // What a record holds of a path that is too long for it.
    check(&format!("…/{pod}/cri-containerd-{ID}.scope"), UID, Some(ID));
}

#[test]
fn other_cgroups_are_no_pods() {
    check_none("/");
    check_none("");
    check_none("/system.slice/containerd.service");
    check_none("/kubepods.slice/kubepods-burstable.slice");
    check_none(&format!("/docker/{ID}"));
    check_none(&format!("/machine.slice/libpod-{ID}.scope"));
    check_none(&format!("/user.slice/pod{UID}"));
    check_none("/kubepods/burstable/podcast");
    check_none(&format!("/kubepods/burstable/pod{UID}x"));
}

#[test]
fn a_cluster_in_a_pod_has_both() {
    let outer = STATIC;
    let path = format!("/kubepods/burstable/pod{outer}/{ID}/kubelet/kubepods/pod{UID}/{ID}");
    let uids: Vec<_> = pods(&path).into_iter().map(|pod| pod.uid).collect();
    assert_eq!(uids, [outer, UID]);
}

#[tokio::test]
async fn names_come_from_the_folders_of_logs() {
    let log = tempfile::tempdir().unwrap();
    let path = format!("/kubepods/pod{UID}/{ID}");
    let mut names = PodNames::new(log.path());
    let unnamed = names.pod(&path).await.unwrap();
    assert_eq!((unnamed.uid.as_str(), unnamed.name), (UID, None));

    let folder = |name: &str| std::fs::create_dir_all(log.path().join("pods").join(name)).unwrap();
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
    assert_eq!(names.pod("/system.slice").await, None);
}

#[tokio::test]
async fn a_name_is_known_though_the_logs_are_gone() {
    let log = tempfile::tempdir().unwrap();
    let folder = log.path().join(format!("pods/default_web-0_{UID}"));
    std::fs::create_dir_all(&folder).unwrap();
    let mut names = PodNames::new(log.path());
    let path = format!("/kubepods/pod{UID}/{ID}");
    let before = names.pod(&path).await;
    std::fs::remove_dir(&folder).unwrap();
    assert_eq!(names.pod(&path).await, before);
    assert!(Path::new(&log.path().join("pods")).exists());
}
