//! `--config.ebpf-monitor`: programs in the kernel see problems that logs report late or never.
//!
//! One ring buffer carries what all programs send; each probe takes its records and reports. If
//! programs of a probe cannot be attached, the probe uses another backend and reports that. So the rest
//! still works without privileges, on a kernel without BTF, or where a tracepoint is missing.
//!
//! A new probe is one file in `npd-ebpf/src/programs`, one folder here, and one line in [`PROBES`]
//! (`docs/dev/add-a-probe.md`).

pub mod aggregate;
mod block_error;
mod btf;
mod config;
mod counts;
mod failures;
pub mod filesystem;
mod globals;
mod hung_task;
mod layout;
mod load;
mod memory;
mod oom;
pub mod probe;
mod probes;
pub mod program;
#[cfg(feature = "ebpf-log")]
mod program_log;
mod reconcile;
mod ring_buffer;
mod task;
mod writeback_error;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use self::config::CheckedEbpfConfig;
use self::counts::KernelCounts;
use self::load::{Programs, ProgramsHandle, TaskWalk, why};
use self::probe::{Probe, ProbeContext, ProbeRule, ProbeSettings, SOURCE};
use self::probes::PROBES;
use self::program::Attached;
use self::ring_buffer::RingBuffer;
use super::{ConfigFile, Declaration, Monitor, MonitorKind, Monitors, Task};
use crate::go::json::ConfigProblem;
use crate::problem::{Forever, Watched};
use crate::reporter::{Report, Reporter};
use crate::threads::ThreadPool;

/// The kind of monitor.
pub const KIND: MonitorKind = MonitorKind {
    flag: "--config.ebpf-monitor",
    deprecated: None,
    help: "Config files of eBPF monitors, which see faults of the kernel while they happen",
    load,
};

/// How many records may wait for a probe. With more, they stay in the ring buffer.
const RECORDS_QUEUED: usize = 256;

/// How often the agent tries again to attach a program.
const PACE_ATTACH: Duration = Duration::from_secs(30);

/// The eBPF object, built by `cargo xtask build-ebpf`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("NPD_EBPF_OBJECT"));

/// Runs the rules of all config files: the programs are in the kernel once.
struct EbpfMonitor {
    declarations: Vec<Declaration>,
    settings: ProbeSettings,
    rules: Vec<(&'static Probe, ProbeRule)>,
}

fn load(files: &[ConfigFile], problems: &mut Vec<ConfigProblem>) -> anyhow::Result<Monitors> {
    let mut declarations = Vec::new();
    let mut rules = Vec::new();
    let mut settings: Option<ProbeSettings> = None;
    for file in files {
        let CheckedEbpfConfig {
            declaration,
            settings: of_file,
            rules: of_rules,
        } = config::load(file, problems)?;
        declarations.push(declaration);
        rules.extend(of_rules);
        settings = Some(match settings {
            Some(others) => others.stricter(&of_file),
            None => of_file,
        });
    }
    let Some(settings) = settings else {
        return Ok(Vec::new());
    };
    Ok(vec![Box::new(EbpfMonitor {
        declarations,
        settings,
        rules,
    })])
}

impl Monitor for EbpfMonitor {
    fn name(&self) -> &str {
        SOURCE
    }

    fn declarations(&self) -> Vec<Declaration> {
        self.declarations.clone()
    }

    fn watches(&self) -> Vec<Watched> {
        self.probes().map(Probe::watched).collect()
    }

    fn run<'a>(&'a mut self, reporter: &'a Reporter) -> Task<'a> {
        Box::pin(async {
            let ended = self.watch(reporter).await;
            // While the probes do not run, the kernel's log reports.
            for probe in PROBES {
                reporter.send(Report::NotWatching(probe.name)).await?;
            }
            for declaration in &self.declarations {
                for detector in &declaration.detectors {
                    let monitor = Arc::clone(&declaration.monitor);
                    let detector = Arc::clone(&detector.name);
                    reporter
                        .send(Report::CannotCheck { monitor, detector })
                        .await?;
                }
            }
            ended
        })
    }
}

impl EbpfMonitor {
    /// The probes that rules name.
    fn probes(&self) -> impl Iterator<Item = &'static Probe> {
        let named = |probe: &&Probe| self.rules.iter().any(|(of, _)| of.name == probe.name);
        PROBES.iter().filter(named)
    }

