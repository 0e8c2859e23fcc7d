//! Tests that a change of the sources makes the eBPF object stale.

use std::os::unix::fs::symlink;
use std::path::Path;

use xshell::{Shell, cmd};
use xtask::prebuilt::{OBJECT, staleness, store};

const SOURCE: &str = "npd-ebpf/src/programs/oom.rs";

#[test]
fn an_object_is_stale_once_code_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let shell = copy_of_the_workspace(folder.path()).unwrap();
    assert!(store(&shell, b"an object", "a compiler").unwrap());
    assert_eq!(staleness(&shell).unwrap(), None);
    assert!(!store(&shell, b"an object", "a compiler").unwrap());

    let source = shell.read_file(SOURCE).unwrap();
    let write = |text: String| shell.write_file(SOURCE, text).unwrap();
    write(format!("{source}\n// A comment.\n"));
    assert_eq!(staleness(&shell).unwrap(), None);
    write(format!("{source}\nfn more() {{}}\n"));
    let changed = Some("it was built from other sources");
    assert_eq!(staleness(&shell).unwrap(), changed);
    write(source);
    assert_eq!(staleness(&shell).unwrap(), None);

    shell
        .write_file("npd-ebpf/src/new.rs", "fn new() {}\n")
        .unwrap();
    assert_eq!(staleness(&shell).unwrap(), changed);
    shell.remove_path("npd-ebpf/src/new.rs").unwrap();

    let manifest = shell.read_file("Cargo.toml").unwrap();
    let profile = "[profile.bpf]\n";
    let other = manifest.replace(profile, &format!("{profile}overflow-checks = true\n"));
    shell.write_file("Cargo.toml", other).unwrap();
    assert_eq!(staleness(&shell).unwrap(), changed);
}

#[test]
fn an_object_without_its_own_record_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    let shell = copy_of_the_workspace(folder.path()).unwrap();
    assert_eq!(
        staleness(&shell).unwrap(),
        Some("there is none, or no record of what it was built from")
    );
    store(&shell, b"an object", "a compiler").unwrap();
    shell.write_file(OBJECT, "another object").unwrap();
    assert_eq!(
        staleness(&shell).unwrap(),
        Some("it is not the one that its record is about")
    );
}

/// A shell in a workspace whose kernel programs may be changed. It has no object.
fn copy_of_the_workspace(folder: &Path) -> anyhow::Result<Shell> {
    let shell = Shell::new()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for package in ["npd-agent", "tests", "xtask"] {
        symlink(root.join(package), folder.join(package))?;
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        shell.copy_file(root.join(file), folder)?;
    }
    let programs = root.join("npd-ebpf");
    cmd!(shell, "cp --recursive {programs} {folder}").run()?;
    shell.change_dir(folder);
    shell.remove_path("npd-ebpf/prebuilt")?;
    Ok(shell)
}
