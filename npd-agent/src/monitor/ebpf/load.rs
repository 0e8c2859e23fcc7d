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

use super::btf::Btf;
use super::layout;
use super::probe::{Attached, Program};

/// The iterator over tasks in the eBPF object.
const SLEEPERS: &str = "sleepers";

/// The only program that needs a layout that may come later than the others.
const XFS: &str = "xfs_force_shutdown";

/// The programs in the kernel. Dropping it takes them out.
pub(super) struct Kernel {
    ebpf: Ebpf,
    sys: PathBuf,
    drops: PerCpuArray<MapData, u64>,
    programs: Vec<&'static Program>,
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

    /// Loads the iterator over tasks (5.8).
    pub(super) fn load_iterator(&self) -> anyhow::Result<()> {
        self.lock().load_iterator()
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
        let layout = {
            let btf = Btf::read(&sys.join("kernel/btf/vmlinux"), None)?;
            layout::read(&btf)?
        };
        let mut ebpf = EbpfLoader::new()
            .btf(None)
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

    /// Loads the iterator over tasks (5.8).
    pub(super) fn load_iterator(&mut self) -> anyhow::Result<()> {
        let path = self.sys.join("kernel/btf/vmlinux");
        let btf = AyaBtf::parse_file(path, Endianness::default())?;
        self.iterator()?
            .load("task", &btf)
            .context("loading the iterator")
    }

    /// Starts a walk over all tasks; reading the file runs the iterator.
    pub(super) fn walk(&mut self) -> anyhow::Result<File> {
        let iterator = self.iterator()?;
        let id = iterator.attach().context("attaching the iterator")?;
        let link = iterator.take_link(id)?;
        link.into_file().context("starting the iterator")
    }

    fn iterator(&mut self) -> anyhow::Result<&mut Iter> {
        let program = self.ebpf.program_mut(SLEEPERS).context("no such program")?;
        Ok(program.try_into()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use zerocopy::FromBytes as _;

    fn rss(what: &str) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let of = |key: &str| {
            status
                .lines()
                .find(|l| l.starts_with(key))
                .unwrap()
                .to_owned()
        };
        println!("{what}: {} {} {}", of("VmHWM"), of("VmRSS"), of("RssAnon"));
    }

    #[test]
    fn scratch_load() {
        rss("start");
        let object = aya::include_bytes_aligned!(env!("NPD_EBPF_OBJECT"));
        static P: [Program; 5] = [
            Program {
                name: "oom",
                tracepoint: "mark_victim",
                record: 0,
            },
            Program {
                name: "hung_task",
                tracepoint: "sched_process_hang",
                record: 1,
            },
            Program {
                name: "ext4_error",
                tracepoint: "ext4_error",
                record: 2,
            },
            Program {
                name: "ext4_shutdown",
                tracepoint: "ext4_shutdown",
                record: 3,
            },
            Program {
                name: "xfs_force_shutdown",
                tracepoint: "xfs_force_shutdown",
                record: 4,
            },
        ];
        let t = std::time::Instant::now();
        let (mut kernel, _ring) =
            Kernel::load(object, "/sys".as_ref(), P.iter().collect()).unwrap();
        println!("loaded {:?} {:?}", t.elapsed(), kernel.attached);
        rss("loaded");
        let big: Vec<Vec<u8>> = (0..8).map(|_| Vec::with_capacity(4 << 20)).collect();
        std::hint::black_box(&big);
        drop(big);
        rss("trimmed");
        println!("{:?}", kernel.load_iterator());
        println!("iterator {:?}", t.elapsed());
        rss("iterator");
        let big: Vec<Vec<u8>> = (0..8).map(|_| Vec::with_capacity(4 << 20)).collect();
        std::hint::black_box(&big);
        drop(big);
        rss("trimmed");
        for _ in 0..5 {
            let t = std::time::Instant::now();
            let mut bytes = Vec::new();
            kernel.walk().unwrap().read_to_end(&mut bytes).unwrap();
            println!("walk {:?} {}", t.elapsed(), bytes.len());
            for s in bytes.chunks_exact(40 + 8) {
                println!("{:?}", npd_ebpf::Sleeper::read_from_bytes(s));
            }
        }
    }
}
