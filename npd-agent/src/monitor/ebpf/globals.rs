//! The globals of the eBPF object. They contain the layouts that the programs need.

use std::collections::BTreeMap;

use anyhow::bail;
use aya::EbpfLoader;
use tracing::debug;

use super::btf::Btf;
use super::program::ProgramLayout;

/// The layouts of the running kernel, by the names of their globals.
#[derive(Debug, Default)]
pub(super) struct Globals {
    values: BTreeMap<&'static str, Vec<u8>>,
    /// Why this kernel has no such layout.
    missing: BTreeMap<&'static str, String>,
}

impl Globals {
    /// Reads `layouts` from the kernel's BTF. One that the kernel lacks stays all zeros.
    pub(super) fn read(
        btf: &Btf<'_>,
        layouts: impl IntoIterator<Item = &'static ProgramLayout>,
    ) -> Self {
        let mut globals = Self::default();
        for ProgramLayout { global, read } in layouts {
            if globals.values.contains_key(global) || globals.missing.contains_key(global) {
                continue;
            }
            match read(btf) {
                Ok(value) => drop(globals.values.insert(global, value)),
                Err(error) => {
                    let error = error.to_string();
                    debug!(
                        global,
                        error, "This kernel does not have everything that the programs read"
                    );
                    globals.missing.insert(global, error);
                }
            }
        }
        globals
    }

    /// Sets the values in the object.
    pub(super) fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        for (global, value) in &self.values {
            loader.override_global(global, value.as_slice(), true);
        }
    }

    /// Fails with the reason if the kernel lacks any of `needs`.
    pub(super) fn check(&self, needs: &[ProgramLayout]) -> anyhow::Result<()> {
        let missing = |layout: &ProgramLayout| self.missing.get(layout.global);
        match needs.iter().find_map(missing) {
            Some(reason) => bail!("{reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::ebpf::btf::BtfError;

    const KNOWN: ProgramLayout = ProgramLayout {
        global: "KNOWN",
        read: |_| Ok(vec![1, 2, 3, 4]),
    };
    const UNKNOWN: ProgramLayout = ProgramLayout {
        global: "UNKNOWN",
        read: |_| Err(BtfError::Missing("task_struct.soul".to_owned())),
    };

    #[test]
    fn a_missing_layout_costs_only_those_who_need_it() {
        let btf = Btf::parse(crate::monitor::ebpf::btf::with_function("f", 1), None).unwrap();
        let globals = Globals::read(&btf, &[KNOWN, UNKNOWN, KNOWN]);
        assert!(globals.check(&[KNOWN]).is_ok());
        assert!(globals.check(&[]).is_ok());
        let error = globals.check(&[KNOWN, UNKNOWN]).unwrap_err();
        assert_eq!(error.to_string(), "this kernel has no task_struct.soul");
    }
}
