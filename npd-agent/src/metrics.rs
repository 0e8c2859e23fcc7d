//! The metric families of the agent, in one registry. Made once in `main` and passed to the modules.

use prometheus::core::Collector;
use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec,
    Opts, Registry,
};

use crate::rendered::{RenderedFamilies, render};

/// The buckets for how late something is, in seconds.
pub const LATENCY: [f64; 8] = [0.001, 0.003, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0];

/// The registry, and the families that more than one module writes.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// The registry of `/metrics`. Monitors register their own families here.
    pub registry: Registry,
    /// Further families of `/metrics`, which their modules render when they change.
    pub rendered: RenderedFamilies,
    /// NPD's `problem_counter{reason}`.
    pub problem_counter: CounterVec,
    /// NPD's `problem_gauge{type,reason}`.
    pub problem_gauge: GaugeVec,
    /// `npd_problem{reason,severity,action}`: what `problem_counter` counts, for rules that say how bad
    /// it is and what to do.
    pub problem: IntCounterVec,
    /// `npd_source_up{source}`: 1 while the source can be read.
    pub source_up: IntGaugeVec,
    /// `npd_records_lost_total{source}`: the exact number of records that were lost.
    pub records_lost: IntCounterVec,
    /// `npd_records_malformed_total{source}`: records that were skipped because they could not be parsed.
    pub records_malformed: IntCounterVec,
    /// What is left out of logs on purpose, or not understood.
    pub logs: LogMetrics,
    /// `npd_rule_matches_total{monitor,reason}`: how many times a rule of any kind of monitor found its
    /// problem, before repeats are combined. A plugin counts each run that is reported, a stats rule counts
    /// when its threshold is crossed.
    pub rule_matches: IntCounterVec,
    /// `npd_config_problems{monitor}`: what is wrong with a config file although the agent started.
    pub config_problems: IntGaugeVec,
    /// `npd_probe_backend{probe,backend}`: 1 for the backend that a probe uses now.
    pub probe_backend: IntGaugeVec,
    /// `npd_probe_drops_total{probe}`: records that found the ring buffer full.
    pub probe_drops: IntCounterVec,
    /// `npd_probe_missed_total{probe}`: what the kernel counted and the probe did not report.
    pub probe_missed: IntCounterVec,
    /// `npd_detection_seconds{probe}`: from the fault, by the kernel's clock, to the probe's finding.
    pub detection: HistogramVec,
    /// `npd_incidents_text_only_total{reason}`: reported from the kernel log alone although a probe was attached.
    pub text_only: IntCounterVec,
    /// The metrics of plugins.
    pub plugins: PluginMetrics,
    /// `npd_monitor_restarts_total{monitor}`: how many times a failed monitor was started again.
    pub monitor_restarts: IntCounterVec,
    /// `npd_claims_refused_total`: claims refused because a condition had too many.
    pub claims_refused: IntCounter,
    /// `npd_exporter_dropped_total{exporter}`: what an exporter dropped because its queue was full.
    pub exporter_dropped: IntCounterVec,
}

