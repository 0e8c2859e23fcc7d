//! Finds the eBPF object and tells the agent's source where it is: `env!("NPD_EBPF_OBJECT")`.
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=NPD_EBPF_OBJECT");
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let built = || Path::new(&package).join("../target/bpf/npd-ebpf");
    let object = std::env::var_os("NPD_EBPF_OBJECT").map_or_else(built, PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    if let Ok(object) = object.canonicalize() {
        println!("cargo::rustc-env=NPD_EBPF_OBJECT={}", object.display());
    } else {
        println!("cargo::error=The eBPF object is missing: run `cargo xtask build-ebpf` first");
    }
}
