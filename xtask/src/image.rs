//! `cargo xtask image`

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use xshell::Shell;
use xtask::oci::{Image, Layer};

use crate::workspace::{self, say};
use crate::{Command, agent, userland};

pub(crate) const COMMAND: Command = Command {
    name: "image",
    args: "[--minimal | --files FOLDER] [--agent PATH]",
    help: "Builds the same image as the Dockerfile, without Docker, and prints the path of an OCI layout in\n\
           a tar archive. To import it on a node: `ctr --namespace k8s.io images import PATH`. The image\n\
           has the agent, its configs, and Debian for plugins.\n\
           --minimal: without Debian.\n\
           --files: no image, only the files that are added to Debian; for the Dockerfile.\n\
           --agent: this one, instead of building it; for tests.",
    run,
};

/// The kubelet expands `npd-ebpf:0.1.0` to this before it asks containerd.
const NAME: &str = concat!("docker.io/library/npd-ebpf:", env!("CARGO_PKG_VERSION"));

/// As in NPD's image: a pod's `args` are added to it.
const ENTRYPOINT: &[&str] = &[
    AGENT,
    "--config.system-log-monitor=builtin",
    "--config.ebpf-monitor=builtin",
    "--config.system-stats-monitor=builtin",
];

const AGENT: &str = "/node-problem-detector";

/// The plugins that NPD's configs call by these paths. They are links to the agent's binary, which runs
/// the program whose name it was called by.
const PLUGINS: [&str; 2] = [
    "/home/kubernetes/bin/health-checker",
    "/home/kubernetes/bin/log-counter",
];

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    let (args, agent) = match args {
        [args @ .., flag, agent] if flag == "--agent" => (args, Some(agent)),
        args => (args, None),
    };
    let files = || files(shell, agent);
    match args {
        [] => {
            let userland = userland::layer(shell, &folder(shell)?)?;
            write(shell, "", &[userland, helper(shell)?, files()?])
        }
        [flag] if flag == "--minimal" => write(shell, "-minimal", &[files()?]),
        [flag, folder] if flag == "--files" => {
            let unpacked = tar::Archive::new(files()?.as_slice()).unpack(folder);
            unpacked.with_context(|| format!("writing the files to {folder}"))
        }
        _ => bail!("usage: cargo xtask {} {}", COMMAND.name, COMMAND.args),
    }
}

/// Writes the image of `layers` whose name ends in `suffix`.
fn write(shell: &Shell, suffix: &str, layers: &[Vec<u8>]) -> anyhow::Result<()> {
    let path = folder(shell)?.join(format!("npd-ebpf{suffix}.tar"));
    let name = format!("{NAME}{suffix}");
    let image = Image {
        name: &name,
        layers,
        entrypoint: ENTRYPOINT,
    };
    let digest = image.write(&path)?;
    say(format_args!("{name}@{digest}"));
    writeln!(std::io::stdout(), "{}", path.display())?;
    Ok(())
}

/// The layer with `clean-install`, with which derived images add packages, as in NPD's base image.
fn helper(shell: &Shell) -> anyhow::Result<Vec<u8>> {
    let mut helper = Layer::default();
    let script = shell.current_dir().join("deploy/image/clean-install");
    helper.add("/usr/local/bin/clean-install", &script)?;
    helper.archive()
}

/// The layer of all sizes: the files of NPD's image. Builds the agent unless it is given.
fn files(shell: &Shell, agent: Option<&String>) -> anyhow::Result<Vec<u8>> {
    let agent = agent.map_or_else(|| agent::release(shell), |path| Ok(path.into()))?;
    let mut files = Layer::default();
    files.add(AGENT, &agent)?;
    files.add("/config", &shell.current_dir().join("deploy/config"))?;
    for plugin in PLUGINS {
        files.link(plugin, AGENT);
    }
    files.archive()
}

/// The folder for images and for the userland's archive.
fn folder(shell: &Shell) -> anyhow::Result<PathBuf> {
    let folder = workspace::target_dir(shell).join("image");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_builds_the_same_image() {
        let dockerfile = include_str!("../../Dockerfile");
        let entrypoint = format!("ENTRYPOINT {ENTRYPOINT:?}");
        let images = dockerfile.matches("FROM ").count() - 1; // one stage builds
        assert_eq!(
            dockerfile.matches(&entrypoint).count(),
            images,
            "{entrypoint}"
        );
    }

    #[test]
    fn the_manifests_name_this_image() {
        let manifest = include_str!("../../deploy/kustomize/base/kustomization.yaml");
        let tag = format!(
            "- name: npd-ebpf\n    newTag: \"{}\"",
            env!("CARGO_PKG_VERSION")
        );
        assert!(manifest.contains(&tag), "{tag}");
    }
}
