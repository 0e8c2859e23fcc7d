use std::path::PathBuf;

use expect_test::{Expect, expect};

use super::{Access, Override};

#[track_caller]
fn check(flag: &str, expect: &Expect) {
    let text = match flag.parse::<Override>() {
        Ok(Override {
            server,
            in_cluster,
            insecure,
            auth,
            use_service_account,
        }) => format!("{server:?} {in_cluster} {insecure} {auth:?} {use_service_account}"),
        Err(error) => format!("{error:#}"),
    };
    expect.assert_eq(&text);
}

#[test]
fn the_override_is_read_as_npd_reads_it() {
    check("", &expect!["None true false None false"]);
    check(
        "http://127.0.0.1:8080?inClusterConfig=false",
        &expect![[r#"Some("http://127.0.0.1:8080") false false None false"#]],
    );
    check(
        "https://user:word@[::1]:6443/path?insecure=T&inClusterConfig=1&inClusterConfig=0#end",
        &expect![[r#"Some("https://[::1]:6443") true true None false"#]],
    );
    check(
        "?inClusterConfig=f&auth=%2Fetc%2Fmy+cube&useServiceAccount=true&unknown",
        &expect![[r#"None false false Some("/etc/my cube") true"#]],
    );
    check(
        "https://h?inClusterConfig=FALSE&auth=",
        &expect![[r#"Some("https://h") false false None false"#]],
    );
    check(
        "HTTP://h:80?insecure=%zz&useServiceAccount=1;insecure=1&inClusterConfig=%66",
        &expect![[r#"Some("http://h:80") false false None false"#]],
    );
}

#[test]
fn a_bad_override_is_explained() {
    check(
        "127.0.0.1",
        &expect!["the address has no scheme; write https://127.0.0.1"],
    );
    check(
        ":foo",
        &expect!["the address has no scheme; write https://:foo"],
    );
    check(
        "ftp://h",
        &expect!["the scheme is ftp; it must be https or http"],
    );
    check("https://", &expect!["the address names no host"]);
    check(
        "https://h:abc",
        &expect!["the port of the address is not a number"],
    );
    check(
        "https://[::1]:x",
        &expect!["the port of the address is not a number"],
    );
    check(
        "https://a b",
        &expect!["parsing the API server's address https://a b: invalid uri character"],
    );
    check(
        "?insecure=yes",
        &expect![[r#"insecure=yes: strconv.ParseBool: parsing "yes": invalid syntax"#]],
    );
}

/// A pod's view of the world, with its service account in a folder of ours.
fn pod(flag: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, anyhow::Result<Access>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let access = Access::new(flag, |name| match name {
        "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_owned()),
        "KUBERNETES_SERVICE_PORT" => Some("443".to_owned()),
        _ => None,
    });
    let access = access.map(|access| Access {
        service_account: dir.path().to_path_buf(),
        ..access
    });
    (dir, access)
}

const CA: &str = include_str!("../../../../../tests/fixtures/kubernetes/ca.crt");

#[test]
fn a_pod_takes_what_it_is_given() {
    let (_dir, access) = pod("", &[("token", "secret"), ("ca.crt", CA)]);
    let access = access.unwrap();
    access.check().unwrap();
    assert_eq!(
        access.config().unwrap().cluster_url.to_string(),
        "https://[fd00::1]:443/"
    );

    let (_dir, access) = pod(
        "https://10.0.0.1:6443?insecure=true",
        &[("token", "secret")],
    );
    let access = access.unwrap();
    access.check().unwrap();
    assert_eq!(
        access.config().unwrap().cluster_url.to_string(),
        "https://10.0.0.1:6443/",
        "the override's server goes before the pod's"
    );
}

/// The message that the user gets before anything starts.
#[track_caller]
fn refused(dir: &tempfile::TempDir, access: anyhow::Result<Access>, expect: &Expect) {
    let error = access.and_then(|access| access.check()).unwrap_err();
    let text = format!("{error:#}").replace(&dir.path().display().to_string(), "DIR");
    expect.assert_eq(&text);
}

#[test]
fn what_cannot_work_is_an_error_of_one_sentence() {
    let (dir, access) = pod("", &[]);
    refused(
        &dir,
        access,
        &expect![
            "reading the service account's token DIR/token: No such file or directory (os error 2)"
        ],
    );
    let (dir, access) = pod("", &[("token", "secret"), ("ca.crt", "rubbish")]);
    refused(
        &dir,
        access,
        &expect![
            "preparing to talk to the API server https://[fd00::1]:443/: rustls tls error: failed to add a root certificate: no root trust anchors were provided"
        ],
    );
    let access = Access::new("https://h", |_| None);
    refused(
        &dir,
        access,
        &expect![
            "this is not a pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set; add ?inClusterConfig=false to --apiserver-override"
        ],
    );
    let access = Access::new("?inClusterConfig=false", |_| None);
    refused(
        &dir,
        access,
        &expect![
            "--apiserver-override: with inClusterConfig=false a server or auth=KUBECONFIG must be given"
        ],
    );

    for (content, expect) in [
        (
            None,
            expect![
                "reading the kubeconfig DIR/kubeconfig: No such file or directory (os error 2)"
            ],
        ),
        (
            Some("nonsense"),
            expect![
                "reading the kubeconfig DIR/kubeconfig: failed to parse kubeconfig YAML: error: line 1 column 1: expected mapping start"
            ],
        ),
        (
            Some("clusters: []"),
            expect!["reading the kubeconfig DIR/kubeconfig: failed to determine current context"],
        ),
        (
            Some(
                "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n\
                 clusters: [{name: k, cluster: {server: 'https://127.0.0.1:6443'}}]\n\
                 users: [{name: u, user: {client-certificate: /nowhere, client-key: /nowhere}}]",
            ),
            expect![[
                r#"preparing to talk to the API server https://127.0.0.1:6443/: Failed to infer provided configuration: failed to load client certificate: failed to read file '"/nowhere"': No such file or directory (os error 2)"#
            ]],
        ),
    ] {
        let path: PathBuf = dir.path().join("kubeconfig");
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let flag = format!("?inClusterConfig=false&auth={}", path.display());
        refused(&dir, Access::new(&flag, |_| None), &expect);
    }
}

#[test]
fn a_token_file_is_used_where_asked_for() {
    let (dir, access) = pod(
        "http://h?inClusterConfig=false&useServiceAccount=true",
        &[("token", "secret")],
    );
    let access = access.unwrap();
    let config = access.config().unwrap();
    let token = dir.path().join("token").display().to_string();
    assert_eq!(config.auth_info.token_file, Some(token));
    std::fs::remove_file(dir.path().join("token")).unwrap();
    let config = access.config().unwrap();
    assert_eq!(config.auth_info.token_file, None, "not there, not used");
}
