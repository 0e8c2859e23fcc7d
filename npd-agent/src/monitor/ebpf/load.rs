//! Puts the programs into the kernel and keeps them there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow, ensure};
use aya::maps::{Array, MapData, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::programs::{Iter, RawTracePoint};
use aya::{Btf as AyaBtf, Ebpf, EbpfLoader, Endianness};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use npd_ebpf::map;
use tracing::debug;

use super::btf::{Btf, with_function};
use super::globals::Globals;
use super::memory::spare;
use super::program::{Attached, KernelProgram, ModuleOffset, TaskIterator};

/// The kernel's function behind iterators over tasks.
const ITERATOR: &str = "bpf_iter_task";

/// Where under `/sys` the BTF of modules is, and that of the kernel proper.
const BTF: &str = "kernel/btf";
const KERNEL: &str = "vmlinux";

/// How much of what the verifier says is shown to operators, in bytes.
const MAX_REASON: usize = 512;

/// The programs in the kernel. Dropping it takes them out.
pub(super) struct Programs {
    ebpf: Ebpf,
    sys: PathBuf,
    globals: Globals,
    /// What the programs log, until someone reads it.
    #[cfg(feature = "ebpf-log")]
    pub(super) log: Option<super::program_log::ProgramLog>,
    drops: PerCpuArray<MapData, u64>,
    /// The offsets in modules that are known, by the modules' names.
    offsets: BTreeMap<&'static str, u32>,
    /// The programs that the kernel has not refused.
    programs: Vec<&'static KernelProgram>,
    /// The programs that the kernel has accepted.
    loaded: BTreeSet<&'static str>,
    /// The iterators over tasks (5.8), by name, and why they cannot be used.
    iterators: BTreeMap<&'static str, Result<(), String>>,
    /// What is attached, and why the rest is not.
    pub(super) attached: Attached,
}

/// Access to the programs, for several tasks. The lock is never held across an await.
#[derive(Clone)]
pub(super) struct ProgramsHandle(Arc<Mutex<Programs>>);

/// A walk over all tasks, which can be started again and again.
#[derive(Clone)]
pub struct TaskWalk {
    programs: ProgramsHandle,
    iterator: &'static str,
}

impl ProgramsHandle {
    pub(super) fn new(kernel: Programs) -> Self {
        Self(Arc::new(Mutex::new(kernel)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Programs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The walk of an iterator, or why there is none.
    pub(super) fn walk(&self, iterator: &TaskIterator) -> Result<TaskWalk, String> {
        match self.lock().iterators.get(iterator.name) {
            Some(Ok(())) => Ok(TaskWalk {
                programs: self.clone(),
                iterator: iterator.name,
            }),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err("it was not asked for".to_owned()),
        }
    }
}

impl TaskWalk {
    /// Starts a walk; reading the file runs the iterator.
    pub(super) fn start(&self) -> anyhow::Result<File> {
        self.programs.lock().start_walk(self.iterator)
    }
}

impl Programs {
    /// Loads the programs of `object` for these probes, and hands out the ring buffer that they
    /// write to.
    ///
    /// Takes about 0.1 s of a processor, most of it for the kernel's BTF.
    pub(super) fn load(
        object: &[u8],
        sys: &Path,
        programs: Vec<&'static KernelProgram>,
        iterators: &[&'static TaskIterator],
    ) -> anyhow::Result<(Self, RingBuf<MapData>)> {
        lock_memory();
        let (globals, function, offsets) = {
            let btf = Btf::read(&sys.join(BTF).join(KERNEL), None)?;
            let of_programs = programs.iter().flat_map(|p| p.needs.iter().chain(p.uses));
            let of_iterators = iterators.iter().flat_map(|iterator| iterator.needs);
            let modules = programs.iter().filter_map(|p| p.module.as_ref());
            // One that is built in.
            let built_in = modules.filter_map(|of| Some((of.module, (of.read)(&btf).ok()?)));
            (
                Globals::read(&btf, of_programs.chain(of_iterators)),
                btf.function(ITERATOR),
                built_in.collect(),
            )
        };
        let mut loader = loader()?;
        globals.set(&mut loader);
        let mut ebpf = loader.load(object).context("creating the eBPF maps")?;
        drop(loader);
        #[cfg(feature = "ebpf-log")]
        let log = super::program_log::ProgramLog::new(&mut ebpf)?;
        let mut take = |name| ebpf.take_map(name).ok_or_else(|| anyhow!("no map {name}"));
        let records = RingBuf::try_from(take(map::RECORDS)?)?;
        let drops = PerCpuArray::try_from(take(map::DROPS)?)?;
        let mut kernel = Self {
            ebpf,
            sys: sys.to_path_buf(),
            globals,
            #[cfg(feature = "ebpf-log")]
            log: Some(log),
            drops,
            offsets,
            programs,
            loaded: BTreeSet::new(),
            iterators: BTreeMap::new(),
            attached: Attached::new(),
        };
        let function = function.map_err(|error| error.to_string());
        for iterator in iterators {
            let result = function
                .clone()
                .and_then(|number| kernel.load_iterator(iterator, number));
            kernel.iterators.insert(iterator.name, result);
        }
        kernel.attach();
        Ok((kernel, records))
    }

    /// Attaches what is not attached yet. True if something was.
    pub(super) fn attach(&mut self) -> bool {
        let mut changed = false;
        for program in self.programs.clone() {
            if self.is_attached(program.name) || self.is_stood_in_for(program) {
                continue;
            }
            if let Err(error) = self.load_program(program) {
                // The kernel would refuse it again.
                self.programs.retain(|known| known.name != program.name);
                self.attached
                    .insert(program.name, Err(refused(program.name, &error)));
                continue;
            }
            let result = self.attach_program(program).map_err(|e| why(&e));
            changed |= result.is_ok();
            debug!(program = program.name, ?result, "Tried to attach a program");
            if let (Ok(()), Some(first)) = (&result, program.instead_of) {
                // Nothing is missing.
                self.attached.remove(first);
            }
            self.attached.insert(program.name, result);
        }
        changed
    }

    fn is_attached(&self, name: &str) -> bool {
        matches!(self.attached.get(name), Some(Ok(())))
    }

    /// Whether another program is attached that reports the same.
    fn is_stood_in_for(&self, program: &KernelProgram) -> bool {
        let first = program.instead_of;
        let mut others = self
            .programs
            .iter()
            .filter(|other| first == Some(other.name) || other.instead_of == Some(program.name));
        others.any(|other| self.is_attached(other.name))
    }

    fn load_program(&mut self, program: &KernelProgram) -> anyhow::Result<()> {
        if self.loaded.contains(program.name) {
            return Ok(());
        }
        self.globals.check(program.needs)?;
        self.raw_tracepoint(program.name)?
            .load()
            .context("loading the program")?;
        self.loaded.insert(program.name);
        Ok(())
    }

    fn attach_program(&mut self, program: &KernelProgram) -> anyhow::Result<()> {
        if let Some(module) = &program.module {
            let offset = self.offset(module)?;
            let map = self.ebpf.map_mut(module.map).context("no map")?;
            Array::<_, u32>::try_from(map)?.set(0, offset, 0)?;
        }
        self.raw_tracepoint(program.name)?
            .attach(program.tracepoint)
            .with_context(|| format!("attaching to {}", program.tracepoint))?;
        Ok(())
    }

    fn offset(&mut self, of: &ModuleOffset) -> anyhow::Result<u32> {
        if let Some(offset) = self.offsets.get(of.module) {
            return Ok(*offset);
        }
        let folder = self.sys.join(BTF);
        let module = folder.join(of.module);
        ensure!(module.exists(), "the module {} is not loaded", of.module);
        let kernel = Btf::read(&folder.join(KERNEL), None)?;
        let offset = (of.read)(&Btf::read(&module, Some(&kernel))?)?;
        self.offsets.insert(of.module, offset);
        Ok(offset)
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

    /// What programs have counted in `map` since they were loaded, on all processors together.
    pub(super) fn counts(&self, map: &str) -> anyhow::Result<BTreeMap<u64, u64>> {
        let map = self.ebpf.map(map).context("no map")?;
        let map = PerCpuHashMap::<_, u64, [u64; 2]>::try_from(map)?;
        let mut counts = BTreeMap::new();
        for entry in &map {
            let (key, values) = entry?;
            counts.insert(key, values.iter().map(|[count, _]| count).sum());
        }
        Ok(counts)
    }

    /// Removes what programs have counted in `map` under `key`.
    pub(super) fn forget_count(&mut self, map: &str, key: u64) -> anyhow::Result<()> {
        let map = self.ebpf.map_mut(map).context("no map")?;
        let mut map = PerCpuHashMap::<_, u64, [u64; 2]>::try_from(map)?;
        Ok(map.remove(&key)?)
    }

    /// Loads an iterator behind the kernel's function of this number.
    fn load_iterator(&mut self, iterator: &TaskIterator, number: u32) -> Result<(), String> {
        let loaded = self.globals.check(iterator.needs).and_then(|()| {
            let program = self.iterator(iterator.name)?;
            spare(|| {
                let btf = AyaBtf::parse(&with_function(ITERATOR, number), Endianness::default())?;
                program.load("task", &btf).context("loading the iterator")
            })?
        });
        loaded.map_err(|error| refused(iterator.name, &error))
    }

    fn start_walk(&mut self, name: &str) -> anyhow::Result<File> {
        let iterator = self.iterator(name)?;
        let id = iterator.attach().context("attaching the iterator")?;
        let link = iterator.take_link(id)?;
        link.into_file().context("starting the iterator")
    }

    fn iterator(&mut self, name: &str) -> anyhow::Result<&mut Iter> {
        let program = self.ebpf.program_mut(name).context("no such program")?;
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

/// Why the kernel refused a program, in a few words. The rest is the whole output of the verifier, for
/// those who debug the program. Each line of it is logged as a line.
fn refused(program: &str, error: &anyhow::Error) -> String {
    for line in format!("{error:#}").lines() {
        debug!(program, line, "Kernel refused a program");
    }
    why(error)
}

/// Why something failed, in a few words. aya's errors repeat their causes, and may contain the whole
/// output of the verifier. The end of it is the most useful part.
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
