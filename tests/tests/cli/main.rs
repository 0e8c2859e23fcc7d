//! The command line, as a user types it.

mod endings;
mod replay;
mod scan;
mod shell;
mod status;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::harness::{self, Need, Test};
use tempfile::TempDir;

const TESTS: &[Test] = &[
    Test {
        name: "version_is_printed",
        needs: &[Need::Agent],
        run: version_is_printed,
    },
    Test {
        name: "what_npd_refuses_ends_with_npd_s_exit_code",
        needs: &[Need::Agent],
        run: what_npd_refuses_ends_with_npd_s_exit_code,
    },
    Test {
        name: "what_npd_starts_with_the_agent_starts_with",
        needs: &[Need::Agent],
        run: what_npd_starts_with_the_agent_starts_with,
    },
    Test {
        name: "what_is_ignored_is_said_in_one_warning",
        needs: &[Need::Agent],
        run: what_is_ignored_is_said_in_one_warning,
    },
    Test {
        name: "old_names_of_flags_work_and_are_warned_about",
        needs: &[Need::Agent],
        run: endings::old_names_of_flags_work_and_are_warned_about,
    },
    Test {
        name: "the_exit_code_and_the_last_line_say_why_it_ended",
        needs: &[Need::Agent],
        run: endings::the_exit_code_and_the_last_line_say_why_it_ended,
    },
    Test {
        name: "the_start_is_one_line_of_the_log",
        needs: &[Need::Agent],
        run: the_start_is_one_line_of_the_log,
    },
    Test {
        name: "a_port_in_use_is_fatal_where_it_is_in_npd",
        needs: &[Need::Agent],
        run: a_port_in_use_is_fatal_where_it_is_in_npd,
    },
    Test {
        name: "the_log_has_the_format_that_is_asked_for",
        needs: &[Need::Agent],
        run: the_log_has_the_format_that_is_asked_for,
    },
    Test {
        name: "check_fails_for_a_file_with_an_error",
        needs: &[Need::Agent],
        run: check_fails_for_a_file_with_an_error,
    },
    Test {
        name: "replay_reports_what_the_agent_would_have_reported",
        needs: &[Need::Agent],
        run: replay::replay_reports_what_the_agent_would_have_reported,
    },
    Test {
        name: "scan_ends_with_the_code_of_its_verdict",
        needs: &[Need::Agent],
        run: scan::scan_ends_with_the_code_of_its_verdict,
    },
    Test {
        name: "probes_names_a_backend_of_each_probe",
        needs: &[Need::Agent],
        run: scan::probes_names_a_backend_of_each_probe,
    },
    Test {
        name: "bash_completes_programs_and_flags",
        needs: &[Need::Agent, Need::Tool("bash")],
        run: shell::bash_completes_programs_and_flags,
    },
    Test {
        name: "the_manual_has_every_program",
        needs: &[Need::Agent],
        run: shell::the_manual_has_every_program,
    },
    Test {
        name: "status_says_whether_the_running_agent_sees_a_well_node",
        needs: &[Need::Agent],
        run: status::status_says_whether_the_running_agent_sees_a_well_node,
    },
];

/// This test runs one of this many lines with which NPD runs. A unit test reads all of them.
const STEP: usize = 8;

fn main() -> ExitCode {
    harness::parallel(TESTS)
}

/// A line that NPD was started with.
struct Row {
    words: Vec<String>,
    /// What the agent must do: run, or end with this code.
    code: Option<i32>,
}

/// The lines of node-problem-detector.
fn rows() -> anyhow::Result<Vec<Row>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/fixtures/npd/command-lines.tsv"
    );
    let text = fs::read_to_string(path)?;
    let lines = text
        .lines()
        .filter(|line| line.starts_with("node-problem-detector\t"));
    let row = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [_, words, outcome, _, _, _, instead] = *fields else {
            bail!("{line}");
        };
        let outcome: String = serde_json::from_str(outcome)?;
        let instead: String = serde_json::from_str(instead)?;
        let ours = instead.split(':').next().filter(|ours| !ours.is_empty());
        Ok(Row {
            words: serde_json::from_str(words)?,
            code: ours.unwrap_or(&outcome).parse().ok(),
        })
    };
    lines.map(row).collect()
}

