//! Puts the programs into the kernel and keeps them there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow};
use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use aya::programs::{Iter, RawTracePoint};
use aya::{Btf as AyaBtf, Ebpf, EbpfLoader, Endianness, VerifierLogLevel};
use npd_ebpf::{layout::GLOBAL, map};
use tracing::debug;
use zerocopy::IntoBytes as _;

use super::btf::{Btf, with_function};
use super::layout;
use super::memory::spare;
use super::probe::{Attached, Program};

/// The iterator over tasks in the eBPF object.
const SLEEPERS: &str = "sleepers";

/// The kernel's function behind it.
const ITERATOR: &str = "bpf_iter_task";

/// The only program that needs a layout that may come later than the others.
const XFS: &str = "xfs_force_shutdown";

/// The programs in the kernel. Dropping it takes them out.
pub(super) struct Kernel {
    ebpf: Ebpf,
    sys: PathBuf,
    drops: PerCpuArray<MapData, u64>,
    programs: Vec<&'static Program>,
    /// Whether there is an iterator over tasks (5.8), and why not.
    pub(super) iterator: Result<(), String>,
    /// What is attached, and why the rest is not.
    pub(super) attached: Attached,
}

/// The programs, for whoever needs them. They are never held across an await.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Kernel>>);

impl Shared {
    pub(super) fn new(kernel: Kernel) -> Self {
        Self(Arc::new(Mutex::new(kernel)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Kernel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a walk over all tasks; reading the file runs the iterator.
    pub(super) fn walk(&self) -> anyhow::Result<File> {
        self.lock().walk()
    }
}

impl Kernel {
    /// Loads the programs of `object` and hands out the ring buffer that they write to.
    ///
    /// Takes about 0.1 s of a processor, most of it for the kernel's BTF.
    pub(super) fn load(
        object: &[u8],
        sys: &Path,
        programs: Vec<&'static Program>,
    ) -> anyhow::Result<(Self, RingBuf<MapData>)> {
        let (layout, iterator) = {
            let btf = Btf::read(&sys.join("kernel/btf/vmlinux"), None)?;
            (layout::read(&btf)?, btf.function(ITERATOR))
        };
        let mut ebpf = loader()?
            .override_global(GLOBAL, layout.as_bytes(), true)
            // A program that the verifier refuses says why without the log of every step.
            .verifier_log_level(VerifierLogLevel::DISABLE)
            .load(object)
            .context("creating the eBPF maps")?;
        let mut take = |name| ebpf.take_map(name).ok_or_else(|| anyhow!("no map {name}"));
        let records = RingBuf::try_from(take(map::RECORDS)?)?;
        let drops = PerCpuArray::try_from(take(map::DROPS)?)?;
        let mut kernel = Self {
            ebpf,
            sys: sys.to_path_buf(),
            drops,
            programs,
            iterator: Ok(()),
            attached: Attached::new(),
        };
        for program in kernel.programs.clone() {
            if let Err(error) = kernel.load_program(program.name) {
                let reason = format!("{error:#}");
                kernel.attached.insert(program.name, Err(reason));
            }
        }
        // Those that the kernel has refused will be refused again.
        let refused = |program: &&Program| kernel.attached.contains_key(program.name);
        kernel.programs = kernel
            .programs
            .iter()
            .copied()
            .filter(|p| !refused(p))
            .collect();
        kernel.iterator = iterator
            .map_err(anyhow::Error::from)
            .and_then(|number| spare(|| kernel.load_iterator(number))?)
            .map_err(|error| format!("{error:#}"));
        kernel.attach();
        Ok((kernel, records))
    }

    fn load_program(&mut self, name: &str) -> anyhow::Result<()> {
        self.raw_tracepoint(name)?
            .load()
            .context("loading the program")
    }

    /// Attaches what is not attached yet. True if something was.
    pub(super) fn attach(&mut self) -> bool {
        let mut changed = false;
        for program in self.programs.clone() {
            if matches!(self.attached.get(program.name), Some(Ok(()))) {
                continue;
            }
            let result = self.attach_program(program).map_err(|e| format!("{e:#}"));
            changed |= result.is_ok();
            debug!(program = program.name, ?result, "Tried to attach a program");
            self.attached.insert(program.name, result);
        }
        changed
    }

    fn attach_program(&mut self, program: &Program) -> anyhow::Result<()> {
        if program.name == XFS {
            let offset = layout::xfs_super(&self.sys)?;
            let map = self.ebpf.map_mut(map::XFS_SUPER).context("no map")?;
            Array::<_, u32>::try_from(map)?.set(0, offset, 0)?;
        }
        self.raw_tracepoint(program.name)?
            .attach(program.tracepoint)
            .with_context(|| format!("attaching to {}", program.tracepoint))?;
        Ok(())
    }

    fn raw_tracepoint(&mut self, name: &str) -> anyhow::Result<&mut RawTracePoint> {
        let program = self.ebpf.program_mut(name).context("no such program")?;
        Ok(program.try_into()?)
    }

    /// How many records of a kind found the ring full since the programs were loaded.
    pub(super) fn dropped(&self, record: u32) -> u64 {
        self.drops
            .get(&record, 0)
            .map(|counts| counts.iter().sum())
            .unwrap_or_default()
    }

    fn load_iterator(&mut self, number: u32) -> anyhow::Result<()> {
        let btf = AyaBtf::parse(&with_function(ITERATOR, number), Endianness::default())?;
        self.tasks()?
            .load("task", &btf)
            .context("loading the iterator")
    }

    /// Starts a walk over all tasks; reading the file runs the iterator.
    pub(super) fn walk(&mut self) -> anyhow::Result<File> {
        let iterator = self.tasks()?;
        let id = iterator.attach().context("attaching the iterator")?;
        let link = iterator.take_link(id)?;
        link.into_file().context("starting the iterator")
    }

    fn tasks(&mut self) -> anyhow::Result<&mut Iter> {
        let program = self.ebpf.program_mut(SLEEPERS).context("no such program")?;
        Ok(program.try_into()?)
    }
}

/// aya's loader. It begins by reading all the kernel's types, which nothing here needs.
fn loader() -> anyhow::Result<EbpfLoader<'static>> {
    spare(|| {
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        loader
    })
}
