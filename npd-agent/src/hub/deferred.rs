//! Reports that must wait until the texts that are held now have been reported.
//!
//! A text of the kernel log may be held until the probe reports the same incident. Meanwhile the reader of
//! the log continues, and reports its position, and that it has checked. Both are true only after the held
//! text was reported. New texts may come all the time. So the reports that wait are bounded, and each
//! waits only for texts that were held before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

/// The reports that wait.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    positions: BTreeMap<String, WaitingPosition>,
    /// The file and the name of each detector that has checked.
    checked: BTreeMap<(Arc<str>, Arc<str>), Instant>,
}

/// How far a source has been read.
#[derive(Debug)]
struct WaitingPosition {
    until: Instant,
    position: Value,
    /// A later position, which waits for later texts.
    newer: Option<(Instant, Value)>,
}

/// The reports that no longer wait.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Released {
    /// How far sources have been read.
    pub(super) positions: Vec<(String, Value)>,
    /// The file and the name of detectors that have checked.
    pub(super) checked: Vec<(Arc<str>, Arc<str>)>,
}

impl Deferred {
    /// Adds how far a source has been read. It is true after `until`.
    pub(super) fn position(&mut self, source: String, position: Value, until: Instant) {
        if let Some(waiting) = self.positions.get_mut(&source) {
            waiting.newer = Some((until, position));
        } else {
            let newer = None;
            let waiting = WaitingPosition {
                until,
                position,
                newer,
            };
            self.positions.insert(source, waiting);
        }
    }

    /// Adds a detector that has checked. It is true after `until`.
    pub(super) fn checked(&mut self, monitor: Arc<str>, detector: Arc<str>, until: Instant) {
        self.checked.entry((monitor, detector)).or_insert(until);
    }

    /// Removes the reports that have waited long enough.
    pub(super) fn release(&mut self, now: Instant) -> Released {
        let checked = self.checked.extract_if(.., |_, until| *until <= now);
        let mut released = Released {
            positions: Vec::new(),
            checked: checked.map(|(who, _)| who).collect(),
        };
        self.positions.retain(|source, waiting| {
            while waiting.until <= now {
                let position = std::mem::take(&mut waiting.position);
                let newer = waiting.newer.take();
                if newer.as_ref().is_none_or(|(until, _)| *until > now) {
                    released.positions.push((source.clone(), position));
                }
                match newer {
                    Some((until, position)) => {
                        (waiting.until, waiting.position) = (until, position);
                    }
                    None => return false,
                }
            }
            true
        });
        released
    }

    /// Removes all reports, because no text is held.
    pub(super) fn release_all(&mut self) -> Released {
        let positions = std::mem::take(&mut self.positions).into_iter();
        let newest = |waiting: WaitingPosition| match waiting.newer {
            Some((_, position)) => position,
            None => waiting.position,
        };
        Released {
            positions: positions
                .map(|(source, waiting)| (source, newest(waiting)))
                .collect(),
            checked: std::mem::take(&mut self.checked).into_keys().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Adds a position of one source each second, each true 5 seconds later, and shows which are released
    /// by then.
    #[test]
    fn a_place_is_written_however_long_texts_keep_coming() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut deferred = Deferred::default();
        let mut written = Vec::new();
        for second in 0..20 {
            let released = deferred.release(at(second));
            written.extend(
                released
                    .positions
                    .into_iter()
                    .map(|(_, position)| (second, position)),
            );
            deferred.position("kmsg".to_owned(), second.into(), at(second + 5));
        }
        let expect = [(5, 0), (9, 4), (13, 8), (17, 12)];
        assert_eq!(
            written,
            expect.map(|(at, position)| (at, Value::from(position)))
        );
        assert_eq!(deferred.positions.len(), 1);
        let rest = deferred.release_all();
        assert_eq!(rest.positions, [("kmsg".to_owned(), Value::from(19))]);
        assert_eq!(deferred.release_all(), Released::default());
    }

    #[test]
    fn a_detector_that_checks_again_waits_no_longer() {
        let start = Instant::now();
        let mut deferred = Deferred::default();
        for second in 0..5 {
            let until = start + Duration::from_secs(5 + second);
            deferred.checked(Arc::from("kernel.json"), Arc::from("log"), until);
        }
        assert!(deferred.release(start).checked.is_empty());
        let released = deferred.release(start + Duration::from_secs(5));
        assert_eq!(released.checked.len(), 1);
        assert_eq!(deferred.release_all(), Released::default());
    }
}
