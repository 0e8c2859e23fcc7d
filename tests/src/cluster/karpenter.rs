//! Karpenter, built as a Go module like the cluster itself.

use std::path::Path;
use std::process::Command;

use super::client::Client;
use super::go_module::GoModule;
use super::server::Server;

const MODULE: GoModule = GoModule {
    folder: "karpenter",
    sources: &["go.mod", "go.sum", "main.go"],
    packages: &["."],
    flags: "-s -w",
};

/// Why there can be no [`Karpenter`], if so.
pub fn missing() -> Option<String> {
    MODULE.missing()
}

/// Karpenter with node repair and its kwok provider, for which a Node object is a whole node. Dropping it
/// kills it.
#[derive(Debug)]
pub struct Karpenter {
    _server: Server,
}

impl Karpenter {
    /// Starts Karpenter of `tests/karpenter`, built the first time (minutes) and saved in `target/cluster`.
    /// It makes its kinds known to the API server. Its log is in `dir`.
    pub fn start(admin: &Client, dir: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(MODULE.built()?.join("karpenter"));
        command
            .env("KUBECONFIG", &admin.kubeconfig)
            .env("FEATURE_GATES", "NodeRepair=true")
            .env("DISABLE_LEADER_ELECTION", "true")
            // Any port.
            .env("METRICS_PORT", "0")
            .env("HEALTH_PROBE_PORT", "0");
        let server = Server::spawn(command, &dir.join("karpenter.log"))?;
        Ok(Self { _server: server })
    }
}
