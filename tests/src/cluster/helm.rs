//! Helm, built as a Go module like the cluster itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::client::Client;
use super::go_module::GoModule;
use super::server::output;

const MODULE: GoModule = GoModule {
    folder: "helm",
    sources: &["go.mod", "go.sum"],
    packages: &["helm.sh/helm/v3/cmd/helm"],
    // Like a released Helm: without a cluster, it renders for this version of Kubernetes.
    flags: "-s -w -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 \
            -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=36",
};

/// Why there can be no [`Helm`], if so.
pub fn missing() -> Option<String> {
    MODULE.missing()
}

/// The program `helm`.
#[derive(Clone, Debug)]
pub struct Helm(PathBuf);

impl Helm {
    /// Helm of `tests/helm/go.mod`, built the first time (a minute) and saved in `target/cluster`.
    pub fn find() -> anyhow::Result<Self> {
        Ok(Self(MODULE.built()?.join("helm")))
    }

    /// What `helm` prints without a cluster.
    ///
    /// # Errors
    /// What it prints on standard error.
    pub fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        output(&mut self.command(Path::new("/dev/null"), args))
    }

    /// What `helm` prints as an admin of a cluster.
    ///
    /// # Errors
    /// What it prints on standard error.
    pub fn run_in(&self, cluster: &Client, args: &[&str]) -> anyhow::Result<String> {
        output(&mut self.command(&cluster.kubeconfig, args))
    }

    fn command(&self, kubeconfig: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.env("KUBECONFIG", kubeconfig).args(args);
        // No repositories, plugins and registries of the user's.
        for name in ["HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_CACHE_HOME"] {
            command.env(name, "/nonexistent");
        }
        command
    }
}