    async fn watch(&self, reporter: &Reporter) -> Forever {
        let probes: Vec<&'static Probe> = self.probes().collect();
        let (kernel, ring) = match put_into_kernel(&probes, reporter).await {
            Ok((kernel, ring)) => (Ok(kernel), Some(ring)),
            Err(error) => (Err(why(&error)), None),
        };
        match &kernel {
            Ok(_) => reporter.source_up(SOURCE, false),
            Err(error) => {
                warn!(
                    error,
                    "Programs could not be loaded into the kernel; the probes work without them"
                );
                reporter.source_down(SOURCE, false, error.clone());
            }
        }
        let attach_now = Arc::new(Notify::new());
        let mut attachments = Vec::new();
        let mut senders = Vec::new();
        let mut tasks = JoinSet::new();
        for probe in probes {
            let (sender, records) = mpsc::channel(RECORDS_QUEUED);
            let (attachment, attached) = watch::channel(attached(probe, &kernel));
            senders.push((probe, sender));
            attachments.push((probe, attachment));
            let rules = self.rules.iter().filter(|(of, _)| of.name == probe.name);
            tasks.spawn((probe.run)(ProbeContext {
                probe,
                rules: rules.map(|(_, rule)| rule.clone()).collect(),
                settings: self.settings.clone(),
                records,
                attached,
                attach_now: Arc::clone(&attach_now),
                counts: counts(probe, &kernel),
                walk: walk(probe, &kernel),
                reporter: reporter.clone(),
            }));
        }
        if let (Some(ring), Ok(kernel)) = (ring, &kernel) {
            tasks.spawn(ring.deliver(senders, kernel.clone(), reporter.clone()));
            #[cfg(feature = "ebpf-log")]
            if let Some(log) = kernel.lock().log.take() {
                tasks.spawn(log.print());
            }
            tasks.spawn(keep_attaching(kernel.clone(), attach_now, attachments));
        }
        match tasks.join_next().await {
            Some(ended) => ended.context("running a probe")?,
            // A file without rules.
            None => std::future::pending().await,
        }
    }
}

/// Loads the programs in another thread: it takes a tenth of a second.
async fn put_into_kernel(
    probes: &[&'static Probe],
    reporter: &Reporter,
) -> anyhow::Result<(ProgramsHandle, RingBuffer)> {
    let sys = reporter.node.roots.sys.clone();
    let programs = probes.iter().flat_map(|probe| probe.programs).collect();
    let iterators: Vec<_> = probes
        .iter()
        .filter_map(|probe| probe.iterator.as_ref())
        .collect();
    // The thread ends with its pool, and what it has allocated is freed.
    let threads = ThreadPool::new("ebpf-load", 1);
    let threads = threads
        .ready()
        .context("making a thread to load the programs")?;
    let loaded = threads
        .run(move || Programs::load(OBJECT, &sys, programs, &iterators))
        .await;
    let (kernel, records) = loaded.context("loading the programs")??;
    memory::return_free();
    Ok((ProgramsHandle::new(kernel), RingBuffer::new(records)?))
}

/// What the programs of `probe` count.
fn counts(probe: &Probe, kernel: &Result<ProgramsHandle, String>) -> Option<KernelCounts> {
    Some(KernelCounts::new(
        kernel.as_ref().ok().cloned(),
        probe.counts?,
    ))
}

/// The walk of the iterator of `probe`, or why there is none.
fn walk(probe: &Probe, kernel: &Result<ProgramsHandle, String>) -> Result<TaskWalk, String> {
    let iterator = probe.iterator.as_ref().ok_or("the probe has none")?;
    let kernel = kernel.as_ref().map_err(Clone::clone)?;
    kernel.walk(iterator)
}

/// How the programs of `probe` are attached.
fn attached(probe: &Probe, kernel: &Result<ProgramsHandle, String>) -> Attached {
    let programs = probe.programs.iter().map(|program| program.name);
    match kernel {
        Ok(kernel) => {
            let kernel = kernel.lock();
            let result = |name| kernel.attached.get(name).cloned();
            programs
                .filter_map(|name| Some((name, result(name)?)))
                .collect()
        }
        Err(reason) => programs.map(|name| (name, Err(reason.clone()))).collect(),
    }
}

/// Attaches what could not be attached before: the module with the tracepoint may have come.
async fn keep_attaching(
    kernel: ProgramsHandle,
    attach_now: Arc<Notify>,
    attachments: Vec<(&'static Probe, watch::Sender<Attached>)>,
) -> Forever {
    let kernel = Ok(kernel);
    loop {
        let due = Instant::now() + PACE_ATTACH;
        tokio::select! {
            () = attach_now.notified() => {}
            () = sleep_until(due) => {}
        }
        if let Ok(kernel) = &kernel
            && !kernel.lock().attach()
        {
            continue;
        }
        for (probe, attachment) in &attachments {
            let now = attached(probe, &kernel);
            attachment.send_if_modified(|before| {
                let changed = *before != now;
                *before = now;
                changed
            });
        }
    }
}

#[cfg(test)]
mod tests;
