//! The end of a hub that only looks for a moment.

use std::time::{Duration, Instant};

use super::Hub;

/// Longer than any text is held.
const LATER: Duration = Duration::from_hours(1);

impl Hub {
    /// Reports what is held: nobody waits for a probe any more.
    pub fn settle(&mut self) {
        self.expire(Instant::now() + LATER);
    }
}
