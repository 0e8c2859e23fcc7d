//! Answers that clients have not read yet: they take a bounded part of the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hyper::body::Bytes;
use tokio::sync::Notify;

/// How many bytes of answers one server holds for this host's clients, and how many for others. Before another
/// is made, one of them must be read, or its connection is closed. A page of a large node has less than 1 MiB.
const MOST: usize = 4 << 20;

/// All of them. Clones share them.
#[derive(Clone, Default)]
pub(super) struct UnreadAnswers(Arc<Held>);

#[derive(Default)]
struct Held {
    bytes: AtomicUsize,
    /// Notified when somebody waits for room.
    full: Notify,
    freed: Notify,
}

/// Those of one connection.
#[derive(Clone, Default)]
pub(super) struct UnreadOfClient(Arc<AtomicUsize>);

/// One of them. It is read when this is dropped.
struct UnreadAnswer {
    page: String,
    client: UnreadOfClient,
    all: UnreadAnswers,
}

impl UnreadAnswers {
    /// Waits until another answer may be made. It must be given to [`Self::hold`] at once.
    pub(super) async fn room(&self) {
        loop {
            let freed = self.0.freed.notified();
            if !self.is_full() {
                return;
            }
            self.0.full.notify_one();
            freed.await;
        }
    }

    /// Waits until somebody waits for room. Then a connection must be closed that has not read its answer.
    pub(super) async fn full(&self) {
        self.0.full.notified().await;
        while !self.is_full() {
            self.0.full.notified().await;
        }
    }

    fn is_full(&self) -> bool {
        self.0.bytes.load(Relaxed) >= MOST
    }

    /// The answer to a client, which counts until it is read.
    pub(super) fn hold(&self, page: String, client: &UnreadOfClient) -> Bytes {
        self.0.bytes.fetch_add(page.len(), Relaxed);
        client.0.fetch_add(page.len(), Relaxed);
        Bytes::from_owner(UnreadAnswer {
            page,
            client: client.clone(),
            all: self.clone(),
        })
    }
}

impl UnreadOfClient {
    /// Whether there are any.
    pub(super) fn are_some(&self) -> bool {
        self.0.load(Relaxed) > 0
    }
}

impl AsRef<[u8]> for UnreadAnswer {
    fn as_ref(&self) -> &[u8] {
        self.page.as_bytes()
    }
}

impl Drop for UnreadAnswer {
    fn drop(&mut self) {
        self.client.0.fetch_sub(self.page.len(), Relaxed);
        self.all.0.bytes.fetch_sub(self.page.len(), Relaxed);
        self.all.0.freed.notify_waiters();
    }
}
