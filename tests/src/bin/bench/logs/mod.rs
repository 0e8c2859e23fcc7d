//! A log file with a million lines: the agent, against a naive reader and against ripgrep.

mod kernel;
mod lines;
mod readers;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

use self::lines::{FAULTS, LINES};
use self::readers::{Reading, agent, catalogue_rule, naive, ripgrep, rule};

/// How often each is measured. The best result counts, because the machine also does other things.
const RUNS: usize = 3;

/// The patterns of the rules that NPD ships for the kernel's log.
fn shipped() -> anyhow::Result<Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/kernel-monitor.json");
    let config: serde_json::Value = serde_json::from_str(&crate::read(&file)?)?;
    let rules = config["rules"].as_array().context("a config has rules")?;
    let pattern = |rule: &serde_json::Value| Some(rule["pattern"].as_str()?.to_owned());
    rules
        .iter()
        .map(|rule| pattern(rule).context("a rule has a pattern"))
        .collect()
}

/// The rules of the catalogue, file by file.
fn catalogue() -> anyhow::Result<Vec<Vec<serde_json::Value>>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/kernel");
    let mut files = Vec::new();
    for file in crate::entries(&folder)? {
        let config: serde_json::Value = serde_json::from_str(&crate::read(&file)?)?;
        let rules = config["rules"].as_array().context("a config has rules")?;
        let patterns = rules.iter().filter_map(|rule| rule["pattern"].as_str());
        files.push(patterns.map(catalogue_rule).collect());
    }
    Ok(files)
}

/// A table, in Markdown.
pub(crate) fn table() -> anyhow::Result<String> {
    let folder = tempfile::tempdir().context("making a folder")?;
    let shipped = shipped()?;
    let thousand: Vec<String> = shipped
        .iter()
        .cloned()
        .chain(lines::patterns())
        .take(1000)
        .collect();
    let spanning = [shipped.clone(), vec![lines::SPANNING.to_owned()]].concat();
    let log = lines::Log::new()?;

    let best = |read: &dyn Fn() -> anyhow::Result<Reading>| {
        let runs = (0..RUNS).map(|_| read());
        let runs = runs.collect::<anyhow::Result<Vec<_>>>()?;
        let fastest = runs.into_iter().min_by_key(|run| run.spent);
        fastest.context("no run")
    };
    let one_file = |patterns: &[String]| vec![patterns.iter().map(rule).collect()];
    let ours = best(&|| agent(folder.path(), &log, &one_file(&shipped)))?;
    let catalogue = catalogue()?;
    let rules: usize = catalogue.iter().map(Vec::len).sum();
    let catalogue_name = format!("agent, {rules} rules in {} files", catalogue.len());
    let readings = [
        (
            &*catalogue_name,
            best(&|| agent(folder.path(), &log, &catalogue))?,
        ),
        (
            "`ripgrep -f`, 14 patterns",
            best(&|| ripgrep(folder.path(), &log, &shipped))?,
        ),
        (
            "`ripgrep -f`, 1,000 patterns",
            best(&|| ripgrep(folder.path(), &log, &thousand))?,
        ),
        ("simple reader, 14 rules", naive(&log, &shipped)?),
        (
            "agent, 1,000 rules",
            best(&|| agent(folder.path(), &log, &one_file(&thousand)))?,
        ),
        (
            "agent, 14 rules and one that spans lines",
            best(&|| agent(folder.path(), &log, &one_file(&spanning)))?,
        ),
    ];
    let mut table = format!(
        "{LINES} lines, {}, {FAULTS} of them faults\n\n\
         | reader | lines per second of processor time | relative to the agent | resident memory: before, maximum |\n\
         | --- | --- | --- | --- |\n",
        crate::mebibytes(log.text.len() as u64)
    );
    let row = |(name, reading): (&str, &Reading)| {
        let share = reading.rate() / ours.rate();
        let memory = reading.resident.map_or_else(String::new, |(before, most)| {
            format!("{}, {}", crate::mebibytes(before), crate::mebibytes(most))
        });
        format!(
            "| {name} | {:.0} | {share:.2} | {memory} |\n",
            reading.rate()
        )
    };
    table += &row(("agent, 14 rules", &ours));
    table.extend(readings.iter().map(|(name, reading)| row((name, reading))));
    let record = kernel::agent(folder.path(), &shipped)?;
    writeln!(
        table,
        "\nkernel log, 14 rules: {:.2} µs of processor time per record",
        1e6 / record.rate()
    )?;
    Ok(table)
}
