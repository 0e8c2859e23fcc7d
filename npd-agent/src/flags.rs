//! The command line: NPD's flags, spelled, typed and defaulted as NPD's, and ours.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::ensure;
use clap::builder::{StringValueParser, TypedValueParser as _};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum};

use crate::go::boolean::parse_bool;
use crate::go::csv::parse_record;
use crate::go::duration::GoDuration;
use crate::monitor::KINDS;

/// The parsed command line.
#[derive(Clone, Debug)]
pub struct Flags {
    /// Everything but the config files.
    pub options: Options,
    /// The config files of each kind of monitor, in the order of [`KINDS`].
    pub configs: Vec<Vec<PathBuf>>,
    /// Only the version is asked for.
    pub version: bool,
}

/// Every flag but those that name config files.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that NPD has")]
pub struct Options {
    /// Show problems on standard output as text, json (a line each) or off [default: text if there is no cluster, else off]
    #[arg(
        long = "exporter.terminal",
        value_name = "FORMAT",
        hide_possible_values = true,
        help_heading = "Exporters"
    )]
    pub terminal: Option<TerminalFormat>,

    /// Report conditions and Events to the Kubernetes API server
    #[arg(long, default_value = "true", help_heading = "Exporters")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = parse_bool, action = ArgAction::Set, value_name = "BOOL")]
    pub enable_k8s_exporter: bool,

    /// Stackdriver is not supported; the flag is known so that it can be refused clearly
    #[arg(long = "exporter.stackdriver", default_value = "", hide = true)]
    pub stackdriver: String,

    /// Where the API server is: a URI, with parameters inClusterConfig, insecure, auth, useServiceAccount
    #[arg(
        long,
        default_value = "",
        value_name = "URI",
        help_heading = "Kubernetes"
    )]
    #[arg(hide_default_value = true)]
    pub apiserver_override: String,

    /// How long to ask for the Node at the start before going on without it
    #[arg(
        long,
        default_value = "5m0s",
        value_name = "DURATION",
        help_heading = "Kubernetes"
    )]
    pub apiserver_wait_timeout: GoDuration,

    /// How often to ask for the Node meanwhile
    #[arg(
        long,
        default_value = "5s",
        value_name = "DURATION",
        help_heading = "Kubernetes"
    )]
    pub apiserver_wait_interval: GoDuration,

    /// The namespace of Events [default: default]
    #[arg(
        long,
        default_value = "",
        value_name = "NAMESPACE",
        help_heading = "Kubernetes"
    )]
    #[arg(hide_default_value = true)]
    pub event_namespace: String,

    /// The longest time between two writes of unchanged conditions; 0 writes only changes
    #[arg(
        long,
        default_value = "5m0s",
        value_name = "DURATION",
        help_heading = "Kubernetes"
    )]
    pub k8s_exporter_heartbeat_period: GoDuration,

    /// Create Events
    #[arg(long, default_value = "true", help_heading = "Kubernetes")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = parse_bool, action = ArgAction::Set, value_name = "BOOL")]
    pub k8s_exporter_write_events: bool,

    /// Update the Node's conditions
    #[arg(long, default_value = "true", help_heading = "Kubernetes")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = parse_bool, action = ArgAction::Set, value_name = "BOOL")]
    pub k8s_exporter_update_node_conditions: bool,

    /// The most requests a second to the API server, on average
    #[arg(
        long,
        default_value = "500",
        value_name = "NUMBER",
        help_heading = "Kubernetes"
    )]
    pub kube_api_qps: f32,

    /// The most requests to the API server at once
    #[arg(
        long,
        default_value = "500",
        value_name = "NUMBER",
        help_heading = "Kubernetes"
    )]
    pub kube_api_burst: i32,

    /// The name of the Node [default: the environment's `NODE_NAME`, else the host name]
    #[arg(
        long,
        default_value = "",
        value_name = "NAME",
        help_heading = "Kubernetes"
    )]
    #[arg(hide_default_value = true)]
    pub hostname_override: String,

    /// The port of /healthz, /conditions, /events and /status; 0 for none
    #[arg(
        long,
        default_value_t = 20256,
        help_heading = "HTTP",
        allow_negative_numbers = true
    )]
    pub port: i32,

    /// The address of that port
    #[arg(
        long,
        default_value = "127.0.0.1",
        value_name = "IP",
        help_heading = "HTTP"
    )]
    pub address: IpAddr,

    /// The port of /metrics; 0 for none
    #[arg(
        long,
        default_value_t = 20257,
        help_heading = "HTTP",
        allow_negative_numbers = true
    )]
    #[arg(value_name = "PORT")]
    pub prometheus_port: i32,

    /// The address of that port
    #[arg(
        long,
        default_value = "127.0.0.1",
        value_name = "IP",
        help_heading = "HTTP"
    )]
    pub prometheus_address: IpAddr,

    /// A folder in which to keep what a restart needs to miss nothing and tell nothing twice
    #[arg(long, value_name = "FOLDER", help_heading = None)]
    pub state_dir: Option<PathBuf>,

    /// Log more: 1 for what operators did, 4 for debugging, 6 for every step
    #[arg(short = 'v', long = "v", default_value_t = 0, value_name = "LEVEL", help_heading = None)]
    #[arg(allow_negative_numbers = true)]
    pub verbosity: i32,

    /// Accepted for NPD's sake: there is one verbosity for all files
    #[arg(long, default_value = "", hide = true)]
    pub vmodule: String,

    /// Accepted for NPD's sake: the log always goes to standard error
    #[arg(long, default_value = "true", hide = true)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = parse_bool, action = ArgAction::Set)]
    pub logtostderr: bool,
}

