//! Old names of flags, exit codes, and what the agent says when it ends.

use std::fs;

use anyhow::{bail, ensure};
use npd_tests::agent::Agent;

use crate::{command, end, fixtures};

pub(crate) fn old_names_of_flags_work_and_are_warned_about() -> anyhow::Result<()> {
    let folder = fixtures()?;
    for (old, new, file, monitor) in [
        (
            "--system-log-monitors",
            "--config.system-log-monitor",
            "log.json",
            "filelog:",
        ),
        (
            "--custom-plugin-monitors",
            "--config.custom-plugin-monitor",
            "plugin.json",
            "plugin.json",
        ),
    ] {
        let words = [&*format!("{old}={file}")];
        let mut agent = Agent::start_as(command(folder.path())?, folder.path(), &words)?;
        agent.metrics_text()?;
        let status = agent.page("/status")?.to_string();
        ensure!(status.contains(monitor), "{old}: {status}");
        ensure!(agent.stop()?.success(), "{}", agent.log());
        let log = agent.log();
        let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN")).collect();
        let [warning] = *warnings else {
            bail!("{log}");
        };
        ensure!(warning.contains(old) && warning.contains(new), "{warning}");
    }
    Ok(())
}

pub(crate) fn the_exit_code_and_the_last_line_say_why_it_ended() -> anyhow::Result<()> {
    let folder = fixtures()?;
    let bad = "{\n  \"plugin\": \"kmsg\",\n  \"rules\": [{\"pattern\": \"(\"}]\n}";
    fs::write(folder.path().join("bad.json"), bad)?;
    let log = "--config.system-log-monitor=log.json";
    for (words, code, texts) in [
        (
            &["--no-such-flag"][..],
            2,
            &["--no-such-flag", "--help"][..],
        ),
        (&["--port=many"], 2, &["--port", "many", "--help"]),
        (
            &[log, "--system-log-monitors=log2.json"],
            2,
            &["is the old name of"],
        ),
        (
            &["--config.system-log-monitor=none.json"],
            255,
            &["none.json", "No such file"],
        ),
        (
            &["--config.system-log-monitor=bad.json"],
            255,
            &["bad.json:3:25: rules[0].pattern: ", "missing closing )"],
        ),
        (
            &[log, "--exporter.stackdriver=x.json"],
            255,
            &["--exporter.stackdriver=x.json", "No such file"],
        ),
        (&[log, "--address=no host"], 255, &["no host"]),
    ] {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let output = end(folder.path(), &words)?;
        let said = String::from_utf8_lossy(&output.stderr);
        let status = output.status;
        ensure!(status.code() == Some(code), "{words:?}: {status}: {said}");
        let last = said.lines().last().unwrap_or_default();
        let missing = texts.iter().find(|text| !last.contains(**text));
        ensure!(missing.is_none(), "{words:?}: no {missing:?} in {last}");
        ensure!(output.stdout.is_empty(), "{words:?}: it prints");
    }
    for words in [["--help"], ["-h"]] {
        let output = end(folder.path(), &words.map(str::to_owned))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.code() == Some(0), "{}", output.status);
        ensure!(printed.contains("--config.system-log-monitor"), "{printed}");
        ensure!(output.stderr.is_empty(), "{words:?}: it complains");
    }
    Ok(())
}
