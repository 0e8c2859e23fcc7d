//! `npd-agent completion` in a shell, and `npd-agent manual`.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use npd_tests::harness;

use super::command;

/// Prints what bash would complete for the words of a line.
const COMPLETE: &str = r#"
    source <("$0" completion bash) || exit
    COMP_WORDS=("$0" "$@") COMP_CWORD=$#
    _npd_agent && echo "${COMPREPLY[*]}""#;

pub(crate) fn bash_completes_programs_and_flags() -> anyhow::Result<()> {
    for (words, expected) in [
        (&["stat"][..], "status"),
        (&["--enable-k8s"], "--enable-k8s-exporter"),
        (&["replay", "--s"], "--since"),
        (&["scan", "--json", "--ti"], "--timeout"),
        (&["check", "/proc/versio"], "/proc/version"),
    ] {
        let mut bash = Command::new("bash");
        let output = bash.args(["-c", COMPLETE]).arg(harness::agent()?);
        let output = output.args(words).output()?;
        let completed = String::from_utf8(output.stdout)?;
        ensure!(
            completed.trim() == expected,
            "{words:?}: {completed:?}, {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let other = command(Path::new("/"))?
        .args(["completion", "tcsh"])
        .output()?;
    ensure!(other.status.code() == Some(2), "{other:?}");
    Ok(())
}

pub(crate) fn the_manual_has_every_program() -> anyhow::Result<()> {
    let output = command(Path::new("/"))?.arg("manual").output()?;
    ensure!(output.status.success(), "{output:?}");
    let page = String::from_utf8(output.stdout)?;
    for heading in [".TH NPD", "npd\\-agent replay", "npd\\-agent log\\-counter"] {
        ensure!(page.contains(heading), "no {heading} in {page}");
    }
    Ok(())
}
