//! A whole one-node cluster.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use nix::unistd::geteuid;

use super::apiserver::{ApiServer, flag};
use super::client::Client;
use super::components::{self, Components, has_program};
use super::image;
use super::server::{Server, eventually, output};
use crate::agent::PATIENCE;
use crate::port::{FreePort, free_port};

const PROGRAMS: [&str; 3] = ["kube-controller-manager", "kube-scheduler", "kubelet"];

/// Debian's packages `containerd` and `runc`, and util-linux.
const TOOLS: [&str; 5] = ["containerd", "ctr", "runc", "nsenter", "unshare"];

/// The node's name. The API server dials the kubelet by it, for logs.
const NAME: &str = "localhost";

/// Why no node can be started on this machine, if so: the reason for skipping a test.
pub fn missing() -> Option<String> {
    if !geteuid().is_root() {
        return Some("not root".to_owned());
    }
    if let Some(tool) = TOOLS.into_iter().find(|tool| !has_program(tool)) {
        return Some(format!("the program {tool} is not installed"));
    }
    components::linked_missing() // The pause image has no other source.
}

/// A control plane, and this machine as its one node, which is Ready and runs real pods.
///
/// Pods run in the machine's pid namespace and on its network; images come from
/// [`Self::import_image`] only. The kernel log and the sysctls are the machine's, so there is one
/// node at a time. Dropping it kills everything and puts the machine back as it was; what its
/// servers logged stays in `target/cluster/node` until the next one starts.
#[derive(Debug)]
pub struct Node {
    /// The name of the Node.
    pub name: &'static str,
    /// The admin.
    pub client: Client,
    // Dropped in this order: nothing restarts what the namespace's end kills.
    servers: Vec<Server>,
    namespace: Namespace,
    /// Its API server.
    pub api: ApiServer,
    /// Where the kubelet listens.
    kubelet_port: FreePort,
    dir: PathBuf,
}

impl Node {
    /// Starts a new cluster; takes some five seconds.
    pub fn start() -> anyhow::Result<Self> {
        let namespace = Namespace::new()?;
        let dir = components::cache()?.join("node");
        if dir.exists() {
            fs::remove_dir_all(&dir).context("removing the last node's files")?;
        }
        fs::create_dir(&dir)?;
        let api = ApiServer::start_as_service(&dir)?;
        let mut node = Self {
            name: NAME,
            client: api.client.clone(),
            servers: Vec::new(),
            namespace,
            api,
            kubelet_port: free_port()?,
            dir,
        };
        node.bring_up()
            .with_context(|| format!("starting a node; see {}", node.dir.display()))?;
        Ok(node)
    }

    fn bring_up(&mut self) -> anyhow::Result<()> {
        self.start_containerd()?;
        self.start_control_plane()?;
        let pause = self.path("pause.tar");
        image::write_pause(&pause)?;
        let imported = eventually(PATIENCE, || self.import_image(&pause));
        self.check()?;
        imported?;
        self.start_kubelet()?;
        let ready = self.wait_until_ready();
        self.check()?;
        ready
    }

    /// An error if one of its servers is gone.
    fn check(&mut self) -> anyhow::Result<()> {
        self.servers.iter_mut().try_for_each(Server::check)
    }

    /// Makes the images of an OCI layout or a `docker save`, a tar archive, known to the node.
    /// Pods need `imagePullPolicy: Never` or `IfNotPresent`.
    pub fn import_image(&self, archive: &Path) -> anyhow::Result<()> {
        let ctr = || {
            let mut command = self.command("ctr");
            command.args(["--namespace=k8s.io", "images"]);
            command
        };
        output(ctr().arg("import").arg(archive))?;
        // The kubelet's side of containerd learns of an image from an event, and labels it then.
        eventually(PATIENCE, || {
            let images = output(ctr().arg("ls"))?;
            let known = |image: &str| image.contains("io.cri-containerd.image=managed");
            ensure!(
                images.lines().skip(1).all(known),
                "an image is unknown to the kubelet"
            );
            Ok(())
        })
    }

    /// A command with the node's mounts, such as `/var/lib/kubelet`. What it mounts, pods see where
    /// their volumes ask for `HostToContainer`.
    pub fn command(&self, program: &str) -> Command {
        self.namespace.command(&Command::new(program))
    }

