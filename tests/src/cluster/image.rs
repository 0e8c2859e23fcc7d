//! Container images without a container tool.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

use super::components::{self, hex};

/// An image of one layer with nothing in it but programs.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Its whole name, such as `npd.test/agent:1`.
    pub name: &'a str,
    /// Executables: the path in the image, without a leading slash, and the file on this machine.
    pub programs: &'a [(&'a str, &'a Path)],
    /// What runs when a pod names no command.
    pub entrypoint: &'a [&'a str],
}

/// The name of the image that [`super::Node::start`] imports: `/pause`, which also allocates
/// memory (`args: ["allocate", "BYTES"]`).
pub const PAUSE: &str = "npd.test/pause:1";

/// Writes the image of [`PAUSE`].
pub(super) fn write_pause(path: &Path) -> anyhow::Result<()> {
    let pause = components::pause()?;
    Image {
        name: PAUSE,
        programs: &[("pause", &pause)],
        entrypoint: &["/pause"],
    }
    .write(path)
}

impl Image<'_> {
    /// Writes the image as an OCI layout in a tar archive, which `ctr images import` reads.
    ///
    /// <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let mut layout = Builder::new(file);
        append(
            &mut layout,
            "oci-layout",
            br#"{"imageLayoutVersion":"1.0.0"}"#,
            0o644,
        )?;

        let layer = self.layer()?;
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(&mut layout, "config.v1+json", config.to_string().as_bytes())?,
            "layers": [blob(&mut layout, "layer.v1.tar", &layer)?],
        });
        let mut descriptor = blob(
            &mut layout,
            "manifest.v1+json",
            manifest.to_string().as_bytes(),
        )?;
        descriptor["annotations"] = json!({ "io.containerd.image.name": self.name });
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
        append(
            &mut layout,
            "index.json",
            index.to_string().as_bytes(),
            0o644,
        )?;
        layout.finish()?;
        Ok(())
    }

    fn layer(&self) -> anyhow::Result<Vec<u8>> {
        let mut layer = Builder::new(Vec::new());
        for (name, file) in self.programs {
            let program = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            append(&mut layer, name, &program, 0o755)?;
        }
        Ok(layer.into_inner()?)
    }
}

/// Adds `content` under its digest; returns its descriptor.
fn blob(layout: &mut Builder<File>, kind: &str, content: &[u8]) -> anyhow::Result<Value> {
    let digest = digest(content);
    append(
        layout,
        &format!("blobs/{}", digest.replace(':', "/")),
        content,
        0o644,
    )?;
    let media_type = format!("application/vnd.oci.image.{kind}");
    Ok(json!({ "mediaType": media_type, "digest": digest, "size": content.len() }))
}

fn append(
    archive: &mut Builder<impl Write>,
    name: &str,
    content: &[u8],
    mode: u32,
) -> anyhow::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, name, content)?;
    Ok(())
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(content)))
}

/// This machine's architecture as Go, and so OCI, names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
