//! The node problem detector: flags, config, build, run.
#![forbid(unsafe_code)]
// Standard error may be broken, and then these macros panic.
#![cfg_attr(not(test), warn(clippy::print_stderr))]

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use npd_agent::agent::Agent;
use npd_agent::checkpoint::StateDir;
use npd_agent::exporter::{BuildContext, EXPORTERS};
use npd_agent::flags::{BadFlag, CommandLine, Flags, Options};
use npd_agent::listen;
use npd_agent::logging::Log;
use npd_agent::metrics::Metrics;
use npd_agent::node::Node;
use npd_agent::server::Pages;
use npd_agent::status_page::StatusPage;
use npd_agent::{config, signals, tools};
use tracing::warn;

/// NPD's exit code for a command line that it refuses or cannot use.
const BAD_COMMAND_LINE: u8 = 2;

/// NPD's exit code for every other fatal error.
const FATAL: u8 = 255;

fn main() -> ExitCode {
    if let Some((tool, line)) = tools::called(std::env::args_os()) {
        return (tool.run)(line);
    }
    let Ok(log) = Log::to_stderr() else {
        return ExitCode::from(FATAL);
    };
    let code = match CommandLine::parse(std::env::args_os().skip(1)) {
        Ok(CommandLine::Run(flags)) => start(&flags, &log),
        Ok(CommandLine::Print(text)) => {
            let printed = write!(std::io::stdout(), "{text}");
            u8::from(printed.is_err())
        }
        Err(error) => {
            log.line(format_args!("npd-agent: {error:#}; see npd-agent --help"));
            BAD_COMMAND_LINE
        }
    };
    log.flush();
    ExitCode::from(code)
}

/// Runs the agent, and returns its exit code.
fn start(flags: &Flags, log: &Log) -> u8 {
    let options = &flags.options;
    log.start(options.log_format(var), options.verbosity);
    flags.warn();
    match run(flags, log) {
        Ok(()) => 0,
        Err(error) => {
            log.fatal(&error);
            if error.is::<BadFlag>() {
                BAD_COMMAND_LINE
            } else {
                FATAL
            }
        }
    }
}

fn run(flags: &Flags, log: &Log) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    {
        let _runtime = runtime.enter();
        signals::survive().context("preparing for signals")?;
    }
    let agent = build(flags, log)?;
    let result = runtime.block_on(agent.run());
    // Do not wait for threads that a dying disk holds.
    runtime.shutdown_background();
    result
}

fn build(flags: &Flags, log: &Log) -> anyhow::Result<Agent> {
    let Flags {
        options,
        configs,
        aliases,
        ..
    } = flags;
    options.check()?;
    let loaded = config::load(configs, aliases)?;
    let node = Arc::new(Node::new(&options.hostname_override, var)?);
    let metrics = Metrics::new().context("registering the metrics")?;
    log.register(&metrics.registry)
        .context("registering the log's metric")?;
    let status_page = StatusPage::new(node.name.clone(), Timestamp::now());
    loaded.report(&metrics, &status_page);
    let cluster = options.has_cluster(var);
    let state = options.state_dir.clone();
    let state = state.map(|folder| StateDir::load(folder, &node));
    let context = BuildContext {
        options,
        cluster,
        node: &node,
        conditions: &loaded.conditions,
        metrics: &metrics,
        status_page: &status_page,
        state: state.as_ref(),
    };
    let mut exporters = Vec::new();
    for kind in EXPORTERS {
        let built = (kind.build)(&context).with_context(|| format!("exporter {}", kind.name))?;
        exporters.extend(built);
    }
    let servers = listen(options, &metrics, &status_page)?;
    Ok(Agent {
        node,
        metrics,
        status_page,
        state,
        monitors: loaded.monitors,
        aliases: loaded.aliases,
        exporters,
        servers,
    })
}

fn listen(
    options: &Options,
    metrics: &Metrics,
    status_page: &StatusPage,
) -> anyhow::Result<Vec<(std::net::TcpListener, Pages)>> {
    let scrape = listen::bind(&options.prometheus_address, options.prometheus_port)?;
    let status = match listen::bind(&options.address, options.port) {
        // NPD has this server only with its Kubernetes exporter, and so starts without the port.
        Err(error) if !options.enable_k8s_exporter => {
            let error = format!("{error:#}");
            warn!(
                error,
                "No server for /healthz, /conditions, /events and /status"
            );
            None
        }
        bound => bound?,
    };
    let status = status.map(|socket| (socket, Pages::Status(status_page.clone())));
    let scrape = scrape.map(|socket| (socket, Pages::Metrics(Arc::new(metrics.clone()))));
    Ok(status.into_iter().chain(scrape).collect())
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
