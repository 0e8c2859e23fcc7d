//! How a probe describes its programs in the kernel: where each is attached, and which layouts it
//! needs.

use std::collections::BTreeMap;

use npd_ebpf::Layout;

use super::btf::{Btf, BtfError};

/// A kernel program at a tracepoint.
#[derive(Debug)]
pub struct KernelProgram {
    /// Its name in the eBPF object.
    pub name: &'static str,
    /// The tracepoint that it is attached to.
    pub tracepoint: &'static str,
    /// The kind of the records that it sends, less than [`npd_ebpf::MAX_RECORD_KINDS`].
    pub record: u32,
    /// The layouts that it needs. If the kernel lacks one of them, the program is not loaded.
    pub needs: &'static [ProgramLayout],
    /// The layouts that it can use. If the kernel lacks one of them, its records have less information.
    pub uses: &'static [ProgramLayout],
    /// The program that it replaces: it is attached only if that one cannot be attached.
    pub instead_of: Option<&'static str>,
    /// The layouts that become known when a kernel module is loaded, perhaps after the program was loaded.
    pub module: Option<ModuleOffset>,
}

/// A kernel program that walks over all tasks, and writes something about some of them.
#[derive(Debug)]
pub struct TaskIterator {
    /// Its name in the eBPF object.
    pub name: &'static str,
    /// The layouts that it needs.
    pub needs: &'static [ProgramLayout],
}

/// Where the kernel keeps what programs read.
#[derive(Debug)]
pub struct ProgramLayout {
    /// The global of the eBPF object that holds it; [`Layout::GLOBAL`].
    pub global: &'static str,
    /// Its bytes, from the kernel's BTF.
    pub(super) read: fn(&Btf<'_>) -> Result<Vec<u8>, BtfError>,
}

/// An offset in a struct of a module, which has a BTF of its own.
#[derive(Debug)]
pub struct ModuleOffset {
    /// The module's name.
    pub module: &'static str,
    /// The map of the eBPF object that holds the offset, an array of one.
    pub map: &'static str,
    /// The offset, from the BTF of the module, or of the kernel if the module is built in.
    pub(super) read: fn(&Btf<'_>) -> Result<u32, BtfError>,
}

/// Which programs are attached, by name, and why the others are not.
pub type Attached = BTreeMap<&'static str, Result<(), String>>;

/// The bytes of a layout; for [`ProgramLayout::read`].
pub fn bytes(layout: &impl Layout) -> Vec<u8> {
    layout.as_bytes().to_vec()
}
