//! Every flag of the agent. Where NPD has it, name, type and default are NPD's.

use super::Options;
use crate::aliases;
use crate::go::pflag::{
    Flag, Program, boolean, choice, duration, float, integer, level, list, path, string, vmodule,
};
use crate::monitor::KINDS;

const ABOUT: &str = "Finds problems of a Linux node and reports them.

Without any flag and without a cluster around, the built-in monitors run and problems are shown
on the terminal. Flags, config files and plugins of kubernetes/node-problem-detector work unchanged.";

const AFTER: &str = "Lists are comma-separated, and a flag may be repeated.
Exit codes: 0 asked to stop, 2 bad command line, 255 bad config file or a port in use.

While it runs:
  curl localhost:20256/healthz     whether the agent works
  curl localhost:20256/conditions  the conditions of the node
  curl localhost:20256/events      the last 256 events
  curl localhost:20256/status      the state of each monitor, source and probe
  curl localhost:20257/metrics     metrics for Prometheus

Other programs in this file, each with a --help of its own:
  npd-agent scan            whether this node is well, now, without an agent that runs
  npd-agent status          what the running agent sees
  npd-agent check           finds mistakes in config files
  npd-agent replay          what would have been reported about a saved log
  npd-agent probes          what this kernel gives to the probes
  npd-agent drill           makes real faults, and measures until they are reported
  npd-agent uninstall       removes the agent's conditions from Nodes
  npd-agent health-checker  checks the kubelet or the container runtime
  npd-agent log-counter     counts how often a pattern is in a log
  npd-agent builtin         checks of a node, for plugins without a shell
  npd-agent completion      completes command lines in bash, zsh or fish
  npd-agent manual          prints the manual page";

/// The agent's command line.
pub(super) fn program() -> Program<Options> {
    Program {
        name: "npd-agent",
        about: ABOUT,
        words: "",
        after: AFTER,
        sections: vec![
            ("Monitors", config_files()),
            ("Exporters", EXPORTERS.to_vec()),
            ("Kubernetes", KUBERNETES.to_vec()),
            ("HTTP", HTTP.to_vec()),
            ("Others", OTHERS.to_vec()),
        ],
    }
}

/// The flags that name config files.
fn config_files() -> Vec<Flag<Options>> {
    let flags = KINDS.iter().flat_map(|kind| {
        let old = kind
            .deprecated
            .map(|name| files(name, kind.help).deprecated(kind.flag));
        std::iter::once(files(kind.flag, kind.help)).chain(old)
    });
    let aliases = files(
        aliases::FLAG,
        "Config files of aliases, which show conditions under the names that others know",
    );
    flags.chain([aliases]).collect()
}

/// A flag that names config files.
fn files(name: &'static str, help: &'static str) -> Flag<Options> {
    Flag::new(
        name,
        "FILES",
        "",
        help,
        |options: &mut Options, name, value| {
            list(options.lists.entry(name.to_owned()).or_default(), value)
        },
    )
}

const EXPORTERS: &[Flag<Options>] = &[
    Flag::new(
        "--exporter.terminal",
        "FORMAT",
        "",
        "Show problems on standard output as text, json (a line each) or off [default: text if there is no cluster, else off]",
        |options, _, value| choice(&mut options.terminal, value),
    ),
    Flag::boolean(
        "--enable-k8s-exporter",
        "true",
        "Report conditions and Events to the Kubernetes API server",
        |options, _, value| boolean(&mut options.enable_k8s_exporter, value),
    ),
    Flag::new(
        "--exporter.stackdriver",
        "FILE",
        "",
        "Not supported: it has no effect, and a warning says so",
        |options: &mut Options, _, value| string(&mut options.stackdriver, value),
    )
    .hidden(),
];