/// The files that the lines name.
fn fixtures() -> anyhow::Result<TempDir> {
    let folder = TempDir::new()?;
    let write = |name: &str, content: &str| fs::write(folder.path().join(name), content);
    let log = r#"{"plugin": "filelog", "logPath": "app.log", "source": "app",
        "pluginConfig": {"timestamp": "^.{19}", "message": "^.{20}(.*)",
                         "timestampFormat": "2006-01-02T15:04:05"},
        "rules": [{"type": "temporary", "reason": "Bad", "pattern": "bad.*"}]}"#;
    for name in [
        "log.json",
        "log2.json",
        "a,b.json",
        "say\"x\".json",
        "with space.json",
    ] {
        write(name, log)?;
    }
    write("app.log", "")?;
    fs::create_dir(folder.path().join("dir"))?;
    let plugin = r#"{"plugin": "custom", "source": "p", "pluginConfig": {"concurrency": 3},
        "rules": [{"type": "temporary", "reason": "R", "path": "builtin:pids"}]}"#;
    write("plugin.json", plugin)?;
    let stats = r#"{"cpu": {"metricsConfigs": {"cpu/load_1m": {"displayName": "cpu/load_1m"}}}}"#;
    write("stats.json", stats)?;
    let kubeconfig = r#"{apiVersion: v1, kind: Config, current-context: a,
        contexts: [{name: a, context: {cluster: c, user: u}}],
        clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}],
        users: [{name: u, user: {token: t}}]}"#;
    write("kubeconfig", kubeconfig)?;
    Ok(folder)
}

fn command(folder: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(harness::agent()?);
    command
        .current_dir(folder)
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env_remove("NODE_NAME")
        .stdin(Stdio::null());
    Ok(command)
}

