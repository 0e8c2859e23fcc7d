//! Makes the eBPF object of the programs. On the host this is an empty program, so that
//! `cargo check --workspace` works without a BPF toolchain.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

/// The programs are in the library: this has them linked.
#[cfg(target_arch = "bpf")]
use npd_ebpf as _;

/// The verifier refuses programs that can panic: this is only there to satisfy the compiler.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel offers most tracing helpers only to programs under a licence compatible with its own.
#[cfg(target_arch = "bpf")]
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 4] = *b"GPL\0";
