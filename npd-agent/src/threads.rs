//! Threads for work that may wait for a disk or for the kernel.
//!
//! The runtime has one thread, which must never wait. Code that must wait gets a thread from a pool.
//!
//! Written here because tokio's pool panics when it has no thread and the kernel makes none, and
//! because all share it: work that hangs on a dead disk takes threads from everybody. Here each kind of
//! work has its own pool, and a pool keeps a thread for the time when no more can be made.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::warn;

/// How long a thread stays without work, unless it is the only one that is free.
const IDLE: Duration = Duration::from_secs(10);

/// Threads for one kind of work. Clones share them; they end with the last clone.
#[derive(Clone)]
pub struct ThreadPool(Arc<Owner>);

struct Owner(Arc<Pool>);

/// A pool that has a thread: see [`ThreadPool::ready`].
#[derive(Clone, Copy)]
pub struct ReadyPool<'p>(&'p Arc<Pool>);

struct Pool {
    /// The name of the threads, at most 15 bytes.
    name: &'static str,
    limit: usize,
    state: Mutex<PoolState>,
    news: Condvar,
}

#[derive(Default)]
struct PoolState {
    waiting: VecDeque<WaitingWork>,
    threads: usize,
    idle: usize,
    /// Whether the last try to make a thread failed.
    refused: bool,
    closed: bool,
}

type WaitingWork = Box<dyn FnOnce() + Send>;

/// Work on a thread of a pool. It is a future: the result, or an error if the work has panicked. If
/// this is dropped, work that has not begun is not done.
#[derive(Debug)]
pub struct ThreadTask<T>(oneshot::Receiver<T>);

impl ThreadPool {
    /// A pool of at most `limit` threads with this name. It makes them when they are needed.
    pub fn new(name: &'static str, limit: usize) -> Self {
        Self(Arc::new(Owner(Arc::new(Pool {
            name,
            limit: limit.max(1),
            state: Mutex::default(),
            news: Condvar::new(),
        }))))
    }

    /// The pool, with at least one thread. It keeps that one.
    ///
    /// # Errors
    ///
    /// If it has none yet and the kernel makes none.
    pub fn ready(&self) -> io::Result<ReadyPool<'_>> {
        let pool = &self.0.0;
        let mut state = pool.lock();
        if state.threads == 0 {
            pool.grow(&mut state)?;
        }
        Ok(ReadyPool(pool))
    }
}

impl ReadyPool<'_> {
    /// Does `work` on a thread. If all are busy and no more can be made, it waits for one of them.
    ///
    /// Each caller may have only one piece of work here at a time, so what waits is bounded.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> ThreadTask<T> {
        let Self(pool) = self;
        let (answer, task) = oneshot::channel();
        #[cfg(test)]
        let until_done = tests::stop_clock();
        let mut state = pool.lock();
        state.waiting.push_back(Box::new(move || {
            #[cfg(test)]
            let _until_done = until_done;
            // Nobody may wait for it any more.
            if !answer.is_closed() {
                drop(answer.send(work()));
            }
        }));
        if state.waiting.len() > state.idle
            && state.threads < pool.limit
            && let Err(error) = pool.grow(&mut state)
        {
            pool.refused(&mut state, &error);
        }
        drop(state);
        pool.news.notify_one();
        ThreadTask(task)
    }
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one more thread.
    fn grow(self: &Arc<Self>, state: &mut PoolState) -> io::Result<()> {
        let pool = Arc::clone(self);
        let made = thread::Builder::new()
            .name(self.name.to_owned())
            .spawn(move || pool.serve());
        made?;
        state.threads += 1;
        state.refused = false;
        Ok(())
    }

    /// Logs that there are too few threads, until there is another one.
    fn refused(&self, state: &mut PoolState, error: &io::Error) {
        if !std::mem::replace(&mut state.refused, true) {
            let pool = self.name;
            warn!(pool, %error, "The kernel cannot start a thread; the work waits for the existing threads");
        }
    }

    /// What a thread does.
    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                drop(state);
                // Whoever waits for it sees that it has panicked.
                drop(catch_unwind(AssertUnwindSafe(work)));
                state = self.lock();
                continue;
            }
            if state.closed {
                break;
            }
            let is_only_one = state.idle == 0;
            state.idle += 1;
            let timed_out;
            (state, timed_out) = self.wait(state, is_only_one);
            state.idle -= 1;
            if timed_out && state.idle > 0 && state.waiting.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    /// Waits for work, and returns whether it was in vain.
    fn wait<'s>(
        &self,
        state: MutexGuard<'s, PoolState>,
        for_ever: bool,
    ) -> (MutexGuard<'s, PoolState>, bool) {
        if for_ever {
            let woken = self.news.wait(state);
            return (woken.unwrap_or_else(PoisonError::into_inner), false);
        }
        let woken = self.news.wait_timeout(state, IDLE);
        let (state, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
        (state, timeout.timed_out())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.news.notify_all();
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThreadPool").field(&self.0.0.name).finish()
    }
}

