//! Makes the eBPF object from the programs. On the host this is an empty program, so that
//! `cargo check --workspace` works without a BPF toolchain.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

/// The programs are in the library; this links them.
#[cfg(target_arch = "bpf")]
use npd_ebpf as _;

/// Never called, because the verifier refuses programs that can panic. The compiler requires it.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel offers most tracing helpers only to programs with a licence that is compatible with its own.
#[cfg(target_arch = "bpf")]
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 4] = *b"GPL\0";
