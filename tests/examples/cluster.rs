//! A cluster to try things on: `cargo run -p npd-tests --example cluster [IMAGE.tar…]`.
//!
//! This machine is its one node if that is possible (root, containerd); else there is the API
//! server only. It ends with the end of the input: Ctrl-D.

#![expect(
    clippy::print_stdout,
    reason = "it prints for people where the cluster is"
)]

use std::ffi::{OsStr, OsString};
use std::io;
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use npd_tests::cluster::{self, ApiServer, Client, Node};
use tempfile::TempDir;

fn main() -> anyhow::Result<()> {
    let images: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if let Some(reason) = cluster::api_server_missing() {
        bail!("no API server here: {reason}");
    }
    if let Some(reason) = cluster::node_missing() {
        println!("No node: {reason}.");
        let dir = TempDir::new()?;
        let api = ApiServer::start(dir.path())?;
        return hold(&api.client);
    }
    let node = Node::start()?;
    for image in &images {
        import(&node, image)?;
    }
    hold(&node.client)
}

fn import(node: &Node, image: &Path) -> anyhow::Result<()> {
    node.import_image(image)
        .with_context(|| format!("importing {}", image.display()))
}

fn hold(client: &Client) -> anyhow::Result<()> {
    println!("export KUBECONFIG={}", client.kubeconfig.display());
    println!("alias kubectl='{}'", kubectl(client).display());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn kubectl(client: &Client) -> OsString {
    let command = client.command();
    let words: Vec<_> = iter::once(command.get_program())
        .chain(command.get_args())
        .collect();
    words.join(OsStr::new(" "))
}