impl Metrics {
    /// Registers every family in a registry of its own.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        let int_counter = |name, help, labels: &[&str]| {
            registered(r, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let int_gauge = |name, help, labels: &[&str]| {
            registered(r, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let counted = CounterVec::new(
            Opts::new(
                "problem_counter",
                "Number of times a specific type of problem have occurred.",
            ),
            &["reason"],
        )?;
        Ok(Self {
            problem_counter: registered(r, counted)?,
            problem_gauge: registered(
                r,
                GaugeVec::new(
                    Opts::new(
                        "problem_gauge",
                        "Whether a specific type of problem is affecting the node or not.",
                    ),
                    &["reason", "type"],
                )?,
            )?,
            problem: int_counter(
                "npd_problem",
                "Number of times a problem has occurred whose rule says how bad it is and what to do.",
                &["reason", "severity", "action"],
            )?,
            source_up: int_gauge(
                "npd_source_up",
                "1 while the source can be read, 0 while it cannot.",
                &["source"],
            )?,
            records_lost: int_counter(
                "npd_records_lost_total",
                "Records that were lost before the agent could read them.",
                &["source"],
            )?,
            records_malformed: int_counter(
                "npd_records_malformed_total",
                "Records that were skipped because they could not be parsed.",
                &["source"],
            )?,
            logs: LogMetrics::new(r)?,
            rule_matches: int_counter(
                "npd_rule_matches_total",
                "How many times a rule found its problem, before repeats are combined.",
                &["monitor", "reason"],
            )?,
            config_problems: int_gauge(
                "npd_config_problems",
                "Problems in a config file with which the agent has started; /status lists them.",
                &["monitor"],
            )?,
            probe_backend: int_gauge(
                "npd_probe_backend",
                "1 for the backend that a probe uses now.",
                &["probe", "backend"],
            )?,
            probe_drops: int_counter(
                "npd_probe_drops_total",
                "Records that found the ring buffer full.",
                &["probe"],
            )?,
            probe_missed: int_counter(
                "npd_probe_missed_total",
                "Incidents that the kernel counted and the probe did not report.",
                &["probe"],
            )?,
            detection: registered(r, detection()?)?,
            text_only: int_counter(
                "npd_incidents_text_only_total",
                "Incidents that only the kernel log reported although a probe was attached.",
                &["reason"],
            )?,
            plugins: PluginMetrics::new(r)?,
            monitor_restarts: int_counter(
                "npd_monitor_restarts_total",
                "How many times a failed monitor was started again.",
                &["monitor"],
            )?,
            claims_refused: registered(
                r,
                IntCounter::new(
                    "npd_claims_refused_total",
                    "Claims that were refused because a condition had too many.",
                )?,
            )?,
            exporter_dropped: int_counter(
                "npd_exporter_dropped_total",
                "Updates that an exporter dropped because its queue was full.",
                &["exporter"],
            )?,
            registry,
            rendered: RenderedFamilies::default(),
        })
    }

    /// The page of `/metrics`.
    pub fn page(&self) -> prometheus::Result<String> {
        render(&self.registry, &self.rendered)
    }
}

fn detection() -> prometheus::Result<HistogramVec> {
    let opts = HistogramOpts::new(
        "npd_detection_seconds",
        "From the fault, by the kernel's clock, to the moment when its probe has the record.",
    );
    HistogramVec::new(opts.buckets(LATENCY.to_vec()), &["probe"])
}

/// The metric families of logs, by source.
#[derive(Clone, Debug)]
pub struct LogMetrics {
    /// `npd_source_degraded{source}`: 1 while more than a tenth of the lines is not understood.
    pub degraded: IntGaugeVec,
    /// `npd_records_too_old_total{source}`: records from before the lookback, which do not count.
    pub too_old: IntCounterVec,
}

impl LogMetrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let degraded = IntGaugeVec::new(
            Opts::new(
                "npd_source_degraded",
                "1 while more than a tenth of the lines of a log file is not understood, else 0.",
            ),
            &["source"],
        )?;
        let too_old = IntCounterVec::new(
            Opts::new(
                "npd_records_too_old_total",
                "Records that do not count because they are from before the lookback.",
            ),
            &["source"],
        )?;
        Ok(Self {
            degraded: registered(registry, degraded)?,
            too_old: registered(registry, too_old)?,
        })
    }
}

/// The metric families of plugins, by config file and reason.
#[derive(Clone, Debug)]
pub struct PluginMetrics {
    /// `npd_plugin_duration_seconds{monitor,reason}`: how long each run took, however it ended.
    pub duration: HistogramVec,
    /// `npd_plugin_timeouts_total{monitor,reason}`: runs that had not ended at their deadline.
    pub timeouts: IntCounterVec,
    /// `npd_plugin_abandoned_total{monitor,reason}`: runs that survived SIGKILL.
    pub abandoned: IntCounterVec,
    /// `npd_plugin_abandoned{monitor,reason}`: those of them that are still there.
    pub surviving: IntGaugeVec,
}

impl PluginMetrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let labels = &["monitor", "reason"];
        let counter =
            |name, help| registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?);
        let duration = HistogramOpts::new(
            "npd_plugin_duration_seconds",
            "How long each run of a plugin took.",
        )
        .buckets(vec![0.01, 0.1, 1.0, 10.0, 100.0]);
        Ok(Self {
            duration: registered(registry, HistogramVec::new(duration, labels)?)?,
            timeouts: counter(
                "npd_plugin_timeouts_total",
                "Runs of a plugin that had not ended at their deadline.",
            )?,
            abandoned: counter(
                "npd_plugin_abandoned_total",
                "Runs of a plugin that survived SIGKILL.",
            )?,
            surviving: registered(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "npd_plugin_abandoned",
                        "Runs of a plugin that survived SIGKILL and still exist.",
                    ),
                    labels,
                )?,
            )?,
        })
    }
}

/// Registers `family` and returns it.
pub fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    family: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}
