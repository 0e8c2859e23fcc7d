//! A command prints only its result on standard output, because a script takes the output for the path
//! that it needs.

use std::os::unix::fs::PermissionsExt as _;
use std::{fs, iter};

use xshell::{Shell, cmd};

/// Replaces the programs that a command runs on a bare machine: it prints much, and makes the same
/// files as the real one.
const PROGRAM: &str = r#"#!/bin/sh
case "${0##*/} $*" in
    "cargo build "*"--package npd-agent "*)
        mkdir -p "$CARGO_TARGET_DIR/made-up/release"
        : >"$CARGO_TARGET_DIR/made-up/release/npd-agent" ;;
    "cargo -vV") echo "host: made-up"; exit ;;
    "cargo "*) exec "$REAL_CARGO" "$@" ;;
    "apt-get "*indextargets*) exit ;;
    "dpkg-query "*) test "$(id -u)" = 0 || { printf installed; exit; } ;;
    *"mmdebstrap "*)
        for archive in "$@"; do
            case "$archive" in */image/.tmp*) : >"$archive" ;; esac
        done ;;
esac
echo "${0##*/} talks about its work"
"#;

#[test]
fn the_image_command_answers_with_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for program in ["apt-get", "cargo", "dpkg-query", "mmdebstrap", "unshare"] {
        let path = folder.join(program);
        fs::write(&path, PROGRAM).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    let (shell, xtask) = (Shell::new().unwrap(), env!("CARGO_BIN_EXE_xtask"));
    let image = cmd!(shell, "{xtask} image")
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("REAL_CARGO", std::env::var_os("CARGO").unwrap_or_default())
        .env("CARGO", folder.join("cargo"))
        .env("CARGO_TARGET_DIR", folder.join("target"));
    let output = image.ignore_status().output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("talks about its work"), "{log}");
    let path = folder.join("target/image/npd-ebpf.tar");
    let answer = String::from_utf8_lossy(&output.stdout);
    assert_eq!(answer, format!("{}\n", path.display()), "{log}");
    assert!(path.exists());
}
