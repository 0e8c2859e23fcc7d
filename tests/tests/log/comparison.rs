//! The agent's reader of the journal against `journalctl`, entry by entry.

use std::io::{BufRead as _, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use npd_agent::journal::{EntryFilter, Journal, JournalEntry, Term};
use npd_tests::harness;
use serde_json::Value;

pub(crate) const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// How many entries a journal has; with `NPD_TEST_ENTRIES`, so many.
const ENTRIES: u64 = 20_000;

pub(crate) const IDENTIFIERS: [&str; 6] = ["kubelet", "kernel", "sshd", "a", "aa", "kube"];

pub(crate) fn xz() -> anyhow::Result<()> {
    check("xz", 1)
}

pub(crate) fn lz4() -> anyhow::Result<()> {
    check("lz4", 2)
}

pub(crate) fn zstd() -> anyhow::Result<()> {
    check("zstd", 8)
}

fn check(compression: &str, flag: u8) -> anyhow::Result<()> {
    let entries = harness::amount("NPD_TEST_ENTRIES", ENTRIES)?;
    for compact in [false, true] {
        let folder = tempfile::tempdir()?;
        for (name, numbers) in [("even", 0), ("odd", 1)] {
            let path = folder.path().join(format!("{name}.journal"));
            let numbers = (numbers..entries).step_by(2);
            write(&path, compression, flag, compact, &numbers)?;
        }
        let folder = folder.path();
        let compared = compare(folder, &[])?;
        ensure!(compared == entries, "journalctl has {compared} entries");
        compare(folder, &["kubelet"])?;
        compare(folder, &["aa", "kernel"])?;
        eprintln!("{compared} entries are equal, {compression}, compact: {compact}");
    }
    Ok(())
}

/// Makes systemd write a journal file with entries of these numbers, with this compression.
fn write(
    path: &Path,
    compression: &str,
    flag: u8,
    compact: bool,
    numbers: &(impl Iterator<Item = u64> + Clone),
) -> anyhow::Result<()> {
    let remote = |compress: &str| -> anyhow::Result<u8> {
        let mut remote = Command::new(REMOTE)
            .arg(format!("--compress={compress}"))
            .arg("--output")
            .arg(path)
            .arg("-")
            .env("SYSTEMD_JOURNAL_COMPACT", if compact { "1" } else { "0" })
            .env("SYSTEMD_JOURNAL_COMPRESS", compression)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut input = BufWriter::new(remote.stdin.take().context("writing entries")?);
        for number in numbers.clone() {
            export(&mut input, number)?;
        }
        drop(input);
        let status = remote.wait()?;
        ensure!(status.success(), "systemd-journal-remote: {status}");
        let header = std::fs::read(path)?;
        ensure!(
            (header[12] & 16 != 0) == compact,
            "it ignores SYSTEMD_JOURNAL_COMPACT"
        );
        Ok(header[12] & 0b1011)
    };
    if remote("yes")? == flag {
        return Ok(());
    }
    std::fs::remove_file(path)?;
    remote("no")?;
    let mut recompress = Command::new("python3");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/log/recompress.py");
    let output = recompress.arg(script).arg(path).arg(compression).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "recompress.py: {errors}");
    let compressed: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
    ensure!(compressed > 0, "no value was compressed");
    Ok(())
}

/// An entry in the journal export format.
fn export(to: &mut impl Write, number: u64) -> anyhow::Result<()> {
    let identifier = IDENTIFIERS[usize::try_from(number * number % 13 % 6)?];
    let transport = if identifier == "kernel" {
        "kernel"
    } else {
        "syslog"
    };
    let time = 1_764_000_000_000_000 + number;
    writeln!(to, "__REALTIME_TIMESTAMP={time}")?;
    writeln!(to, "__MONOTONIC_TIMESTAMP={}", 1000 + number)?;
    writeln!(to, "_BOOT_ID=4322fce392534df591babac93ef6554f")?;
    if number % 50 == 7 {
        // Another large field, which must not be taken for the message.
        writeln!(to, "COREDUMP={}", format!("MESSAGE={number} ").repeat(2000))?;
    }
    writeln!(
        to,
        "SYSLOG_IDENTIFIER={identifier}\nPRIORITY={}",
        number % 8
    )?;
    writeln!(
        to,
        "_TRANSPORT={transport}\n_SYSTEMD_UNIT={identifier}.service"
    )?;
    if number % 97 != 3 {
        let message = message(number);
        to.write_all(b"MESSAGE\n")?;
        to.write_all(&(message.len() as u64).to_le_bytes())?;
        to.write_all(&message)?;
        to.write_all(b"\n")?;
    }
    Ok(to.write_all(b"\n")?)
}

