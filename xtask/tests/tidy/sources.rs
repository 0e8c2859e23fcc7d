//! Rules for every source file.

use crate::{File, assert_none, files};

/// A file contains one idea; a longer file contains two.
const LONGEST: usize = 400;

#[test]
fn files_are_short() {
    let lines = |file: File| (file.text.lines().count(), file.path);
    let too_long = files()
        .unwrap()
        .into_iter()
        .filter(File::is_rust)
        .map(lines);
    assert_none(
        "no more than 400 lines a file",
        too_long
            .filter(|(lines, _)| *lines > LONGEST)
            .map(|(lines, path)| format!("{path}: {lines} lines")),
    );
}

#[test]
fn unsafe_code_is_in_the_kernel_programs_only() {
    let is_elsewhere = |file: &File| file.is_rust() && !file.path.starts_with("npd-ebpf/");
    let followers = ["{", "(", "fn ", "impl", "extern", "trait"];
    let is_code = |rest: &str| {
        followers
            .iter()
            .any(|next| rest.trim_start().starts_with(next))
    };
    assert_none(
        "only the kernel programs need it",
        lines(files().unwrap().into_iter().filter(is_elsewhere), |line| {
            let code = line.split("//").next().unwrap_or_default();
            code.split(concat!("un", "safe")).skip(1).any(is_code)
        }),
    );
}

#[test]
fn lints_are_expected_not_allowed() {
    let attributes = [concat!("#[", "allow("), concat!("#![", "allow(")];
    assert_none(
        "`expect` with a reason notices when it is no longer needed; `allow` does not",
        lines(files().unwrap().into_iter().filter(File::is_rust), |line| {
            attributes.iter().any(|attribute| line.contains(attribute))
        }),
    );
}

#[test]
fn nothing_is_left_for_later() {
    let markers = [concat!("TO", "DO"), concat!("FIX", "ME")];
    let macros = [concat!("to", "do!"), concat!("un", "implemented!")];
    let is_ours = |file: &File| !file.path.starts_with("deploy/config/");
    assert_none(
        "finish it, or file an issue",
        lines(files().unwrap().into_iter().filter(is_ours), |line| {
            words(line).any(|word| markers.contains(&word))
                || macros.iter().any(|name| line.contains(name))
        }),
    );
}

#[test]
fn no_machine_is_named() {
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];
    let hosts = [
        concat!("artifact", "ory"),
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("deb.", "debian.org"),
        concat!("proxy.", "golang.org"),
        concat!("files.", "pythonhosted.org"),
        concat!("registry.", "npmjs.org"),
    ];
    assert_none(
        "no path of one machine, no package registry's host: both differ elsewhere",
        lines(files().unwrap(), |line| {
            let names_folder = folders.iter().any(|folder| {
                line.match_indices(folder).any(|(start, _)| {
                    let before = line[..start].chars().next_back();
                    !before.is_some_and(|c| c.is_alphanumeric() || "._-/})*".contains(c))
                })
            });
            names_folder || hosts.iter().any(|host| line.contains(host))
        }),
    );
}

/// The lines of `files` that break a rule, with their places.
fn lines(
    files: impl IntoIterator<Item = File>,
    breaks: impl Fn(&str) -> bool,
) -> impl Iterator<Item = String> {
    files.into_iter().flat_map(move |file| {
        let lines = file.text.lines().enumerate();
        let broken = lines.filter(|(_, line)| breaks(line));
        let place =
            |(index, line): (usize, &str)| format!("{}:{}: {}", file.path, index + 1, line.trim());
        broken.map(place).collect::<Vec<_>>()
    })
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}
