//! The agent's image, as `cargo xtask image` builds it, and what is in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tar::Archive;
use xtask::oci;

use crate::harness;

/// Builds the image of the agent under test with `flags`; returns the path of its archive. A test
/// that does this needs [`crate::harness::Need::Agent`].
pub fn build(flags: &[&str]) -> anyhow::Result<PathBuf> {
    let variable = |name| std::env::var_os(name).with_context(|| format!("{name} is not set"));
    let output = Command::new(variable("CARGO")?)
        .args(["xtask", "image"])
        .args(flags)
        .arg("--agent")
        .arg(harness::agent()?)
        .current_dir(variable("CARGO_MANIFEST_DIR")?)
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo xtask image")?;
    ensure!(output.status.success(), "cargo xtask image failed");
    let path = String::from_utf8(output.stdout)?;
    Ok(path.trim_end().into())
}

/// An image that has been read whole, and whose parts fit together.
#[derive(Debug)]
pub struct Image {
    /// What containerd calls it.
    pub name: String,
    /// The part of its configuration that a container starts with: `Entrypoint` and so on.
    pub config: Value,
    /// Tar archives, the lowest first.
    layers: Vec<Vec<u8>>,
}

impl Image {
    /// Reads the OCI layout in the tar archive `path`.
    ///
    /// # Errors
    /// Also if what a descriptor points to is not there, or has another size or digest.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in Archive::new(File::open(path)?).entries()? {
            let mut entry = entry?;
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.insert(entry.path()?.into_owned(), content);
        }
        let blob = |descriptor: &Value| -> anyhow::Result<Vec<u8>> {
            let digest = descriptor["digest"].as_str().context("no digest")?;
            let path = format!("blobs/{}", digest.replace(':', "/"));
            let content = files
                .get(Path::new(&path))
                .with_context(|| format!("no {path}"))?;
            ensure!(descriptor["size"] == content.len(), "the size of {path}");
            ensure!(digest == oci::digest(content), "the digest of {path}");
            Ok(content.clone())
        };
        let json = |text: &[u8]| -> anyhow::Result<Value> { Ok(serde_json::from_slice(text)?) };

        let index = files
            .get(Path::new("index.json"))
            .context("no index.json")?;
        let image = &json(index)?["manifests"][0];
        let manifest = json(&blob(image)?)?;
        let config = json(&blob(&manifest["config"])?)?;
        let layers = manifest["layers"].as_array().context("no layers")?;
        let layers: Vec<Vec<u8>> = layers.iter().map(blob).collect::<Result<_, _>>()?;
        let diff_ids: Vec<String> = layers.iter().map(|layer| oci::digest(layer)).collect();
        ensure!(
            config["rootfs"]["diff_ids"] == Value::from(diff_ids),
            "the layers' digests"
        );
        let name = image["annotations"]["io.containerd.image.name"].as_str();
        Ok(Self {
            name: name.context("no name")?.to_owned(),
            config: config["config"].clone(),
            layers,
        })
    }

    /// Lays the layers one over the other in the folder `root`.
    pub fn unpack(&self, root: &Path) -> anyhow::Result<()> {
        for layer in &self.layers {
            let mut layer = Archive::new(layer.as_slice());
            layer.set_preserve_permissions(true);
            layer.set_preserve_ownerships(true);
            layer.unpack(root)?;
        }
        Ok(())
    }
}
