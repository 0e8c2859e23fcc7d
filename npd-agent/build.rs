//! Tells the agent's source where the eBPF object is that it embeds: `env!("NPD_EBPF_OBJECT")`. It is
//! under version control, unless the environment names another.
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=NPD_EBPF_OBJECT");
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let prebuilt = || Path::new(&package).join("../npd-ebpf/prebuilt/npd-ebpf");
    let object = std::env::var_os("NPD_EBPF_OBJECT").map_or_else(prebuilt, PathBuf::from);
    println!("cargo::rerun-if-changed={}", object.display());
    match object.canonicalize() {
        Ok(object) => println!("cargo::rustc-env=NPD_EBPF_OBJECT={}", object.display()),
        Err(error) => println!("cargo::error=No eBPF object {}: {error}", object.display()),
    }
}
