//! Asks a component of the node whether it is healthy.

mod cri;
mod http;
mod socket;

use std::time::Duration;

/// Which component to ask, and how.
#[derive(Clone, Debug)]
pub enum Asked {
    /// The kubelet.
    Kubelet,
    /// kube-proxy.
    KubeProxy,
    /// Docker.
    Docker,
    /// The container runtime.
    Cri {
        /// Its socket.
        socket: String,
        /// How long each answer may take.
        timeout: Duration,
    },
}

/// Whether a component says that it is healthy.
pub async fn ask(whom: Asked) -> anyhow::Result<bool> {
    match whom {
        Asked::Kubelet => http::kubelet().await,
        Asked::KubeProxy => http::kube_proxy().await,
        Asked::Docker => http::docker().await,
        Asked::Cri { socket, timeout } => cri::probe(&socket, timeout).await,
    }
}

#[cfg(test)]
mod tests;
