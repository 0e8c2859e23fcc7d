//! Returns the memory that the start needs for a moment to the kernel.

use std::hint::black_box;
use std::thread;

use anyhow::anyhow;

/// Does `work`, which frees much of what it allocates, and returns that to the kernel.
///
/// glibc would not return it. A heap shrinks only at its end, and only if a large part of the end is
/// free. The small blocks that a thread caches for reuse count as used.
///
/// So the work gets a separate thread, which has a separate heap. When the thread ends, its cached
/// blocks are freed. A second thread then gets the same heap, and shrinks it. But the few blocks of the
/// second thread may be in the middle of the heap, and everything below them stays. So a third thread
/// follows, which finds free space at the beginning. With another allocator, the two threads do nothing.
pub(super) fn spare<T: Send>(work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    let done = in_thread(work)?;
    in_thread(free_much)?;
    in_thread(free_much)?;
    Ok(done)
}

/// Returns the free end of this thread's heap to the kernel.
///
/// glibc does so by itself only when the free end is twice as large as the largest block that was ever
/// freed, and [`spare`] frees large ones. Reading the config files leaves a third of a mebibyte.
pub(super) fn return_free() {
    free_much();
}

fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work)?;
        thread.join().map_err(|_panic| anyhow!("a thread panicked"))
    })
}

/// Makes the free end of the heap long enough to be returned. The blocks are never touched, so they cost
/// nothing, and they are small enough to be part of the heap.
fn free_much() {
    const BLOCK: usize = 4 << 20;
    let blocks: [Vec<u8>; 8] = std::array::from_fn(|_| Vec::with_capacity(BLOCK));
    drop(black_box(blocks));
    // When a thread ends, the largest block in its cache is freed last. Much free space is then beside
    // it, so glibc joins all free blocks.
    let cached = Vec::<u8>::with_capacity(1000);
    drop(black_box(cached));
}
