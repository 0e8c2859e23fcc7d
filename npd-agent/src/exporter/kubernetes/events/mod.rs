//! Which Events are to be created, and which are to be counted on. Pure: no clock, no network.
//!
//! client-go drops what comes too often, and counts what it drops nowhere. Here the first
//! occurrence of everything goes out at once, and repeats are counted on the same Event, written
//! at a widening pace: 10,000 OOM kills cost some tens of writes and end with the exact count.

mod counted_event;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::counted_event::{CountedEvent, EventGroup, WriteStage};
use super::event::{InvolvedObject, KubernetesEvent};
use crate::problem::{Event, Severity};

/// How many different messages about one object with one reason become Events of their own; the
/// others share one. client-go aggregates from the tenth on.
const OWN_MESSAGES: usize = 9;

/// When nothing of a kind has come for so long, its next messages become Events of their own
/// again, as in client-go.
const QUIET: Duration = Duration::from_mins(10);

/// Events live an hour in the API server if nobody touches them, so an older one is not counted on.
const LIFETIME: Duration = Duration::from_hours(1);

/// How many bytes of Events are remembered, those that wait among them: thousands of usual size.
const MEMORY: usize = 2 << 20;

/// What came in, folded into Events.
#[derive(Debug)]
pub(super) struct Correlator {
    kinds: HashMap<Arc<EventGroup>, EventSeries>,
    folds: HashMap<Id, CountedEvent>,
    /// Those that the server does not have, in the order of their coming.
    fresh: VecDeque<Id>,
    /// Those whose count is to be written, by the time from which on that may be done.
    repeated: BTreeSet<(Instant, Id)>,
    /// How many are with the one who writes.
    in_flight: usize,
    /// Whether counts are written without a pause.
    hurried: bool,
    bytes: usize,
    last_id: Id,
    /// The nanosecond that last went into a name.
    last_name: i128,
}

type Id = u64;

/// The Events of one kind.
#[derive(Debug, Default)]
struct EventSeries {
    own: Vec<Id>,
    combined: Option<Id>,
    seen: Option<Instant>,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub(super) enum NextWrite {
    /// Create or patch this Event.
    Write(Delivery),
    /// Nothing before then.
    At(Instant),
    /// Nothing.
    Nothing,
}

/// An Event on its way to the server.
#[derive(Debug, PartialEq)]
pub(super) struct Delivery {
    /// Whether the server does not have it yet.
    pub create: bool,
    /// The Event.
    pub event: KubernetesEvent,
    id: Id,
}

impl Correlator {
    /// Remembers nothing yet.
    pub(super) fn new() -> Self {
        Self {
            kinds: HashMap::new(),
            folds: HashMap::new(),
            fresh: VecDeque::new(),
            repeated: BTreeSet::new(),
            in_flight: 0,
            hurried: false,
            bytes: 0,
            last_id: 0,
            last_name: 0,
        }
    }

    /// How many Events wait to be created or counted on.
    pub(super) fn waiting(&self) -> usize {
        self.fresh.len() + self.repeated.len() + self.in_flight
    }

    /// Whether the server knows everything.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting() == 0
    }

    /// Whether the server has every Event, if not all of their counts.
    pub(super) fn is_created(&self) -> bool {
        self.fresh.is_empty() && self.in_flight == 0
    }

    /// Takes an event in. False if there was no room for it.
    pub(super) fn add(
        &mut self,
        source: &Arc<str>,
        object: InvolvedObject,
        event: &Event,
        now: Instant,
        clock: Timestamp,
    ) -> bool {
        let kind = Arc::new(EventGroup {
            source: Arc::clone(source),
            object,
            reason: Arc::clone(&event.reason),
            warning: event.severity == Severity::Warn,
        });
        let (known, combined) = self.find(&kind, &event.message, now);
        if let Some(id) = known {
            self.repeat(id, event, now);
            return true;
        }
        if !self.make_room(kind.weight(&event.message)) {
            return false;
        }
        self.begin(kind, combined, event, now, clock);
        true
    }

