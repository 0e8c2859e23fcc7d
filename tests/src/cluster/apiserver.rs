//! kube-apiserver and its etcd.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::client::Client;
use super::components::{self, Components, hex};
use super::server::{Server, random};
use crate::port::{FreePort, free_port};

const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];

/// Why no API server can be started on this machine, if so: the reason for skipping a test.
pub fn missing() -> Option<String> {
    components::missing(&PROGRAMS)
}

/// The admin of the cluster that `$KUBECONFIG` names, or else of a new API server, which lives as long
/// as the second value. For tests that read and write, and do not kill the server.
pub fn connect(dir: &Path) -> anyhow::Result<(Client, Option<ApiServer>)> {
    if let Some(kubeconfig) = given() {
        return Ok((Client::new(&kubeconfig, dir)?, None));
    }
    let server = ApiServer::start(dir)?;
    Ok((server.client.clone(), Some(server)))
}

/// Why [`connect`] cannot succeed on this machine, if so: the reason for skipping a test.
pub fn connect_missing() -> Option<String> {
    let programs: &[&str] = if given().is_some() {
        &["kubectl"]
    } else {
        &PROGRAMS
    };
    components::missing(programs)
}

fn given() -> Option<PathBuf> {
    env::var_os("KUBECONFIG").map(PathBuf::from)
}

/// A ready API server with RBAC on, and nothing else of a cluster: no controllers, no nodes.
///
/// All of its state is in its directory. Dropping it kills it.
#[derive(Debug)]
pub struct ApiServer {
    /// The admin, of the group `system:masters`.
    pub client: Client,
    dir: PathBuf,
    address: SocketAddr,
    /// Holds the port of the address.
    port: Option<FreePort>,
    disabled_admission: &'static str,
    components: Components,
    processes: Vec<Server>,
}

