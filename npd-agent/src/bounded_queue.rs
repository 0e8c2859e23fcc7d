//! A queue between threads that must not wait and one thread that may.
//!
//! A channel of std's is bounded in items, and what is written to a pipe that nobody reads has to be
//! bounded in bytes. Also, whoever stops has to know what was not written.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Takes items from many threads, and gives them to one.
#[derive(Debug)]
pub struct BoundedQueue<T> {
    state: Mutex<QueueState<T>>,
    changed: Condvar,
    /// How many bytes may wait.
    most: usize,
}

#[derive(Debug)]
struct QueueState<T> {
    /// Each with its bytes.
    items: VecDeque<(usize, T)>,
    bytes: usize,
    /// How many items were taken that have bytes and are not done.
    taken: usize,
    closed: bool,
}

impl<T> BoundedQueue<T> {
    /// An empty queue in which so many bytes may wait.
    pub fn new(most: usize) -> Self {
        let state = QueueState {
            items: VecDeque::new(),
            bytes: 0,
            taken: 0,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            most,
        }
    }

    /// Adds an item of so many bytes. Whether there was room: an item without bytes always has it.
    pub fn push(&self, bytes: usize, item: T) -> bool {
        let mut state = self.lock();
        if state.closed || bytes > 0 && state.bytes + bytes > self.most {
            return false;
        }
        state.bytes += bytes;
        state.items.push_back((bytes, item));
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Waits for the next item; `None` if the queue is closed. All items taken before are done.
    pub fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        state.taken = 0;
        if state.items.is_empty() {
            self.changed.notify_all();
        }
        let mut state = self
            .changed
            .wait_while(state, |state| state.items.is_empty() && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.take()
    }

    /// Takes the next item, too, if there is one and it is as wanted.
    pub fn pop_if(&self, wanted: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut state = self.lock();
        let (_, next) = state.items.front()?;
        if wanted(next) { state.take() } else { None }
    }

    /// Whether no item waits.
    pub fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
    }

    /// Waits until every item is done, but not for longer than `patience`.
    pub fn wait_until_done(&self, patience: Duration) {
        let is_busy = |state: &QueueState<T>| state.taken > 0 || !state.items.is_empty();
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while is_busy(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            (state, _) = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets no item in or out any more. Returns how many items with bytes are not done.
    pub fn close(&self) -> usize {
        let mut state = self.lock();
        state.closed = true;
        let waiting = state.items.iter().filter(|(bytes, _)| *bytes > 0).count();
        state.items.clear();
        self.changed.notify_all();
        waiting + std::mem::take(&mut state.taken)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<T>> {
        // Nothing that holds it can panic in the middle of a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> QueueState<T> {
    fn take(&mut self) -> Option<T> {
        let (bytes, item) = self.items.pop_front()?;
        self.bytes -= bytes;
        self.taken += usize::from(bytes > 0);
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn bytes_are_bounded_and_items_without_bytes_are_not() {
        let queue = BoundedQueue::new(10);
        assert!(queue.push(6, "a") && queue.push(4, "b"));
        assert!(!queue.push(1, "c"));
        assert!(queue.push(0, "d"));
        assert_eq!(queue.pop(), Some("a"));
        assert!(queue.push(6, "e"));
        assert_eq!(queue.pop_if(|next| *next == "e"), None);
        assert_eq!(queue.pop_if(|next| *next == "b"), Some("b"));
        assert_eq!([queue.pop(), queue.pop()], [Some("d"), Some("e")]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_not_done_is_counted_at_the_end() {
        let queue = BoundedQueue::new(10);
        for (bytes, item) in [(1, "a"), (1, "b"), (0, "c"), (1, "d")] {
            queue.push(bytes, item);
        }
        assert_eq!(queue.pop(), Some("a"));
        assert_eq!(queue.pop(), Some("b"));
        assert_eq!(queue.pop_if(|_| true), Some("c"));
        queue.wait_until_done(Duration::from_millis(1));
        assert_eq!(queue.close(), 2, "b is under way, and d waits");
        assert!(!queue.push(1, "e"));
        assert_eq!(queue.pop(), None);
        assert_eq!(queue.close(), 0);
    }

    #[test]
    fn a_thread_waits_for_items_and_others_for_the_thread() {
        let queue = Arc::new(BoundedQueue::new(10));
        let taking = Arc::clone(&queue);
        let thread = std::thread::spawn(move || {
            let mut items = Vec::new();
            while let Some(item) = taking.pop() {
                items.push(item);
            }
            items
        });
        for item in 0..100 {
            while !queue.push(1, item) {
                std::thread::yield_now();
            }
        }
        queue.wait_until_done(LONG);
        assert_eq!(queue.close(), 0);
        assert!(thread.join().unwrap().into_iter().eq(0..100));
    }
}