    fn start_containerd(&mut self) -> anyhow::Result<()> {
        let plugin = self.path("loopback");
        fs::write(&plugin, include_str!("cni.sh"))?;
        fs::set_permissions(&plugin, Permissions::from_mode(0o755))?;
        fs::write(
            self.path("host.conflist"),
            r#"{ "cniVersion": "0.4.0", "name": "host", "plugins": [{ "type": "loopback" }] }"#,
        )?;
        let config = self.path("containerd.toml");
        let dir = self.dir.display();
        let text = format!(
            r#"
version = 2
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
disable_apparmor = true
restrict_oom_score_adj = true # runc fails without CAP_SYS_RESOURCE otherwise.
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{dir}"
conf_dir = "{dir}"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
options = {{ SystemdCgroup = false }}
"#,
            pause = image::PAUSE,
        );
        fs::write(&config, text)?;
        let mut command = self.command("containerd");
        command.arg(flag("config", &config));
        self.spawn("containerd", command)
    }

    fn start_control_plane(&mut self) -> anyhow::Result<()> {
        let components = Components::find(&PROGRAMS)?;
        for program in ["kube-controller-manager", "kube-scheduler"] {
            let mut command = components.command(program);
            command
                .arg(flag("kubeconfig", &self.client.kubeconfig))
                .args(["--leader-elect=false", "--secure-port=0"]);
            if program == "kube-controller-manager" {
                command
                    .arg(flag("flex-volume-plugin-dir", self.path("volume-plugins")))
                    .arg(flag("root-ca-file", self.api.certificate()))
                    .arg(flag(
                        "service-account-private-key-file",
                        self.api.signing_key(),
                    ));
            }
            self.spawn(program, command)?;
        }
        Ok(())
    }

    fn start_kubelet(&mut self) -> anyhow::Result<()> {
        let config = self.path("kubelet.yaml");
        let port = self.kubelet_port.number;
        let text = format!(
            "
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: {port}
healthzPort: 0
authentication: {{ anonymous: {{ enabled: true }}, webhook: {{ enabled: false }} }}
authorization: {{ mode: AlwaysAllow }}
cgroupDriver: cgroupfs
clusterDNS: [127.96.0.10] # Nobody is there, but without one every pod has a warning on the Node.
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
volumePluginDir: /var/lib/kubelet/volume-plugins
"
        );
        fs::write(&config, text)?;
        let mut command = self
            .namespace
            .command(&Components::find(&PROGRAMS)?.command("kubelet"));
        command
            .arg(flag("config", &config))
            .arg(flag("kubeconfig", &self.client.kubeconfig))
            .arg(flag("hostname-override", NAME));
        self.spawn("kubelet", command)
    }

    /// Until the Node is Ready and pods are accepted.
    fn wait_until_ready(&self) -> anyhow::Result<()> {
        let node = format!("node/{NAME}");
        for args in [
            ["--for=create", &node],
            ["--for=condition=Ready", &node],
            ["--for=create", "serviceaccount/default"],
        ] {
            self.client
                .kubectl(&["wait", "--timeout=5m", args[0], args[1]])?;
        }
        Ok(())
    }

    fn spawn(&mut self, name: &str, command: Command) -> anyhow::Result<()> {
        let log = self.path(&format!("{name}.log"));
        self.servers.push(Server::spawn(command, &log)?);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The mount namespace of a node, and the process that restores the machine at the end: see
/// `namespace.sh`.
#[derive(Debug)]
struct Namespace {
    keeper: Child,
    pid: String,
}

impl Namespace {
    fn new() -> anyhow::Result<Self> {
        let mut keeper = Command::new("sh")
            .args(["-c", include_str!("namespace.sh")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0) // A Ctrl-C is not for it.
            .spawn()
            .context("starting a shell")?;
        let stdout = keeper
            .stdout
            .take()
            .context("opening the namespace's output")?;
        let mut answer = String::new();
        BufReader::new(stdout).read_line(&mut answer)?;
        let answer = answer.trim_end();
        let namespace = Self {
            keeper,
            pid: answer.to_owned(),
        };
        ensure!(
            answer.parse::<u32>().is_ok(),
            "making the node's mount namespace: {answer}"
        );
        Ok(namespace)
    }

    /// `command` in the namespace, without its environment.
    fn command(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside
            .arg(flag("target", &self.pid))
            .args(["--mount", "--"])
            .arg(command.get_program())
            .args(command.get_args());
        inside
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // It prints itself what it could not restore.
        self.keeper.wait().ok();
    }
}
