//! `probes`: what this kernel gives, and which backend each probe uses here.
//!
//! It starts the probes as the agent does, looks at what they say about themselves, and stops them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use serde::Serialize;

use super::moment::{LookTime, observe};
use crate::config;
use crate::go::pflag::{Flag, Program, boolean};
use crate::monitor::{Monitors, ebpf, log};
use crate::node::{Node, files};
use crate::program::{Tool, block_on, complain, print, read_only_flags};
use crate::status_page::{ProbeState, StatusModel};

/// The program.
pub const TOOL: Tool = Tool {
    name: NAME,
    help: || program().help(),
    run,
};

const NAME: &str = "probes";

/// How long the probes have to say how they work.
const PATIENCE: Duration = Duration::from_secs(30);

/// The exit codes if a probe cannot watch, and if nobody can tell.
const BLIND: u8 = 1;
const UNKNOWN: u8 = 2;

/// The backend of a probe that cannot watch, and the sources of the others.
const NONE: &str = "none";
const KERNEL_LOG: &str = "kmsg";
const PROGRAMS: &str = "ebpf";

#[derive(Debug, Default)]
struct ProbesArgs {
    json: bool,
}

fn program() -> Program<ProbesArgs> {
    let flags = [Flag::boolean(
        "--json",
        "false",
        "Print JSON",
        |args: &mut ProbesArgs, _, value| boolean(&mut args.json, value),
    )];
    Program {
        name: NAME,
        about: "Prints what this kernel gives to the eBPF monitor, which backend each probe uses here, and why it
has no better one. It loads the programs into the kernel for a moment. No agent has to run.
Exit code: 0 if each probe can watch, 1 if one cannot, 2 if nobody can tell.",
        words: "",
        after: "",
        sections: vec![("Flags", flags.to_vec())],
    }
}

/// What the kernel gives, and what the probes make of it.
#[derive(Debug, Serialize)]
struct ProbesReport {
    /// Its release.
    kernel: String,
    /// Whether it describes its types.
    btf: bool,
    /// Why no programs are in the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_programs: Option<String>,
    /// Why its log cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_log: Option<String>,
    /// By name.
    probes: BTreeMap<String, ProbeState>,
}

fn run(line: Vec<OsString>) -> ExitCode {
    let args = match read_only_flags(&program(), line) {
        Ok(args) => args,
        Err(code) => return code,
    };
    match block_on(ProbesReport::new()).flatten() {
        Ok(report) => {
            print(args.json, &report, || report.text());
            let is_blind = report.probes.values().any(|probe| probe.backend == NONE);
            ExitCode::from(if is_blind { BLIND } else { 0 })
        }
        Err(error) => {
            complain(NAME, format_args!("{error:#}"));
            ExitCode::from(UNKNOWN)
        }
    }
}

impl ProbesReport {
    async fn new() -> anyhow::Result<Self> {
        let node = Node::new("", |name| std::env::var(name).ok())?;
        let release = files::read(&node.roots.proc.join("sys/kernel/osrelease"));
        let btf = node.roots.sys.join("kernel/btf/vmlinux").exists();
        // The kernel's log first: without programs, probes use it.
        let mut monitors = Monitors::new();
        for kind in [log::KIND, ebpf::KIND] {
            let files = config::named(Some(kind.flag), "builtin".as_ref())?;
            monitors.extend((kind.load)(&files, &mut Vec::new())?);
        }
        let watched: usize = monitors.iter().map(|one| one.watches().len()).sum();
        let is_enough = |shown: &StatusModel| {
            shown.probes.len() >= watched && shown.sources.contains_key(KERNEL_LOG)
        };
        let time = LookTime {
            least: Duration::ZERO,
            most: PATIENCE,
        };
        let page = observe(node, monitors, BTreeMap::new(), is_enough, time).await?;
        let shown = page.read();
        ensure!(
            shown.probes.len() >= watched,
            "the kernel did not answer within {} s",
            PATIENCE.as_secs()
        );
        let reason = |name| {
            shown
                .sources
                .get(name)
                .and_then(|source| source.reason.clone())
        };
        Ok(Self {
            kernel: release.unwrap_or_default().trim().to_owned(),
            btf,
            no_programs: reason(PROGRAMS),
            no_log: reason(KERNEL_LOG),
            probes: shown.probes.clone(),
        })
    }

    fn text(&self) -> String {
        let Self {
            kernel,
            btf,
            no_programs,
            no_log,
            probes,
        } = self;
        let there = |what: &str, not: Option<&str>| match not {
            None => format!("  ✔ {what}\n"),
            Some(reason) => format!("  ✘ {what}: {reason}\n"),
        };
        let no_btf = (!btf).then_some("the kernel is built without CONFIG_DEBUG_INFO_BTF");
        let mut text = format!("Linux {kernel}\n")
            + &there("describes its types (BTF)", no_btf)
            + &there("takes the agent's programs", no_programs.as_deref())
            + &there("shows its log", no_log.as_deref());
        let width = probes.keys().map(String::len).max().unwrap_or_default();
        text += "Probes\n";
        let lines = probes.iter().map(|(name, probe)| {
            let ProbeState { backend, reason } = probe;
            let mark = match (&**backend, reason) {
                (NONE, _) => '✘',
                (_, Some(_)) => '!',
                (_, None) => '✔',
            };
            let why = reason.as_ref();
            let why = why.map_or(String::new(), |why| format!(": {why}"));
            format!("  {mark} {name:width$}  {backend}{why}\n")
        });
        text.extend(lines);
        text
    }
}
