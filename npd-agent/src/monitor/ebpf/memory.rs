//! Keeps what start-up takes for a moment from staying with the agent for ever.

use std::hint::black_box;
use std::thread;

use anyhow::anyhow;

/// Does `work`, which frees much of what it allocates, and returns that to the kernel.
///
/// glibc would keep it: a heap shrinks only from its end, only when a good deal of the end is free,
/// and the small blocks that a thread keeps for reuse count as used. So the work gets a thread, and
/// thereby a heap, of its own; what the thread has kept is freed when it ends; and the next thread
/// inherits the heap and shrinks it. That one's own few blocks lie where there was room, and what
/// is below them stays; so another one follows, which finds room at the beginning. With another
/// allocator this does nothing.
pub(super) fn spare<T: Send>(work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    let done = in_thread(work)?;
    in_thread(free_much)?;
    in_thread(free_much)?;
    Ok(done)
}

fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, work)?;
        thread.join().map_err(|_panic| anyhow!("a thread panicked"))
    })
}

/// Makes the free end of the heap long enough to be returned. Blocks that are never touched cost
/// nothing, and these are small enough to be part of the heap.
fn free_much() {
    const BLOCK: usize = 4 << 20;
    let blocks: [Vec<u8>; 8] = std::array::from_fn(|_| Vec::with_capacity(BLOCK));
    drop(black_box(blocks));
    // The largest of the blocks that a thread keeps is freed last when it ends; as it then adjoins
    // much that is free, all free blocks are joined.
    let kept = Vec::<u8>::with_capacity(1000);
    drop(black_box(kept));
}
