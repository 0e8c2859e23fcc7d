//! What every program needs: reading the kernel's memory, and sending records to the agent.

use aya_ebpf::helpers::bpf_probe_read_kernel;
use aya_ebpf::helpers::generated::{bpf_ktime_get_ns, bpf_probe_read_kernel_str};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{PerCpuArray, PerCpuHashMap, RingBuf};

use crate::{Header, MAX_RECORD_KINDS, RING_BYTES};

/// Logs through aya-log, to debug programs. Without the feature, it compiles to nothing.
macro_rules! debug {
    ($($arguments:tt)*) => {
        #[cfg(feature = "ebpf-log")]
        aya_log_ebpf::debug!($($arguments)*);
    };
}

/// Reads a field of a global [`Layout`](crate::Layout), which the agent fills in before the
/// programs are loaded. The verifier sees constants, and removes the code that they make unreachable.
macro_rules! layout {
    ($global:ident.$field:ident) => {
        $crate::programs::kernel::load(&$global.$field)
    };
}

#[map]
static RECORDS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

/// Each processor has its own counts, because the compiler has no atomic addition for this target.
#[map]
static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(MAX_RECORD_KINDS, 0);

/// Reads the value that the agent has written. The compiler only knows the initial value.
#[inline(always)]
pub(super) fn load(field: &'static u32) -> u32 {
    // SAFETY: a reference is valid for reads.
    unsafe { core::ptr::read_volatile(field) }
}

/// An address in the kernel's memory.
#[derive(Clone, Copy)]
pub(super) struct Kernel(pub(super) u64);

impl Kernel {
    /// Reads a plain value at `offset`; the default if the memory is not mapped.
    #[inline(always)]
    pub(super) fn read<T: Default>(self, offset: u32) -> T {
        // SAFETY: the helper checks the address and fails on one that cannot be read.
        unsafe { bpf_probe_read_kernel(self.at(offset).0 as *const T) }.unwrap_or_default()
    }

    /// Follows the pointer at `offset`; null if there is none.
    #[inline(always)]
    pub(super) fn follow(self, offset: u32) -> Self {
        Self(self.read(offset))
    }

    /// Copies the text at this address, which ends with a zero. If it cannot be read, the copy is empty.
    #[inline(always)]
    pub(super) fn text<const N: usize>(self) -> [u8; N] {
        let mut to = [0; N];
        // SAFETY: the helper writes at most N bytes, and checks the address that it reads.
        unsafe { bpf_probe_read_kernel_str(to.as_mut_ptr().cast(), N as u32, self.0 as *const _) };
        to
    }

    #[inline(always)]
    pub(super) fn at(self, offset: u32) -> Self {
        Self(self.0.wrapping_add(u64::from(offset)))
    }

    #[inline(always)]
    pub(super) fn is_null(self) -> bool {
        self.0 == 0
    }
}

/// Counts a record that could not be sent.
#[inline(always)]
fn count_drop(id: u32) {
    if let Some(drops) = DROPS.get_ptr_mut(id) {
        // SAFETY: a value of the map is valid, and no other program runs on this processor.
        unsafe { *drops += 1 };
    }
}

/// How many kinds of failures are counted separately at a time. The agent removes those that are over.
pub(super) const COUNTED_KINDS: u32 = 64;

/// How long a processor only counts after it has sent a record, in nanoseconds.
const PAUSE: u64 = 100_000_000;

/// Counts a failure of the kind `key`, and returns whether it is time for a record with this id. A dead
/// disk fails a hundred thousand requests per second. So each processor sends at most one record per
/// tenth of a second for each kind of failure, and counts all failures. A value of the map is the count,
/// and the time of the last record.
#[inline(always)]
pub(super) fn count(counts: &PerCpuHashMap<u64, [u64; 2]>, id: u32, key: u64) -> bool {
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() };
    if let Some(counted) = counts.get_ptr_mut(key) {
        // SAFETY: a value of the map is valid, and no other program runs on this processor.
        let [count, sent] = unsafe { &mut *counted };
        *count += 1;
        if now - *sent < PAUSE {
            return false;
        }
        *sent = now;
    } else if counts.insert(key, [1, now], 0).is_err() {
        // As if the ring were full.
        count_drop(id);
        return false;
    }
    true
}

/// Sends a record that begins with a [`Header`]. If the ring buffer is full, counts it instead.
///
/// # Safety
///
/// `T` must begin with a [`Header`], and `fill` must write every other field of it.
#[inline(always)]
pub(super) unsafe fn send<T: 'static>(id: u32, fill: impl FnOnce(*mut T)) {
    let Some(mut entry) = RECORDS.reserve::<T>(0) else {
        count_drop(id);
        return;
    };
    let record = entry.as_mut_ptr();
    let header = Header {
        id,
        reserved: 0,
        // SAFETY: the helper has no preconditions.
        time: unsafe { bpf_ktime_get_ns() },
    };
    // SAFETY: the reservation is aligned to 8 bytes and large enough for a T, which begins with a header.
    unsafe { record.cast::<Header>().write(header) };
    fill(record);
    entry.submit(0);
}
