//! `cargo xtask fuzz`

use std::path::Path;

use anyhow::{Context as _, bail};
use xshell::{Shell, cmd};

use crate::workspace::{self, say};
use crate::{Command, debian};

pub(crate) const COMMAND: Command = Command {
    name: "fuzz",
    args: "[TARGET] [--seconds N]",
    help: "Fuzzes the code that parses foreign input: each target of fuzz/, or TARGET, for N seconds\n\
           (default 60). Installs cargo-fuzz if it is missing.",
    run,
};

/// The version of cargo-fuzz, and the folder to install it in.
const VERSION: &str = "0.13.2";
const ROOT: &str = "target/tools";

/// What counts as a finding, besides a panic: more seconds for one input, more mebibytes in one
/// allocation, or more in the whole process.
const LIMITS: &[&str] = &[
    "-timeout=10",
    "-malloc_limit_mb=128",
    "-rss_limit_mb=2048",
    "-max_len=8192",
];

fn run(shell: &Shell, args: &[String]) -> anyhow::Result<()> {
    let mut targets = targets(shell)?;
    let mut seconds = 60;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => {
                let number = args.next().context("--seconds needs a number")?;
                seconds = number
                    .parse::<u32>()
                    .with_context(|| format!("--seconds {number}"))?;
            }
            name if targets.iter().any(|target| target == name) => targets = vec![name.to_owned()],
            name => bail!(
                "there is no target `{name}`; there are {}",
                targets.join(", ")
            ),
        }
    }
    install(shell)?;
    for target in &targets {
        say(format_args!("{target}, for {seconds} s"));
        fuzz(shell, target, seconds)?;
    }
    Ok(())
}

/// The names of the targets.
fn targets(shell: &Shell) -> anyhow::Result<Vec<String>> {
    let files = shell.read_dir("fuzz/fuzz_targets")?;
    let names = files.iter().filter_map(|file| file.file_stem()?.to_str());
    Ok(names.map(str::to_owned).collect())
}

/// Installs cargo-fuzz if it is missing.
fn install(shell: &Shell) -> anyhow::Result<()> {
    if cmd!(shell, "c++ --version")
        .quiet()
        .ignore_stderr()
        .read()
        .is_err()
    {
        let packages = vec![debian::package("g++", "libFuzzer is written in C++")];
        debian::install(shell, &debian::missing(shell, packages))?;
    }
    let record = shell.read_file(Path::new(ROOT).join(".crates2.json"));
    if record.is_ok_and(|record| record.contains(&format!("\"cargo-fuzz {VERSION} "))) {
        return Ok(());
    }
    say(format_args!(
        "building cargo-fuzz {VERSION} into {ROOT} (about a minute)"
    ));
    let cargo = workspace::cargo_path();
    workspace::prepare(cmd!(
        shell,
        "{cargo} install cargo-fuzz --version ={VERSION} --locked --force --root {ROOT}"
    ))
    .context("building cargo-fuzz")
}

/// Fuzzes one target. Starts with the corpus and with the inputs that earlier runs have found.
fn fuzz(shell: &Shell, target: &str, seconds: u32) -> anyhow::Result<()> {
    let tool = shell.current_dir().join(ROOT).join("bin/cargo-fuzz");
    let corpus = format!("fuzz/corpus/{target}");
    let found = format!("target/fuzz/found/{target}");
    shell.create_dir(&found)?;
    let time = format!("-max_total_time={seconds}");
    cmd!(
        shell,
        "{tool} fuzz run --target-dir target/fuzz {target} {found} {corpus} --
         {LIMITS...} {time} -print_final_stats=1"
    )
    .env("RUSTC_BOOTSTRAP", "1") // lets a stable compiler take -Z
    .quiet()
    .run()
    .with_context(|| format!("fuzzing {target}"))
}