impl<T> ThreadTask<T> {
    /// The result if there is one by now.
    pub fn try_take(&mut self) -> Option<io::Result<T>> {
        match self.0.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => None,
            result => Some(result.map_err(|_closed| panicked())),
        }
    }
}

impl<T> Future for ThreadTask<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = Pin::new(&mut self.0).poll(context);
        result.map(|result| result.map_err(|_closed| panicked()))
    }
}

fn panicked() -> io::Error {
    io::Error::other("the thread that did it has panicked")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// If a test has paused tokio's clock, stops the clock until the result is dropped. Otherwise it
    /// would run ahead while only other threads work.
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock waits for what tokio knows of"
    )]
    pub(super) fn stop_clock() -> Sender<()> {
        let (until, dropped) = channel();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn_blocking(move || dropped.recv()));
        }
        until
    }

    /// Work that lasts until something is sent to it, which it returns.
    fn gated(pool: &ThreadPool) -> (Sender<u8>, ThreadTask<u8>) {
        let (open, gate): (_, Receiver<u8>) = channel();
        (
            open,
            pool.ready().unwrap().run(move || gate.recv().unwrap()),
        )
    }

    #[tokio::test]
    async fn work_that_hangs_leaves_the_other_threads_to_others() {
        let pool = ThreadPool::new("test", 3);
        let (first, hung) = gated(&pool);
        let (second, mut also_hung) = gated(&pool);
        for number in 0..10 {
            assert_eq!(
                pool.ready().unwrap().run(move || number).await.unwrap(),
                number
            );
        }
        assert!(also_hung.try_take().is_none());
        first.send(1).unwrap();
        second.send(2).unwrap();
        assert_eq!((hung.await.unwrap(), also_hung.await.unwrap()), (1, 2));
    }

    #[tokio::test]
    async fn work_waits_when_there_are_no_more_threads() {
        let pool = ThreadPool::new("test", 1);
        let (open, hung) = gated(&pool);
        let mut waiting = pool.ready().unwrap().run(|| 2);
        assert!(waiting.try_take().is_none());
        open.send(1).unwrap();
        assert_eq!((hung.await.unwrap(), waiting.await.unwrap()), (1, 2));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        let pool = ThreadPool::new("test", 1);
        let panicked = pool.ready().unwrap().run(|| panic!("on purpose")).await;
        let error = panicked.map(|(): ()| "none").unwrap_err();
        assert_eq!(error.to_string(), "the thread that did it has panicked");
        assert_eq!(pool.ready().unwrap().run(|| 1).await.unwrap(), 1);
    }

    #[test]
    fn threads_end_with_the_pool() {
        let pool = ThreadPool::new("test", 1);
        let inner = Arc::downgrade(&pool.0.0);
        drop(pool.ready().unwrap().run(|| ()));
        drop(pool);
        while inner.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