const KUBERNETES: &[Flag<Options>] = &[
    Flag::new(
        "--apiserver-override",
        "URI",
        "",
        "Where the API server is: a URI, with parameters inClusterConfig, insecure, auth, useServiceAccount",
        |options, _, value| string(&mut options.apiserver_override, value),
    ),
    Flag::new(
        "--apiserver-wait-timeout",
        "DURATION",
        "5m0s",
        "How long to wait at the start until the API server returns the Node",
        |options, _, value| duration(&mut options.apiserver_wait_timeout, value),
    ),
    Flag::new(
        "--apiserver-wait-interval",
        "DURATION",
        "5s",
        "How often to ask for the Node during this time",
        |options, _, value| duration(&mut options.apiserver_wait_interval, value),
    ),
    Flag::new(
        "--event-namespace",
        "NAMESPACE",
        "",
        "The namespace of Events about the Node [default: default]",
        |options, _, value| string(&mut options.event_namespace, value),
    ),
    Flag::new(
        "--k8s-exporter-heartbeat-period",
        "DURATION",
        "5m0s",
        "The longest time between two writes of unchanged conditions; 0 writes only changes",
        |options, _, value| duration(&mut options.k8s_exporter_heartbeat_period, value),
    ),
    Flag::boolean(
        "--k8s-exporter-write-events",
        "true",
        "Create Events",
        |options, _, value| boolean(&mut options.k8s_exporter_write_events, value),
    ),
    Flag::boolean(
        "--k8s-exporter-update-node-conditions",
        "true",
        "Update the Node's conditions",
        |options, _, value| boolean(&mut options.k8s_exporter_update_node_conditions, value),
    ),
    Flag::new(
        "--kube-api-qps",
        "NUMBER",
        "500",
        "The most requests a second to the API server, on average",
        |options, _, value| float(&mut options.kube_api_qps, value),
    ),
    Flag::new(
        "--kube-api-burst",
        "NUMBER",
        "500",
        "The most requests to the API server at once",
        |options, _, value| integer(&mut options.kube_api_burst, value),
    ),
    Flag::new(
        "--hostname-override",
        "NAME",
        "",
        "The name of the Node [default: the environment's NODE_NAME, else the host name]",
        |options, _, value| string(&mut options.hostname_override, value),
    ),
];

const HTTP: &[Flag<Options>] = &[
    Flag::new(
        "--port",
        "PORT",
        "20256",
        "The port of /healthz, /conditions, /events and /status; 0 for none",
        |options, _, value| integer(&mut options.port, value),
    ),
    Flag::new(
        "--address",
        "ADDRESS",
        "127.0.0.1",
        "The address or host name of that port; empty for all interfaces",
        |options, _, value| string(&mut options.address, value),
    ),
    Flag::new(
        "--prometheus-port",
        "PORT",
        "20257",
        "The port of /metrics; 0 for none",
        |options, _, value| integer(&mut options.prometheus_port, value),
    ),
    Flag::new(
        "--prometheus-address",
        "ADDRESS",
        "127.0.0.1",
        "The address or host name of that port; empty for all interfaces",
        |options, _, value| string(&mut options.prometheus_address, value),
    ),
];

const OTHERS: &[Flag<Options>] = &[
    Flag::new(
        "--state-dir",
        "FOLDER",
        "",
        "A folder for the checkpoint: with it, a restart misses nothing and reports nothing twice",
        |options, _, value| path(&mut options.state_dir, value),
    ),
    Flag::new(
        "--v",
        "LEVEL",
        "0",
        "How much to log: 0 for what operators did, 4 for debugging, 6 for every step",
        |options: &mut Options, _, value| level(&mut options.verbosity, value),
    )
    .letter('v'),
    Flag::new(
        "--log-format",
        "FORMAT",
        "",
        "Log as text (for people), klog (as NPD does) or json (a line each) [default: klog if there is a cluster, else text]",
        |options, _, value| choice(&mut options.log_format, value),
    ),
    Flag::new(
        "--vmodule",
        "LEVELS",
        "",
        "Accepted and ignored: there is one level for all files",
        |options: &mut Options, _, value| vmodule(&mut options.vmodule, value),
    )
    .hidden(),
    Flag::boolean(
        "--logtostderr",
        "true",
        "Accepted and ignored: the log always goes to standard error",
        |options: &mut Options, _, value| boolean(&mut options.logtostderr, value),
    )
    .hidden(),
    Flag::boolean(
        "--version",
        "false",
        "Print the version and exit",
        |options, _, value| boolean(&mut options.version, value),
    ),
];
