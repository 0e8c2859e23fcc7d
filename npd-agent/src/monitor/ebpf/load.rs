//! Puts the programs into the kernel and keeps them there.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow, ensure};
use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use aya::programs::{Iter, RawTracePoint};
use aya::{Btf as AyaBtf, Ebpf, EbpfLoader, Endianness};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use npd_ebpf::{layout::GLOBAL, map};
use tracing::debug;
use zerocopy::IntoBytes as _;

use super::btf::{Btf, with_function};
use super::layout;
use super::memory::spare;
use super::probe::{Attached, KernelProgram};

/// The iterator over tasks in the eBPF object.
const SLEEPERS: &str = "sleepers";

/// The kernel's function behind it.
const ITERATOR: &str = "bpf_iter_task";

/// The only program that needs a layout that may come later than the others.
const XFS: &str = "xfs_force_shutdown";

/// The BTF of the kernel proper and of XFS, under `/sys`.
const KERNEL: &str = "kernel/btf/vmlinux";
const XFS_MODULE: &str = "kernel/btf/xfs";

/// How much is told of what the verifier says, in bytes.
const MAX_REASON: usize = 512;

/// The programs in the kernel. Dropping it takes them out.
pub(super) struct Programs {
    ebpf: Ebpf,
    sys: PathBuf,
    /// What the programs log, until someone reads it.
    #[cfg(feature = "ebpf-log")]
    pub(super) log: Option<super::program_log::ProgramLog>,
    drops: PerCpuArray<MapData, u64>,
    /// The offset of `xfs_mount.m_super`, once it is known.
    xfs: Option<u32>,
    /// Those that the kernel has accepted.
    programs: Vec<&'static KernelProgram>,
    /// Whether there is an iterator over tasks (5.8), and why not.
    pub(super) iterator: Result<(), String>,
    /// What is attached, and why the rest is not.
    pub(super) attached: Attached,
}

/// The programs, for whoever needs them. They are never held across an await.
#[derive(Clone)]
pub struct ProgramsHandle(Arc<Mutex<Programs>>);

impl ProgramsHandle {
    pub(super) fn new(kernel: Programs) -> Self {
        Self(Arc::new(Mutex::new(kernel)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Programs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a walk over all tasks; reading the file runs the iterator.
    pub(super) fn walk(&self) -> anyhow::Result<File> {
        self.lock().walk()
    }
}

impl Programs {
    /// Loads the programs of `object` and hands out the ring buffer that they write to.
    ///
    /// Takes about 0.1 s of a processor, most of it for the kernel's BTF.
    pub(super) fn load(
        object: &[u8],
        sys: &Path,
        programs: Vec<&'static KernelProgram>,
    ) -> anyhow::Result<(Self, RingBuf<MapData>)> {
        lock_memory();
        let (layout, iterator, xfs) = {
            let btf = Btf::read(&sys.join(KERNEL), None)?;
            let xfs = layout::xfs_super(&btf);
            (layout::read(&btf)?, btf.function(ITERATOR), xfs.ok())
        };
        let mut ebpf = loader()?
            .override_global(GLOBAL, layout.as_bytes(), true)
            .load(object)
            .context("creating the eBPF maps")?;
        #[cfg(feature = "ebpf-log")]
        let log = super::program_log::ProgramLog::new(&mut ebpf)?;
        let mut take = |name| ebpf.take_map(name).ok_or_else(|| anyhow!("no map {name}"));
        let records = RingBuf::try_from(take(map::RECORDS)?)?;
        let drops = PerCpuArray::try_from(take(map::DROPS)?)?;
        let mut kernel = Self {
            ebpf,
            sys: sys.to_path_buf(),
            #[cfg(feature = "ebpf-log")]
            log: Some(log),
            drops,
            xfs,
            programs: Vec::new(),
            iterator: Ok(()),
            attached: Attached::new(),
        };
        for program in programs {
            match kernel.load_program(program.name) {
                Ok(()) => kernel.programs.push(program),
                // The kernel would refuse it again.
                Err(error) => drop(kernel.attached.insert(program.name, Err(why(&error)))),
            }
        }
        kernel.iterator = iterator
            .map_err(anyhow::Error::from)
            .and_then(|number| spare(|| kernel.load_iterator(number))?)
            .map_err(|error| why(&error));
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
            let result = self.attach_program(program).map_err(|e| why(&e));
            changed |= result.is_ok();
            debug!(program = program.name, ?result, "Tried to attach a program");
            self.attached.insert(program.name, result);
        }
        changed
    }

    fn attach_program(&mut self, program: &KernelProgram) -> anyhow::Result<()> {
        if program.name == XFS {
            let offset = self.xfs_super()?;
            let map = self.ebpf.map_mut(map::XFS_SUPER).context("no map")?;
            Array::<_, u32>::try_from(map)?.set(0, offset, 0)?;
        }
        self.raw_tracepoint(program.name)?
            .attach(program.tracepoint)
            .with_context(|| format!("attaching to {}", program.tracepoint))?;
        Ok(())
    }

    fn xfs_super(&mut self) -> anyhow::Result<u32> {
        if let Some(offset) = self.xfs {
            return Ok(offset);
        }
        let module = self.sys.join(XFS_MODULE);
        ensure!(module.exists(), "the module xfs is not loaded");
        let kernel = Btf::read(&self.sys.join(KERNEL), None)?;
        let offset = layout::xfs_super(&Btf::read(&module, Some(&kernel))?)?;
        Ok(*self.xfs.insert(offset))
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

/// Before 5.11 maps count as locked memory, of which a process may have next to none.
fn lock_memory() {
    let raised = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    debug!(?raised, "Raised the limit of locked memory");
}

/// aya's loader. It begins by reading all the kernel's types, which nothing here needs.
fn loader() -> anyhow::Result<EbpfLoader<'static>> {
    spare(|| {
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        loader
    })
}

/// Why something failed, in a few words: aya's errors repeat their causes, and may hold all that the
/// verifier says, whose end tells most.
pub(super) fn why(error: &anyhow::Error) -> String {
    let mut why = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if why.contains(&cause) {
            continue;
        }
        if !why.is_empty() {
            why += ": ";
        }
        if let Some(cut) = cause.len().checked_sub(MAX_REASON) {
            why += "… ";
            why += &cause[cause.ceil_char_boundary(cut)..];
        } else {
            why += &cause;
        }
    }
    why
}
