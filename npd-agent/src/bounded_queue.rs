//! A queue from threads that must not wait to one thread that may wait.
//!
//! The standard library's channels limit the number of items. Here the limit is in bytes, because the
//! items are written to a pipe that perhaps nobody reads. Also, when the agent stops, it must know how
//! many items were not written.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Many threads put items in, and one thread takes them out.
#[derive(Debug)]
pub struct BoundedQueue<T> {
    state: Mutex<QueueState<T>>,
    changed: Condvar,
    /// How many bytes may wait.
    most: usize,
}

#[derive(Debug)]
struct QueueState<T> {
    /// Each item with its size in bytes.
    items: VecDeque<(usize, T)>,
    bytes: usize,
    /// How many items with bytes were taken out and are not done.
    taken: usize,
    closed: bool,
}

impl<T> BoundedQueue<T> {
    /// An empty queue with this limit, in bytes.
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

    /// Adds an item with this size in bytes. Returns false if the queue is full. An item with 0 bytes
    /// always fits.
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

    /// Waits for the next item; `None` if the queue is closed. The items that were taken before count
    /// as done.
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

    /// Also takes the next item, if there is one and the condition accepts it.
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

    /// Closes the queue in both directions. Returns how many items with bytes are not done.
    pub fn close(&self) -> usize {
        let mut state = self.lock();
        state.closed = true;
        let waiting = state.items.iter().filter(|(bytes, _)| *bytes > 0).count();
        state.items.clear();
        self.changed.notify_all();
        waiting + std::mem::take(&mut state.taken)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<T>> {
        // No code that holds the lock can panic in the middle of a change.
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
