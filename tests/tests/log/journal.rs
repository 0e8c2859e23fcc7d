//! What journald itself writes.

use anyhow::ensure;
use npd_tests::agent::{Agent, PATIENCE};
use npd_tests::journald::Journal;
use serde_json::json;

use crate::comparison::{IDENTIFIERS, compare, message};
use crate::rotation::{check_once, numbers};

/// How many entries are compared.
const ENTRIES: u64 = 10_000;

pub(crate) fn rotation() -> anyhow::Result<()> {
    let journal = Journal::start()?;
    let folder = tempfile::tempdir()?;
    let config = json!({
        "plugin": "journald", "logPath": journal.folder()?, "lookback": "1h", "source": "test",
        "pluginConfig": {"source": "kubelet"},
        "rules": [{"type": "temporary", "reason": "Bad", "pattern": "bad line \\d+"}],
    });
    std::fs::write(folder.path().join("config.json"), config.to_string())?;
    let start = || {
        let arguments = [
            "--config.system-log-monitor=config.json",
            "--state-dir=state",
        ];
        Agent::start(folder.path(), &arguments)
    };
    let reported = |agent: &Agent, number: u64| {
        agent.wait_for("the last line", PATIENCE, |line| {
            numbers(vec![line.clone()]) == [number]
        })
    };
    journal.write(0..20)?;
    let first = start()?;
    journal.write(20..40)?;
    journal.rotate()?;
    journal.write(40..60)?;
    reported(&first, 59)?;
    let mut lives = vec![numbers(first.kill()?)];
    journal.write(60..80)?;
    journal.rotate()?;
    journal.write(80..90)?;
    let second = start()?;
    journal.write(90..100)?;
    reported(&second, 99)?;
    lives.push(numbers(second.kill()?));
    check_once(&lives)?;
    let mut all = lives.concat();
    all.sort_unstable();
    all.dedup();
    ensure!(
        all == (0..100).collect::<Vec<_>>(),
        "only these are reported: {all:?}"
    );
    Ok(())
}

/// Every kind of message, given to journald by its own protocol, rotated away a few times.
pub(crate) fn comparison() -> anyhow::Result<()> {
    let journal = Journal::start()?;
    for number in 0..ENTRIES {
        let identifier = IDENTIFIERS[usize::try_from(number % 6)?];
        journal.send(identifier, &message(number))?;
        if number % 3000 == 2999 {
            journal.rotate()?;
        }
    }
    journal.control("--sync")?;
    let compared = compare(&journal.folder()?, &IDENTIFIERS)?;
    ensure!(compared == ENTRIES, "journalctl has {compared} entries");
    compare(&journal.folder()?, &["kernel", "sshd"])?;
    eprintln!("{compared} entries are equal");
    Ok(())
}