impl ApiServer {
    /// Starts one on a port of 127.0.0.1, which it keeps. `dir` is empty, or what an earlier one left.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let address = (Ipv4Addr::LOCALHOST, port.number).into();
        // Without a controller, nobody creates the service accounts. Otherwise pods would be refused.
        let mut server = Self::start_at(dir, address, "ServiceAccount")?;
        server.port = Some(port);
        Ok(server)
    }

    /// Starts one at the address of the Service `kubernetes`, where pods look for it: within 127/8,
    /// no kube-proxy has to bring them there.
    pub(super) fn start_as_service(dir: &Path) -> anyhow::Result<Self> {
        Self::start_at(dir, ([127, 96, 0, 1], 443).into(), "")
    }

    fn start_at(
        dir: &Path,
        address: SocketAddr,
        disabled_admission: &'static str,
    ) -> anyhow::Result<Self> {
        let dir = dir
            .canonicalize()
            .with_context(|| format!("opening {}", dir.display()))?;
        let kubeconfig = write_admin(&dir, address)?;
        write_audit_policy(&dir)?;
        let components = Components::find(&PROGRAMS)?;
        let mut server = Self {
            client: Client::from_parts(&kubeconfig, &dir, components.clone()),
            dir,
            address,
            port: None,
            disabled_admission,
            components,
            processes: Vec::new(),
        };
        server.restart()?;
        Ok(server)
    }

    /// Kills it with SIGKILL, etcd too: to a client, the server's machine lost its power.
    pub fn kill9(&mut self) {
        self.processes.clear();
    }

    /// Starts it again on its directory and address; returns when it is ready.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill9();
        TcpListener::bind(self.address)
            .with_context(|| format!("the API server's address {} is taken", self.address))?;
        // Other addresses of loopback: a port that is free for the one server is free for both.
        let etcd = format!("http://127.0.0.2:{}", self.address.port());
        let peer = format!("http://127.0.0.3:{}", self.address.port());
        for (name, command) in [
            ("etcd", self.etcd(&etcd, &peer)),
            ("kube-apiserver", self.kube_apiserver(&etcd)),
        ] {
            let log = self.dir.join(format!("{name}.log"));
            self.processes.push(Server::spawn(command, &log)?);
        }

        let start = Instant::now();
        while let Err(error) = self.is_ready() {
            self.processes.iter_mut().try_for_each(Server::check)?;
            ensure!(
                start.elapsed() < Duration::from_mins(5),
                "API server is not ready: {error:#}"
            );
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn is_ready(&self) -> anyhow::Result<()> {
        // kubectl costs a third of a second, which the server needs for its start.
        TcpStream::connect(self.address)?;
        self.client.kubectl(&["get", "--raw=/readyz"]).map(drop)
    }

    /// What a service account in kube-system has written, as the server has logged it: for each request
    /// the verb, the resource and the object's name.
    pub fn writes(&self, service_account: &str) -> anyhow::Result<Vec<String>> {
        let user = format!("system:serviceaccount:kube-system:{service_account}");
        let log = self.dir.join("audit.log");
        let log = fs::read_to_string(log).context("reading the audit log")?;
        let mut writes = Vec::new();
        for line in log.lines() {
            let request: Value = serde_json::from_str(line).context("in the audit log")?;
            if request["user"]["username"] == *user {
                let object = &request["objectRef"];
                let words = [&request["verb"], &object["resource"], &object["name"]];
                writes.push(words.map(|word| word.as_str().unwrap_or("")).join(" "));
            }
        }
        Ok(writes)
    }

    /// `https://…`, as in its kubeconfigs.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The PEM file of what clients trust.
    pub fn certificate(&self) -> PathBuf {
        certificate(&self.dir)
    }

    /// The PEM file of the key that signs service accounts' tokens.
    pub(super) fn signing_key(&self) -> PathBuf {
        // The key of its certificate serves for both: the server makes it before it reads this one.
        self.dir.join("pki/apiserver.key")
    }

    fn etcd(&self, client: &str, peer: &str) -> Command {
        let mut command = self.components.command("etcd");
        command
            .arg(flag("data-dir", self.dir.join("etcd")))
            .arg("--unsafe-no-fsync")
            .args([
                flag("listen-client-urls", client),
                flag("advertise-client-urls", client),
            ])
            .args([
                flag("listen-peer-urls", peer),
                flag("initial-advertise-peer-urls", peer),
            ])
            .arg(format!("--initial-cluster=default={peer}"));
        command
    }

    fn kube_apiserver(&self, etcd: &str) -> Command {
        let mut command = self.components.command("kube-apiserver");
        command
            .arg(flag("etcd-servers", etcd))
            .arg(flag("bind-address", self.address.ip().to_string()))
            .arg(flag("secure-port", self.address.port().to_string()))
            .arg(flag("cert-dir", self.dir.join("pki")))
            .arg(flag("token-auth-file", self.dir.join("tokens.csv")))
            .arg("--authorization-mode=RBAC")
            .arg(flag("audit-policy-file", self.dir.join("audit.yaml")))
            .arg(flag("audit-log-path", self.dir.join("audit.log")))
            .arg(flag("service-account-key-file", self.signing_key()))
            .arg(flag("service-account-signing-key-file", self.signing_key()))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg("--service-cluster-ip-range=127.96.0.0/24")
            .arg(flag("disable-admission-plugins", self.disabled_admission))
            .arg("--endpoint-reconciler-type=none")
            .arg("--allow-privileged");
        command
    }
}

/// Creates an admin that no other test's server knows.
fn write_admin(dir: &Path, address: SocketAddr) -> anyhow::Result<PathBuf> {
    let token = hex(&random::<16>()?);
    fs::write(
        dir.join("tokens.csv"),
        format!("{token},admin,admin,\"system:masters\"\n"),
    )?;
    let server = format!("https://{address}");
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "test",
            "cluster": { "server": server, "certificate-authority": certificate(dir) },
        }],
        "users": [{ "name": "admin", "user": { "token": token } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "admin" } }],
        "current-context": "test",
    });
    let path = dir.join("admin.kubeconfig");
    fs::write(&path, config.to_string())?;
    Ok(path)
}

/// Makes the server log what service accounts in kube-system write.
fn write_audit_policy(dir: &Path) -> anyhow::Result<()> {
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {
                "level": "Metadata",
                "userGroups": ["system:serviceaccounts:kube-system"],
                "verbs": ["create", "update", "patch", "delete"],
            },
            { "level": "None" },
        ],
    });
    let path = dir.join("audit.yaml");
    fs::write(&path, policy.to_string()).with_context(|| format!("writing {}", path.display()))
}

fn certificate(dir: &Path) -> PathBuf {
    dir.join("pki/apiserver.crt")
}

/// `--name=value`.
pub(super) fn flag(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value);
    flag
}