    /// The Event to count on, if there is one, and otherwise whether the new one is to be shared.
    fn find(&mut self, kind: &Arc<EventGroup>, message: &str, now: Instant) -> (Option<Id>, bool) {
        let Some(series) = self.kinds.get_mut(kind) else {
            return (None, false);
        };
        let quiet = series.seen.is_none_or(|seen| now - seen > QUIET);
        series.seen = Some(now);
        let folds = &self.folds;
        let fold = |id: &Id| folds.get(id).filter(|fold| now - fold.seen <= LIFETIME);
        let same = |id: &Id| fold(id).is_some_and(|fold| fold.message == message);
        if let Some(id) = series.own.iter().find(|id| same(id)) {
            return (Some(*id), false);
        }
        let over = |id: &mut Id| quiet || fold(id).is_none();
        let mut released: Vec<Id> = series.own.extract_if(.., over).collect();
        released.extend(series.combined.take_if(over));
        let found = (series.combined, series.own.len() == OWN_MESSAGES);
        for id in released {
            self.forget_if_over(id);
        }
        match found {
            (combined, true) => (combined, true),
            (_, false) => (None, false),
        }
    }

    fn begin(
        &mut self,
        kind: Arc<EventGroup>,
        combined: bool,
        event: &Event,
        now: Instant,
        clock: Timestamp,
    ) {
        self.last_id += 1;
        let id = self.last_id;
        let name = self.name(&kind.object, clock);
        let fold = CountedEvent::new(Arc::clone(&kind), combined, name, event, now);
        self.bytes += fold.weight();
        self.folds.insert(id, fold);
        self.fresh.push_back(id);
        let series = self.kinds.entry(kind).or_default();
        series.seen = Some(now);
        if combined {
            series.combined = Some(id);
        } else {
            series.own.push(id);
        }
    }

    fn repeat(&mut self, id: Id, event: &Event, now: Instant) {
        let Some(fold) = self.folds.get_mut(&id) else {
            return;
        };
        self.bytes -= fold.weight();
        fold.repeat(event, now);
        self.bytes += fold.weight();
        if fold.place == WriteStage::Settled {
            self.enqueue(id, now);
        }
    }

    /// Puts what the server does not know yet where it belongs.
    fn enqueue(&mut self, id: Id, now: Instant) {
        let Some(fold) = self.folds.get_mut(&id) else {
            return;
        };
        if !fold.created {
            fold.place = WriteStage::Fresh;
            self.fresh.push_back(id);
        } else if fold.count > fold.acknowledged {
            let due = if self.hurried { now } else { fold.due(now) };
            fold.place = WriteStage::Repeated(due);
            self.repeated.insert((due, id));
        } else {
            fold.place = WriteStage::Settled;
        }
    }

    /// What to write now, or when to ask again. New Events go before counts.
    pub(super) fn next(&mut self, now: Instant) -> NextWrite {
        loop {
            let id = match (self.fresh.pop_front(), self.repeated.first().copied()) {
                (Some(id), _) => id,
                (None, None) => return NextWrite::Nothing,
                (None, Some((due, _))) if due > now => return NextWrite::At(due),
                (None, Some(first)) => {
                    self.repeated.remove(&first);
                    first.1
                }
            };
            if let Some(fold) = self.folds.get_mut(&id) {
                fold.place = WriteStage::InFlight;
                self.in_flight += 1;
                return NextWrite::Write(Delivery {
                    create: !fold.created,
                    event: fold.to_kubernetes_event(),
                    id,
                });
            }
        }
    }

    /// The server has taken it.
    pub(super) fn delivered(&mut self, delivery: &Delivery, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(fold) = self.folds.get_mut(&delivery.id) else {
            return;
        };
        fold.delivered(delivery.event.count, now);
        self.enqueue(delivery.id, now);
        self.forget_if_over(delivery.id);
    }

    /// It did not come through: to be tried again, after the others.
    pub(super) fn failed(&mut self, delivery: &Delivery, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.enqueue(delivery.id, now);
    }