/// Messages of every kind: short, long, compressed well and badly, of several lines, not text,
/// empty.
pub(crate) fn message(number: u64) -> Vec<u8> {
    let mut random = number;
    let mut byte = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        random.to_be_bytes()[0]
    };
    match number % 9 {
        0 => format!("entry {number}").into_bytes(),
        1 => format!("{number} ").repeat(200).into_bytes(),
        2 => format!("line {number}\nand another\r\n\n and a last one ").into_bytes(),
        3 => [&b"\xffa\0\xc3"[..], &number.to_le_bytes()].concat(),
        4 if number % 360 == 4 => format!("long {number} ").repeat(12_000).into_bytes(),
        4 => "always the same".into(),
        5 => Vec::new(),
        6 => (0..600 + number % 1000).map(|_| byte()).collect(),
        7 => (0..600 + number % 3000)
            .map(|_| b'a' + byte() % 16)
            .collect(),
        _ => "é"
            .repeat(usize::try_from(number % 500).unwrap_or_default())
            .into_bytes(),
    }
}

/// Holds the reader against `journalctl`, for entries of these identifiers, or of all. How many
/// there are.
pub(crate) fn compare(folder: &Path, identifiers: &[&str]) -> anyhow::Result<u64> {
    let all = if identifiers.is_empty() {
        &IDENTIFIERS
    } else {
        identifiers
    };
    let terms = all
        .iter()
        .map(|identifier| Term::new("SYSLOG_IDENTIFIER", identifier));
    let groups = vec![terms.collect()];
    let mut journal = Journal::in_folder(folder.to_owned(), EntryFilter { groups }, 0);
    journal.scan();
    let mut journalctl = Command::new("journalctl");
    journalctl
        .args(["--no-pager", "--all", "--output=json", "--directory"])
        .arg(folder);
    let matches = identifiers
        .iter()
        .map(|identifier| format!("SYSLOG_IDENTIFIER={identifier}"));
    let mut journalctl = journalctl.args(matches).stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(
        journalctl
            .stdout
            .take()
            .context("reading from journalctl")?,
    );
    let mut entries = 0;
    for line in lines.lines() {
        let expect = entry(&serde_json::from_str(&line?)?)?;
        let Some(found) = journal.next_entry() else {
            bail!("entry {entries} is missing: {expect:?}");
        };
        ensure!(
            found == expect,
            "entry {entries} is {found:?} and not {expect:?}"
        );
        entries += 1;
    }
    ensure!(journalctl.wait()?.success(), "journalctl has failed");
    let more = journal.next_entry();
    ensure!(more.is_none(), "after {entries} entries there is {more:?}");
    let malformed = journal.take_malformed();
    ensure!(malformed == 0, "{malformed} entries are malformed");
    Ok(entries)
}

/// An entry as `journalctl` prints it.
fn entry(json: &Value) -> anyhow::Result<JournalEntry> {
    let text = |key: &str| {
        json[key]
            .as_str()
            .with_context(|| format!("{key} in {json}"))
    };
    let cursor = text("__CURSOR")?;
    let sequence = cursor.split(';').find_map(|part| part.strip_prefix("i="));
    let byte = |byte: &Value| u8::try_from(byte.as_u64()?).ok();
    Ok(JournalEntry {
        sequence: u64::from_str_radix(sequence.context("the number")?, 16)?,
        realtime: text("__REALTIME_TIMESTAMP")?.parse()?,
        monotonic: text("__MONOTONIC_TIMESTAMP")?.parse()?,
        boot: u128::from_str_radix(text("_BOOT_ID")?, 16)?,
        from_kernel: text("_TRANSPORT")? == "kernel",
        again: false,
        message: match &json["MESSAGE"] {
            Value::Null => Vec::new(),
            Value::String(text) => text.clone().into_bytes(),
            Value::Array(bytes) => bytes.iter().filter_map(byte).collect(),
            other => bail!("a message that is {other}"),
        },
    })
}
