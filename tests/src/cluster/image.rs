//! The image that every pod needs beside its own.

use std::path::Path;

use xtask::oci::{Image, Layer};

use super::components;

/// The name of the image that [`super::Node::start`] imports: `/pause`, which also allocates
/// memory (`args: ["allocate", "BYTES"]`).
pub(super) const PAUSE: &str = "npd.test/pause:1";

/// The manifest of a pod of [`PAUSE`] that may take 20 MiB of memory. `args` is a list in YAML.
#[must_use]
pub fn small_pod(name: &str, args: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{ name: {name} }}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: {PAUSE}
    imagePullPolicy: Never
    args: {args}
    resources: {{ limits: {{ memory: 20Mi }} }}
"
    )
}

/// Writes the image of [`PAUSE`].
pub(super) fn write_pause(path: &Path) -> anyhow::Result<()> {
    let mut files = Layer::default();
    files.add("/pause", &components::pause()?)?;
    let image = Image {
        name: PAUSE,
        layers: &[files.archive()?],
        entrypoint: &["/pause"],
    };
    image.write(path)?;
    Ok(())
}