/// Runs the agent to its end, which must come soon.
fn end(folder: &Path, words: &[String]) -> anyhow::Result<Output> {
    let words = words.iter().map(|word| {
        let folder = folder.to_string_lossy();
        word.replace("FIXTURES", &folder)
    });
    let mut process = command(folder)?
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting the agent")?;
    let deadline = Instant::now() + PATIENCE;
    while process.try_wait()?.is_none() {
        if Instant::now() > deadline {
            process.kill()?;
            process.wait()?;
            bail!("it runs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(process.wait_with_output()?)
}

fn version_is_printed() -> anyhow::Result<()> {
    for words in [
        ["--version", "--config.system-log-monitor=missing.json"],
        ["--version=T", "word"],
    ] {
        let output = end(Path::new("/"), &words.map(str::to_owned))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "it ended with {}", output.status);
        ensure!(
            printed.trim() == env!("CARGO_PKG_VERSION"),
            "it printed {printed:?}"
        );
    }
    Ok(())
}

fn what_npd_refuses_ends_with_npd_s_exit_code() -> anyhow::Result<()> {
    let folder = fixtures()?;
    let mut count = 0;
    for Row { words, code } in rows()? {
        let Some(code) = code else { continue };
        let output = end(folder.path(), &words).with_context(|| format!("{words:?}"))?;
        let log = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.code() == Some(code),
            "{words:?}: {} instead of {code}: {log}",
            output.status
        );
        ensure!(code == 0 || !log.is_empty(), "{words:?}: it says nothing");
        count += 1;
    }
    ensure!(count > 200, "{count} lines");
    Ok(())
}

fn what_npd_starts_with_the_agent_starts_with() -> anyhow::Result<()> {
    let folder = fixtures()?;
    let running = rows()?.into_iter().filter(|row| row.code.is_none());
    let mut count = 0;
    for Row { words, .. } in running.step_by(STEP) {
        // The server of metrics may have another address than this test expects.
        if words.iter().any(|word| word.starts_with("--prometheus-")) {
            continue;
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let started = Agent::start_as(command(folder.path())?, folder.path(), &words);
        let mut agent = started.with_context(|| format!("{words:?}"))?;
        let page = agent.metrics_text();
        page.with_context(|| format!("{words:?}: {}", agent.log()))?;
        ensure!(agent.stop()?.success(), "{words:?}: {}", agent.log());
        count += 1;
    }
    ensure!(count > 10, "{count} lines");
    Ok(())
}

fn what_is_ignored_is_said_in_one_warning() -> anyhow::Result<()> {
    let folder = fixtures()?;
    let words = [
        "--config.system-log-monitor=log.json",
        "one",
        "--k8s-exporter-write-events",
        "false",
        "--",
        "--v=4",
    ];
    let mut agent = Agent::start_as(command(folder.path())?, folder.path(), &words)?;
    agent.metrics_text()?;
    ensure!(agent.stop()?.success(), "{}", agent.log());
    let log = agent.log();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
    let [warning] = *warnings else {
        bail!("{log}");
    };
    for text in ["one", "--v=4", "--k8s-exporter-write-events=false"] {
        ensure!(warning.contains(text), "{text}: {warning}");
    }
    Ok(())
}

fn the_start_is_one_line_of_the_log() -> anyhow::Result<()> {
    let folder = fixtures()?;
    let words = [
        "--config.system-log-monitor=log.json",
        "--config.custom-plugin-monitor=plugin.json",
        "--hostname-override=n1",
    ];
    let mut agent = Agent::start_as(command(folder.path())?, folder.path(), &words)?;
    agent.metrics_text()?;
    ensure!(agent.stop()?.success(), "{}", agent.log());
    let log = agent.log();
    let starts: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("started"))
        .collect();
    let [start] = *starts else {
        bail!("{log}");
    };
    let version = env!("CARGO_PKG_VERSION");
    let expect = format!(r#" INFO Agent started version="{version}" node="n1" monitors=2"#);
    ensure!(start.ends_with(&expect), "{start}");
    Ok(())
}

fn a_port_in_use_is_fatal_where_it_is_in_npd() -> anyhow::Result<()> {
    let folder = fixtures()?;
    let config = "--config.system-log-monitor=log.json";
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let status = format!("--port={}", listener.local_addr()?.port());
    let words = [config, "--prometheus-port=0", &status].map(str::to_owned);
    let output = end(folder.path(), &words)?;
    ensure!(output.status.code() == Some(255), "{}", output.status);
    // Without its Kubernetes exporter NPD does not listen there.
    let words = [config, "--enable-k8s-exporter=false", &status];
    let mut agent = Agent::start_as(command(folder.path())?, folder.path(), &words)?;
    agent.metrics_text()?;
    ensure!(agent.stop()?.success(), "{}", agent.log());
    drop(listener);
    Ok(())
}

fn the_log_has_the_format_that_is_asked_for() -> anyhow::Result<()> {
    let folder = fixtures()?;
    let config = "--config.system-log-monitor=log.json";
    let header =
        regex::Regex::new(r#"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{6} [ \d]{6}\d [a-z_]+\.rs:\d+\] ""#)?;
    for format in ["klog", "json", "text"] {
        let flag = format!("--log-format={format}");
        let words = [config, &flag, "word"];
        let mut agent = Agent::start_as(command(folder.path())?, folder.path(), &words)?;
        agent.metrics_text()?;
        ensure!(agent.stop()?.success(), "{}", agent.log());
        let log = agent.log();
        ensure!(log.contains("Stopping on SIGTERM"), "{log}");
        for line in log.lines() {
            let is_as_asked = match format {
                "klog" => header.is_match(line),
                "json" => serde_json::from_str::<serde_json::Value>(line).is_ok(),
                _ => line.contains(" INFO ") || line.contains(" WARN "),
            };
            ensure!(is_as_asked, "{format}: {line}");
        }
    }
    let words = [config, "--config.system-log-monitor=missing.json"].map(str::to_owned);
    let words = [words.as_slice(), &["--log-format=klog".to_owned()]].concat();
    let output = end(folder.path(), &words)?;
    let log = String::from_utf8(output.stderr)?;
    let last = log.lines().last().context("it says nothing")?;
    ensure!(last.starts_with('F') && header.is_match(last), "{log}");
    ensure!(last.contains("missing.json"), "{log}");
    Ok(())
}

fn check_fails_for_a_file_with_an_error() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let good = r#"{"plugin": "kmsg", "rules": [{"type": "temporary", "reason": "Ill", "pattern": "ill"}]}"#;
    fs::write(folder.path().join("good.json"), good)?;
    fs::write(
        folder.path().join("bad.json"),
        good.replace("pattern", "patern"),
    )?;
    for (files, code) in [
        (&["good.json"][..], 0),
        (&["bad.json"], 1),
        (&["good.json", "bad.json"], 1),
        (&["bad.json", "missing.json"], 2),
        (&["builtin"], 0),
        (&["builtin:kernel-monitor.json", "bad.json"], 1),
        (&["builtin:no-such.json"], 2),
        (&[], 2),
    ] {
        let output = command(folder.path())?.arg("check").args(files).output()?;
        ensure!(
            output.status.code() == Some(code),
            "{files:?}: {output:?}, expected exit code {code}"
        );
    }
    Ok(())
}
