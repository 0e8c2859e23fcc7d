//! Container images without a container tool: OCI layouts in tar archives, as `ctr images import`
//! and `podman load` read them.
//!
//! The same content makes the same bytes and the same digest: entries are sorted, belong to root, and have
//! a date of 1970.
//!
//! This is written by hand because the crate `oci-spec` only has types for the JSON documents, which are
//! four short ones.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.0/image-layout.md>

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

/// An image for this machine's architecture.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Its full name, which the kubelet uses with containerd: `docker.io/library/npd-ebpf:0.1.0`.
    pub name: &'a str,
    /// Tar archives, the lowest layer first.
    pub layers: &'a [Vec<u8>],
    /// The entry point.
    pub entrypoint: &'a [&'a str],
}

impl Image<'_> {
    /// Writes the image to the archive `path`, completely or not at all. Returns the digest of its
    /// manifest, which is its digest in registries.
    pub fn write(&self, path: &Path) -> anyhow::Result<String> {
        let doing = || format!("writing the image {}", path.display());
        let file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(path.parent().unwrap_or(path))
            .with_context(doing)?;
        let digest = self.write_layout(file.as_file()).with_context(doing)?;
        file.persist(path).with_context(doing)?;
        Ok(digest)
    }

    fn write_layout(&self, file: impl Write) -> anyhow::Result<String> {
        let mut layout = Builder::new(file);
        let version = json!({ "imageLayoutVersion": "1.0.0" });
        append(&mut layout, "oci-layout", &version)?;

        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for layer in self.layers {
            let layer = blob(&mut layout, "layer.v1.tar", layer)?;
            diff_ids.push(layer["digest"].clone()); // the same, because it is not compressed
            layers.push(layer);
        }
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": { "Entrypoint": self.entrypoint, "Env": [PATH] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(&mut layout, "config.v1+json", config.to_string().as_bytes())?,
            "layers": layers,
        });
        let manifest = manifest.to_string();
        let mut descriptor = blob(&mut layout, "manifest.v1+json", manifest.as_bytes())?;
        let tag = self.name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        descriptor["annotations"] = json!({
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({ "schemaVersion": 2, "manifests": [descriptor] });
        append(&mut layout, "index.json", &index)?;
        layout.finish()?;
        Ok(digest(manifest.as_bytes()))
    }
}

/// The `PATH`, as in Docker's images.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The files of a layer, by absolute paths.
#[derive(Debug, Default)]
pub struct Layer(BTreeMap<PathBuf, Entry>);

#[derive(Debug)]
enum Entry {
    Folder,
    File { content: Vec<u8>, executable: bool },
    Link { target: PathBuf },
}

impl Layer {
    /// Adds the file or the folder `source` of this machine, with everything below it, as `path`. Of the
    /// mode, only the executable bit is used.
    pub fn add(&mut self, path: impl AsRef<Path>, source: &Path) -> anyhow::Result<()> {
        let path = path.as_ref();
        let reading = || format!("reading {}", source.display());
        let metadata = source.metadata().with_context(reading)?;
        if metadata.is_dir() {
            self.insert(path, Entry::Folder);
            for entry in source.read_dir().with_context(reading)? {
                let entry = entry.with_context(reading)?;
                self.add(path.join(entry.file_name()), &entry.path())?;
            }
        } else {
            let content = fs::read(source).with_context(reading)?;
            let executable = metadata.permissions().mode() & 0o111 != 0;
            self.insert(
                path,
                Entry::File {
                    content,
                    executable,
                },
            );
        }
        Ok(())
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: impl AsRef<Path>, target: impl Into<PathBuf>) {
        let target = target.into();
        self.insert(path.as_ref(), Entry::Link { target });
    }

    /// Adds an entry and its parent folders.
    fn insert(&mut self, path: &Path, entry: Entry) {
        let path = path.strip_prefix("/").unwrap_or(path); // as archives name files
        let folders = path.ancestors().skip(1);
        for folder in folders.filter(|folder| !folder.as_os_str().is_empty()) {
            self.0.entry(folder.to_owned()).or_insert(Entry::Folder);
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// The layer as a tar archive.
    pub fn archive(&self) -> anyhow::Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        for (path, entry) in &self.0 {
            match entry {
                Entry::Folder => {
                    let mut header = header(0o755, 0);
                    header.set_entry_type(EntryType::Directory);
                    archive.append_data(&mut header, path, [].as_slice())?;
                }
                Entry::File {
                    content,
                    executable,
                } => {
                    let mode = if *executable { 0o755 } else { 0o644 };
                    let mut header = header(mode, content.len());
                    archive.append_data(&mut header, path, content.as_slice())?;
                }
                Entry::Link { target } => {
                    let mut header = header(0o777, 0);
                    header.set_entry_type(EntryType::Symlink);
                    archive.append_link(&mut header, path, target)?;
                }
            }
        }
        Ok(archive.into_inner()?)
    }
}

/// The digest of `content`: `sha256:…`.
pub fn digest(content: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut digest = "sha256:".to_owned();
    for byte in Sha256::digest(content) {
        write!(digest, "{byte:02x}").ok(); // a string takes everything
    }
    digest
}

/// Adds `content` under its digest; returns its descriptor.
fn blob(layout: &mut Builder<impl Write>, kind: &str, content: &[u8]) -> anyhow::Result<Value> {
    let digest = digest(content);
    let path = format!("blobs/{}", digest.replace(':', "/"));
    layout.append_data(&mut header(0o644, content.len()), path, content)?;
    let media_type = format!("application/vnd.oci.image.{kind}");
    Ok(json!({ "mediaType": media_type, "digest": digest, "size": content.len() }))
}

fn append(layout: &mut Builder<impl Write>, path: &str, json: &Value) -> anyhow::Result<()> {
    let json = json.to_string();
    layout.append_data(&mut header(0o644, json.len()), path, json.as_bytes())?;
    Ok(())
}

/// Of root and of 1970.
fn header(mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_mode(mode);
    header.set_size(size as u64);
    header
}

/// This machine's architecture, with Go's name, which OCI uses.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
