//! A real Kubernetes for the tests, on loopback only.
//!
//! [`ApiServer`] is kube-apiserver with its etcd, for tests of what the agent writes. [`Node`] is a
//! whole one-node cluster, for tests of what the kernel, the kubelet and the agent's pod do together.
//! Everything stops and is put back when the value is dropped, and also when the test is killed.

mod apiserver;
mod client;
mod components;
mod go_module;
mod helm;
mod image;
mod karpenter;
mod lab;
mod node;
mod server;

pub use apiserver::{ApiServer, connect, connect_missing, missing as api_server_missing};
pub use client::Client;
pub use helm::{Helm, missing as helm_missing};
pub use image::small_pod;
pub use karpenter::{Karpenter, missing as karpenter_missing};
pub use lab::Lab;
pub use node::{Node, missing as node_missing};
pub use server::eventually;