/// How problems are shown on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TerminalFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
    /// Nothing.
    Off,
}

const ABOUT: &str = "Watches a Linux node and says when it is sick.

Without any flag and without a cluster around, the built-in monitors run and problems are shown
on the terminal. Flags, config files and plugins of kubernetes/node-problem-detector work unchanged.";

const AFTER: &str = "Lists are comma-separated, and a flag may be repeated.
Exit codes: 0 asked to stop, 2 bad command line, 255 bad config file or a port in use.

While it runs:
  curl localhost:20256/healthz     is the agent well
  curl localhost:20256/conditions  what is wrong with the node now
  curl localhost:20256/events      the last 256 events
  curl localhost:20256/status      how each source and probe sees
  curl localhost:20257/metrics     for Prometheus

Other programs in this file, each with a --help of its own:
  npd-agent health-checker  is the kubelet or the container runtime well
  npd-agent log-counter     how often a pattern is in a log
  npd-agent builtin         checks of a node, for plugins without a shell
  npd-agent uninstall       removes the agent's conditions from Nodes";

impl Flags {
    /// Reads the process's command line; prints and exits as clap does on `--help` and on errors.
    pub fn parse() -> Self {
        let mut command = Self::command();
        let parsed = command
            .try_get_matches_from_mut(std::env::args_os())
            .and_then(|m| Self::read(&m));
        parsed.unwrap_or_else(|error| error.format(&mut command).exit())
    }

    fn command() -> Command {
        let command = Command::new("npd-agent")
            .version(env!("CARGO_PKG_VERSION"))
            .disable_version_flag(true)
            .disable_help_flag(true)
            .next_help_heading("Monitors");
        let command = KINDS.iter().fold(command, |command, kind| {
            let list = |name: &'static str| {
                Arg::new(name)
                    .long(name)
                    .value_name("FILES")
                    .action(ArgAction::Append)
                    .value_parser(StringValueParser::new().try_map(|list| parse_record(&list)))
            };
            let command = command.arg(list(kind.flag).help(kind.help));
            match kind.deprecated {
                Some(old) => command.arg(list(old).hide(true).conflicts_with(kind.flag)),
                None => command,
            }
        });
        // The short form for both: one screen, one line a flag.
        let help = Arg::new("help")
            .short('h')
            .long("help")
            .action(ArgAction::HelpShort);
        let version = Arg::new("version")
            .long("version")
            .action(ArgAction::SetTrue)
            .help("Print the version and exit");
        // The texts last: deriving from Options would put its own in their place.
        Options::augment_args(command)
            .next_help_heading(None)
            .args([version, help.help("Print this help and exit")])
            .about(ABOUT)
            .after_help(AFTER)
    }

    fn read(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let paths = |flag: &str| -> Vec<PathBuf> {
            let lists = matches.get_many::<Vec<String>>(flag).into_iter().flatten();
            lists.flatten().map(PathBuf::from).collect()
        };
        let configs = KINDS.iter().map(|kind| {
            let mut files = paths(kind.flag);
            files.extend(kind.deprecated.map(paths).unwrap_or_default());
            files
        });
        Ok(Self {
            options: Options::from_arg_matches(matches)?,
            configs: configs.collect(),
            version: matches.get_flag("version"),
        })
    }
}

impl Options {
    /// Refuses what is known but cannot be had.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.stackdriver.is_empty(),
            "--exporter.stackdriver: this agent does not export to Stackdriver; scrape \
             --prometheus-port with a collector that does"
        );
        Ok(())
    }

    /// Whether there is a cluster to report to: one is named, or the agent runs in a pod.
    pub fn has_cluster(&self, var: impl Fn(&str) -> Option<String>) -> bool {
        let in_pod = var("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty());
        self.enable_k8s_exporter && (in_pod || !self.apiserver_override.is_empty())
    }
}