    /// The server forbids it, and perhaps not for long: to be tried again, unless one of the
    /// `successes` has come since it was first forbidden.
    pub(super) fn doubted(&mut self, delivery: &Delivery, successes: u64, now: Instant) -> bool {
        let fold = self.folds.get_mut(&delivery.id);
        let first = fold.map(|fold| *fold.forbidden_after.get_or_insert(successes));
        let doubted = first == Some(successes);
        if doubted {
            self.failed(delivery, now);
        }
        doubted
    }

    /// The server has it already: an earlier try came through and its answer did not. Its count is
    /// to be written, for it may have grown.
    pub(super) fn exists(&mut self, delivery: &Delivery, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(fold) = self.folds.get_mut(&delivery.id) {
            fold.created = true;
            fold.acknowledged = 0;
        }
        self.enqueue(delivery.id, now);
    }

    /// The server does not have it any more: to be created anew, with all of its count.
    pub(super) fn missing(&mut self, delivery: &Delivery, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(fold) = self.folds.get_mut(&delivery.id) {
            fold.created = false;
        }
        self.enqueue(delivery.id, now);
    }

    /// The server will never take it. Returns how many occurrences are lost with it.
    pub(super) fn refused(&mut self, delivery: &Delivery) -> u64 {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(fold) = self.folds.get(&delivery.id) else {
            return 0;
        };
        let lost = fold.count - fold.acknowledged;
        self.remove(delivery.id);
        lost
    }

    /// The Node object is another one: its Events are to be created anew when they come again.
    pub(super) fn node_replaced(&mut self, clock: Timestamp) {
        let ids: Vec<Id> = self
            .folds
            .iter()
            .filter(|(_, fold)| fold.kind.object.is_node() && fold.created)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let name = self.name(&self.folds[&id].kind.object.clone(), clock);
            let Some(fold) = self.folds.get_mut(&id) else {
                continue;
            };
            fold.created = false;
            fold.name = name;
            if let WriteStage::Repeated(due) = fold.place {
                fold.place = WriteStage::Fresh;
                self.repeated.remove(&(due, id));
                self.fresh.push_back(id);
            }
        }
    }

    /// Everything that waits for its pace is due now: the agent is about to stop.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.hurried = true;
        for (_, id) in std::mem::take(&mut self.repeated) {
            if let Some(fold) = self.folds.get_mut(&id) {
                fold.place = WriteStage::Repeated(now);
                self.repeated.insert((now, id));
            }
        }
    }

    /// A name that no other Event of this object has: `<object>.<hex of the nanosecond>`.
    fn name(&mut self, object: &InvolvedObject, clock: Timestamp) -> String {
        self.last_name = clock.as_nanosecond().max(self.last_name + 1);
        object.event_name(self.last_name)
    }

    /// Forgets settled Events, the longest unseen first, until `needed` bytes are free.
    fn make_room(&mut self, needed: usize) -> bool {
        while self.bytes + needed > MEMORY {
            let settled = self
                .folds
                .iter()
                .filter(|(_, fold)| fold.place == WriteStage::Settled);
            let oldest = settled.min_by_key(|(_, fold)| fold.seen).map(|(id, _)| *id);
            match oldest {
                Some(id) => self.remove(id),
                None => return false,
            }
        }
        true
    }

    /// An Event that is counted on no more goes as soon as the server knows all of it.
    fn forget_if_over(&mut self, id: Id) {
        let Some(fold) = self.folds.get(&id) else {
            return;
        };
        let counted_on = self
            .kinds
            .get(&fold.kind)
            .is_some_and(|series| series.has(id));
        if fold.place == WriteStage::Settled && !counted_on {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: Id) {
        let Some(fold) = self.folds.remove(&id) else {
            return;
        };
        self.bytes -= fold.weight();
        if let WriteStage::Repeated(due) = fold.place {
            self.repeated.remove(&(due, id));
        }
        let Some(series) = self.kinds.get_mut(&fold.kind) else {
            return;
        };
        series.own.retain(|own| *own != id);
        series.combined = series.combined.filter(|combined| *combined != id);
        if series.own.is_empty() && series.combined.is_none() {
            self.kinds.remove(&fold.kind);
        }
    }
}

impl EventSeries {
    fn has(&self, id: Id) -> bool {
        self.own.contains(&id) || self.combined == Some(id)
    }
}

#[cfg(test)]
mod tests;
