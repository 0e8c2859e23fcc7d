//! The image that every pod needs beside its own.

use std::path::Path;

use xtask::oci::{Image, Layer};

use super::components;

/// The name of the image that [`super::Node::start`] imports: `/pause`, which also allocates
/// memory (`args: ["allocate", "BYTES"]`).
pub const PAUSE: &str = "npd.test/pause:1";

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
