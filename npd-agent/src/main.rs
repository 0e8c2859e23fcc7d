//! The node problem detector: flags, config, build, run.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use jiff::Timestamp;
use npd_agent::agent::Agent;
use npd_agent::checkpoint::StateDir;
use npd_agent::exporter::{BuildContext, EXPORTERS};
use npd_agent::flags::{Flags, Options};
use npd_agent::metrics::Metrics;
use npd_agent::monitor;
use npd_agent::node::Node;
use npd_agent::server::{self, Pages};
use npd_agent::status_page::StatusPage;
use npd_agent::{config, logging, tools};

fn main() -> ExitCode {
    if let Some((tool, line)) = tools::called(std::env::args_os()) {
        return (tool.run)(line);
    }
    let flags = Flags::parse();
    if flags.version {
        let printed = writeln!(std::io::stdout(), "{}", env!("CARGO_PKG_VERSION"));
        return if printed.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    logging::start(flags.options.verbosity);
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("npd-agent: {error:#}");
            ExitCode::from(255) // NPD's code for a fatal error
        }
    }
}

fn run(flags: &Flags) -> anyhow::Result<()> {
    let agent = build(flags)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let result = runtime.block_on(agent.run());
    // Do not wait for threads that a dying disk holds.
    runtime.shutdown_background();
    result
}

fn build(flags: &Flags) -> anyhow::Result<Agent> {
    let Flags {
        options, configs, ..
    } = flags;
    options.check()?;
    let loaded = config::load(configs)?;
    let node = Arc::new(Node::new(&options.hostname_override, var)?);
    let metrics = Metrics::new().context("registering the metrics")?;
    let status_page = StatusPage::new(node.name.clone(), Timestamp::now());
    loaded.report(&metrics, &status_page);
    let monitors = loaded.monitors;
    let cluster = options.has_cluster(var);
    let conditions = monitor::condition_types(&monitors);
    let state = options.state_dir.clone();
    let state = state.map(|folder| StateDir::load(folder, &node));
    let context = BuildContext {
        options,
        cluster,
        node: &node,
        conditions: &conditions,
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
        monitors,
        exporters,
        servers,
    })
}

fn listen(
    options: &Options,
    metrics: &Metrics,
    status_page: &StatusPage,
) -> anyhow::Result<Vec<(std::net::TcpListener, Pages)>> {
    let status = server::bind(options.address, options.port)?;
    let scrape = server::bind(options.prometheus_address, options.prometheus_port)?;
    let status = status.map(|socket| (socket, Pages::Status(status_page.clone())));
    let scrape = scrape.map(|socket| (socket, Pages::Metrics(Arc::new(metrics.clone()))));
    Ok(status.into_iter().chain(scrape).collect())
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
