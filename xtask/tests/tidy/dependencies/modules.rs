//! What each module of the agent may use.

/// Crates with effects. A module computes only if it names none of them, and uses no module that does.
pub(super) const EFFECTS: &[&str] = &[
    "aya",
    "hyper",
    "kube",
    "nix",
    "procfs",
    "socket2",
    "std::env",
    "std::fs",
    "std::net",
    "std::process::Command",
    "std::thread",
    "tokio",
    "tracing",
];

/// Every module, and which other modules and crates of [`EFFECTS`] it uses. A module uses only
/// modules above its line. If one module in a folder has a line, all modules in it have one, and
/// the line of the folder is about its own file.
#[rustfmt::skip] // one line for each module
pub(super) const MAY_USE: &[(&str, &[&str])] = &[
    // Computes only.
    ("problem", &[]),
    ("go", &[]),
    ("kernel_text", &["problem"]),
    ("aliases", &["problem"]),
    ("incident", &["problem"]),
    ("ledger", &["go", "problem"]),
    ("rendered", &[]),
    // Small tools, and the machine.
    ("bounded_queue", &[]),
    ("fd", &["nix", "tokio"]),
    ("signals", &["nix", "tokio"]),
    ("listen", &["socket2", "std::net", "std::thread"]),
    ("metrics", &["rendered"]),
    ("threads", &["std::thread", "tokio", "tracing"]),
    ("node", &["fd", "nix", "problem", "procfs", "std::fs", "threads", "tokio"]),
    ("logs", &["go", "node"]),
    ("journal", &["node", "std::fs", "tracing"]),
    ("exec", &["go", "nix", "node", "problem", "std::env", "std::fs", "std::process::Command", "std::thread", "tokio", "tracing"]),
    ("systemd", &["nix", "node", "std::env", "tokio"]),
    // What the monitors and exporters write to, and what is saved.
    ("state_dir", &["nix", "std::fs", "threads"]),
    ("status_page", &["go", "problem", "tokio"]),
    ("checkpoint", &["aliases", "incident", "ledger", "node", "problem", "state_dir", "status_page", "std::fs", "tokio", "tracing"]),
    ("reporter", &["metrics", "node", "problem", "status_page", "threads", "tokio"]),
    // The monitors do not know the exporters.
    ("program", &["go", "tokio"]),
    ("checks", &["go", "hyper", "nix", "node", "program", "std::env", "std::net", "systemd", "tokio"]),
    ("monitor::config_file", &["go", "problem"]),
    ("monitor::kind", &["go", "monitor::config_file", "problem", "reporter"]),
    ("monitor::log", &["exec", "fd", "go", "journal", "kernel_text", "logs", "monitor::config_file", "monitor::kind", "nix", "node", "problem", "reporter", "std::fs", "threads", "tokio", "tracing"]),
    ("monitor::plugin", &["checks", "exec", "go", "monitor::config_file", "monitor::kind", "node", "problem", "reporter", "status_page", "std::fs", "std::thread", "tokio", "tracing"]),
    ("monitor::stats", &["go", "monitor::config_file", "monitor::kind", "nix", "node", "problem", "procfs", "rendered", "reporter", "std::fs", "std::thread", "threads", "tokio", "tracing"]),
    ("monitor::ebpf", &["aya", "exec", "fd", "go", "kernel_text", "monitor::config_file", "monitor::kind", "nix", "node", "problem", "procfs", "reporter", "status_page", "std::fs", "std::thread", "threads", "tokio", "tracing"]),
    ("monitor", &["monitor::config_file", "monitor::ebpf", "monitor::kind", "monitor::log", "monitor::plugin", "monitor::stats", "problem"]),
    // The command line, which has a flag for each kind of monitor.
    ("logging", &["bounded_queue", "fd", "go", "metrics", "std::thread", "tracing"]),
    ("flags", &["aliases", "go", "logging", "monitor", "std::fs", "tracing"]),
    // The exporters do not know the monitors.
    ("exporter::kind", &["checkpoint", "flags", "metrics", "node", "problem", "status_page"]),
    ("exporter::kubernetes", &["checkpoint", "exporter::kind", "flags", "go", "hyper", "kube", "metrics", "node", "problem", "status_page", "std::env", "std::fs", "std::net", "threads", "tokio", "tracing"]),
    ("exporter::terminal", &["bounded_queue", "checkpoint", "exporter::kind", "fd", "flags", "go", "problem", "state_dir", "status_page", "std::fs", "std::thread", "tokio", "tracing"]),
    ("exporter", &["exporter::kind", "exporter::kubernetes", "exporter::terminal"]),
    // The modules that join both, and run them.
    ("hub", &["aliases", "checkpoint", "exporter::kind", "incident", "ledger", "metrics", "monitor::kind", "node", "problem", "reporter", "status_page", "tokio"]),
    ("server", &["go", "hyper", "metrics", "nix", "problem", "socket2", "status_page", "std::net", "tokio", "tracing"]),
    ("config", &["aliases", "go", "metrics", "monitor", "monitor::config_file", "monitor::kind", "problem", "status_page", "std::fs", "tracing"]),
    ("agent", &["aliases", "checkpoint", "exec", "exporter::kind", "hub", "metrics", "monitor::kind", "node", "problem", "reporter", "server", "status_page", "std::net", "tokio", "tracing"]),
    // The other programs in the agent's file.
    ("tools::klog", &["go"]),
    ("tools::builtin", &["checks", "node", "program", "std::env"]),
    ("tools::health_checker", &["checks", "go", "journal", "nix", "node", "program", "std::env", "systemd", "threads", "tokio", "tools::klog"]),
    ("tools::log_counter", &["go", "journal", "logs", "nix", "node", "program", "std::env", "std::fs", "tools::klog"]),
    ("tools::check", &["config", "go", "monitor::config_file", "monitor::ebpf", "monitor::kind", "monitor::log", "monitor::plugin", "monitor::stats", "program"]),
    ("tools::moment", &["hub", "metrics", "monitor::kind", "node", "reporter", "status_page", "tokio"]),
    ("tools::words", &["go"]),
    ("tools::probes", &["config", "go", "monitor::ebpf", "monitor::kind", "monitor::log", "node", "program", "status_page", "std::env", "tools::moment"]),
    ("tools::scan", &["config", "exec", "go", "monitor::config_file", "monitor::ebpf", "monitor::kind", "monitor::log", "monitor::plugin", "node", "problem", "program", "status_page", "std::env", "tools::moment", "tools::words"]),
    ("tools::replay", &["config", "exporter::kind", "exporter::terminal", "flags", "go", "hub", "journal", "logs", "metrics", "monitor::config_file", "monitor::log", "node", "problem", "program", "reporter", "status_page", "std::fs"]),
    ("tools::pages", &["hyper", "tokio"]),
    ("tools::status", &["go", "problem", "program", "status_page", "tools::pages", "tools::words"]),
    ("tools::drill", &["go", "nix", "node", "program", "std::env", "std::fs", "std::process::Command", "std::thread", "tokio", "tools::pages"]),
    ("tools::uninstall", &["exporter::kubernetes", "go", "node", "program", "std::env"]),
    ("tools::completion", &["go", "program"]),
    ("tools::manual", &["flags"]),
    ("tools", &["exec", "program", "tools::builtin", "tools::check", "tools::completion", "tools::drill", "tools::health_checker", "tools::log_counter", "tools::manual", "tools::probes", "tools::replay", "tools::scan", "tools::status", "tools::uninstall"]),
    ("lib", &[]),
    ("main", &["agent", "checkpoint", "config", "exporter", "exporter::kind", "flags", "listen", "logging", "metrics", "node", "server", "signals", "status_page", "std::env", "std::net", "tokio", "tools", "tracing"]),
];
