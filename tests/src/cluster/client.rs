//! kubectl, and the identities that a test gives to the agent.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::components::Components;
use super::server::{eventually, output};
use crate::agent::PATIENCE;

/// An admin of a cluster: that of a test, or that of `$KUBECONFIG`.
#[derive(Clone, Debug)]
pub struct Client {
    /// Where the server is and who is asking.
    pub kubeconfig: PathBuf,
    components: Components,
    home: PathBuf,
}

impl Client {
    /// The user of `kubeconfig`. kubectl's cache and further kubeconfigs are in the directory `home`.
    pub fn new(kubeconfig: &Path, home: &Path) -> anyhow::Result<Self> {
        Ok(Self::from_parts(
            kubeconfig,
            home,
            Components::find(&["kubectl"])?,
        ))
    }

    pub(super) fn from_parts(kubeconfig: &Path, home: &Path, components: Components) -> Self {
        Self {
            kubeconfig: kubeconfig.to_owned(),
            components,
            home: home.to_owned(),
        }
    }

    /// What `kubectl` prints.
    ///
    /// # Errors
    /// What it prints on standard error.
    pub fn kubectl(&self, args: &[&str]) -> anyhow::Result<String> {
        output(self.command().args(args))
    }

    /// `kubectl`, to be given arguments.
    pub fn command(&self) -> Command {
        let mut command = self.components.command("kubectl");
        command
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// `kubectl apply` of a manifest in YAML or JSON.
    pub fn apply(&self, manifest: &str) -> anyhow::Result<()> {
        let mut file = NamedTempFile::new().context("creating a file for the manifest")?;
        file.write_all(manifest.as_bytes())?;
        self.kubectl(&["apply", &format!("--filename={}", file.path().display())])?;
        Ok(())
    }

    /// A token of a service account in kube-system that has the cluster role
    /// `system:node-problem-detector` and no other right. Valid for an hour.
    pub fn token_for(&self, service_account: &str) -> anyhow::Result<String> {
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": service_account, "namespace": "kube-system" },
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": service_account },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:node-problem-detector",
            },
            "subjects": [
                { "kind": "ServiceAccount", "name": service_account, "namespace": "kube-system" },
            ],
        });
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": [account, binding] });
        self.apply(&list.to_string())?;
        let token = self.kubectl(&["create", "token", service_account, "-n=kube-system"])?;
        // The server's authorizer reads a new binding a moment later.
        let asks = format!("--as=system:serviceaccount:kube-system:{service_account}");
        eventually(PATIENCE, || {
            self.kubectl(&["auth", "can-i", "get", "nodes", &asks])
        })?;
        Ok(token.trim().to_owned())
    }

    /// Another user of the same cluster, with `token`. `name` is the name of the kubeconfig's file.
    pub fn with_token(&self, name: &str, token: &str) -> anyhow::Result<Self> {
        let view = self.kubectl(&["config", "view", "--minify", "--flatten", "-o=json"])?;
        let mut config: Value = serde_json::from_str(&view)?;
        config["users"][0]["user"] = json!({ "token": token });
        let kubeconfig = self.home.join(format!("{name}.kubeconfig"));
        fs::write(&kubeconfig, config.to_string())
            .with_context(|| format!("writing {}", kubeconfig.display()))?;
        Ok(Self {
            kubeconfig,
            ..self.clone()
        })
    }
}
