//! `host`: the operating system, and how long it has been up.

use std::path::PathBuf;

use anyhow::Context;
use procfs::{FromRead as _, Uptime};

use super::metric::{Collect, Label, Labels, Metric, Sample};
use crate::node::Roots;
use crate::node::files::read;
use crate::node::proc;

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "host/uptime",
        "host_uptime",
        &["kernel_version", "os_version"],
        "The uptime of the operating system",
    ),
    Metric::gauge(
        "host/boot_time_seconds",
        "host_boot_time_seconds",
        &[],
        "When the kernel was booted, in seconds since the epoch",
    ),
    Metric::gauge(
        "host/boot_id",
        "host_boot_id",
        &["boot_id"],
        "Always 1; the label changes with every boot",
    ),
];

/// Reads `/proc/uptime` and `/etc/os-release`. NPD exits on systems that it does not know; this collector
/// shows the name in os-release.
#[derive(Default)]
pub struct HostCollector {
    /// Kernel and system. They change only with a boot.
    versions: Option<Labels>,
}

impl Collect for HostCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        if let Some(boot_id) = proc::boot_id(&roots.proc) {
            sample.count("host/boot_id", [Label::from(boot_id)], 1);
        }
        if let Some(seconds) = proc::boot_time(&roots.proc) {
            sample.count("host/boot_time_seconds", [], seconds);
        }
        let uptime = Uptime::from_file(roots.proc.join("uptime")).context("reading the uptime")?;
        let seconds = uptime.uptime_duration().as_secs();
        if self.versions.is_none() {
            let release = read(&roots.proc.join("sys/kernel/osrelease")).unwrap_or_default();
            let versions = [Label::from(release.trim()), os_version(roots)];
            self.versions = Some(Labels::from(versions));
        }
        if let Some(versions) = &self.versions {
            sample.count("host/uptime", Labels::clone(versions), seconds);
        }
        Ok(())
    }
}

/// `debian 12 (bookworm)`, as NPD prints it.
fn os_version(roots: &Roots) -> Label {
    // The host's file if its root folder can be opened, else the image's.
    let files = [
        roots.of_node("etc/os-release"),
        roots.of_node("usr/lib/os-release"),
        PathBuf::from("/etc/os-release"),
    ];
    let text = files
        .iter()
        .find_map(|file| read(file).ok())
        .unwrap_or_default();
    Label::from(os_version_from(&text))
}

fn os_version_from(text: &str) -> String {
    let value = |key: &str| {
        let assignment = |line: &str| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| unquote(value.trim()))
        };
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .find_map(assignment)
            .unwrap_or_default()
    };
    let (id, version) = (value("ID"), value("VERSION"));
    match &*id {
        "" => "unknown".to_owned(),
        "cos" => format!("cos {version}-{}", value("BUILD_ID")),
        _ if version.is_empty() => id,
        _ => format!("{id} {version}"),
    }
}

/// Removes shell quotes, as os-release(5) allows them.
fn unquote(value: &str) -> String {
    let quoted = |quote| {
        value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
    };
    let Some(inner) = quoted('"').or_else(|| quoted('\'')) else {
        return value.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' {
            chars.next().unwrap_or(c)
        } else {
            c
        });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::os_version_from;

    #[test]
    fn versions_read_as_npd_words_them() {
        for (text, expected) in [
            (
                "ID=debian\nVERSION=\"12 (bookworm)\"\n",
                "debian 12 (bookworm)",
            ),
            (
                "# a comment\nID=cos\nVERSION=105\nBUILD_ID=17412.1\n",
                "cos 105-17412.1",
            ),
            ("ID=talos\nVERSION=\"say \\\"hi\\\"\"", "talos say \"hi\""),
            ("ID=alpine", "alpine"),
            ("garbage", "unknown"),
        ] {
            assert_eq!(os_version_from(text), expected, "{text:?}");
        }
    }
}
