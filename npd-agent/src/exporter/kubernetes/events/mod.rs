//! Decides which Events to create, and which counts to write. Pure: no clock, no network.
//!
//! client-go drops Events that come too often, and does not count them. Here the first occurrence of
//! everything is written at once. Repeats increase the count of the same Event, which is written less and
//! less often. So 10,000 OOM kills cost some tens of writes, and the count is exact.
//!
//! Written here because the `Recorder` of the crate `kube` writes another API (`events.k8s.io/v1`, without
//! source and count) and takes Events with different messages for one.

mod answers;
mod counted_event;
mod names;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use self::counted_event::{CountedEvent, EventGroup, WriteStage};
use self::names::EventNames;
use super::event::{InvolvedObject, KubernetesEvent};
use crate::node::Node;
use crate::problem::{Event, OccurrenceId};

/// How many different messages about one object with one reason become separate Events. Further messages
/// share one Event. client-go combines from the tenth on.
const OWN_MESSAGES: usize = 9;

/// After this long without messages, a kind gets separate Events again, as in client-go.
const QUIET: Duration = Duration::from_mins(10);

/// The API server deletes an Event one hour after its last write, so an older one is not continued.
const LIFETIME: Duration = Duration::from_hours(1);

/// How many bytes of Events are stored, with those that wait. This is enough for thousands.
const MEMORY: usize = 2 << 20;

/// Combines events into Kubernetes Events.
#[derive(Debug)]
pub(super) struct Correlator {
    kinds: HashMap<Arc<EventGroup>, EventSeries>,
    events: HashMap<Id, CountedEvent>,
    /// Events that must be created, in order.
    fresh: VecDeque<Id>,
    /// Events whose count must be written, by the earliest time to do so.
    repeated: BTreeSet<(Instant, Id)>,
    /// How many are being written.
    in_flight: usize,
    /// Whether counts are written without a pause.
    stopping: bool,
    bytes: usize,
    last_id: Id,
    names: EventNames,
}

type Id = u64;

/// The Events of one kind.
#[derive(Debug, Default)]
struct EventSeries {
    own: Vec<Id>,
    combined: Option<Id>,
    seen: Option<Instant>,
}

/// The next write.
#[derive(Debug, PartialEq)]
pub(super) enum NextWrite {
    /// Create or patch this Event.
    Write(Box<Delivery>),
    /// Nothing before this time.
    At(Instant),
    /// Nothing.
    Nothing,
}

/// A write of an Event.
#[derive(Debug, PartialEq)]
pub(super) struct Delivery {
    /// Whether to create the Event or only to write its count.
    pub create: bool,
    /// The Event.
    pub event: KubernetesEvent,
    id: Id,
}

impl Correlator {
    /// Without any Events of this node yet.
    pub(super) fn new(node: &Node) -> Self {
        Self {
            kinds: HashMap::new(),
            events: HashMap::new(),
            fresh: VecDeque::new(),
            repeated: BTreeSet::new(),
            in_flight: 0,
            stopping: false,
            bytes: 0,
            last_id: 0,
            names: EventNames::new(node),
        }
    }

    /// How many Events must be created or have a count that must be written.
    pub(super) fn waiting(&self) -> usize {
        self.fresh.len() + self.repeated.len() + self.in_flight
    }

    /// Whether the server has everything.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting() == 0
    }

    /// Whether the server has every Event, though perhaps not all counts.
    pub(super) fn is_created(&self) -> bool {
        self.fresh.is_empty() && self.in_flight == 0
    }

    /// Adds an event. Returns false if there is no room for it.
    pub(super) fn add(
        &mut self,
        source: &Arc<str>,
        object: InvolvedObject,
        event: &Event,
        occurrence: Option<&OccurrenceId>,
        now: Instant,
        clock: Timestamp,
    ) -> bool {
        let kind = Arc::new(EventGroup::of(source, object, event));
        let (known, combined) = self.find(&kind, &event.message, now);
        if let Some(id) = known {
            self.repeat(id, event, now);
            return true;
        }
        if !self.make_room(kind.weight(&event.message)) {
            return false;
        }
        let name = self.name(&kind, combined, occurrence, clock);
        self.begin(kind, combined, event, name, now);
        true
    }

    /// The Event to continue, if there is one, and otherwise whether the new one is a combined one.
    fn find(&mut self, kind: &Arc<EventGroup>, message: &str, now: Instant) -> (Option<Id>, bool) {
        let Some(series) = self.kinds.get_mut(kind) else {
            return (None, false);
        };
        let quiet = series.seen.is_none_or(|seen| now - seen > QUIET);
        series.seen = Some(now);
        let events = &self.events;
        let entry = |id: &Id| events.get(id).filter(|entry| now - entry.seen <= LIFETIME);
        let same = |id: &Id| entry(id).is_some_and(|entry| entry.message == message);
        if let Some(id) = series.own.iter().find(|id| same(id)) {
            return (Some(*id), false);
        }
        let over = |id: &mut Id| quiet || entry(id).is_none();
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
        name: String,
        now: Instant,
    ) {
        self.last_id += 1;
        let id = self.last_id;
        let entry = CountedEvent::new(Arc::clone(&kind), combined, name, event, now);
        self.bytes += entry.weight();
        self.events.insert(id, entry);
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
        let Some(entry) = self.events.get_mut(&id) else {
            return;
        };
        self.bytes -= entry.weight();
        entry.repeat(event, now);
        self.bytes += entry.weight();
        if entry.stage == WriteStage::Settled {
            self.enqueue(id, now);
        }
    }

    /// Queues an Event again if the server does not have all of it.
    fn enqueue(&mut self, id: Id, now: Instant) {
        let Some(entry) = self.events.get_mut(&id) else {
            return;
        };
        if !entry.created {
            entry.stage = WriteStage::Fresh;
            self.fresh.push_back(id);
        } else if entry.count > entry.acknowledged {
            let due = if self.stopping { now } else { entry.due(now) };
            entry.stage = WriteStage::Repeated(due);
            self.repeated.insert((due, id));
        } else {
            entry.stage = WriteStage::Settled;
        }
    }

    /// What to write now, or when to ask again. New Events come before counts.
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
            if let Some(entry) = self.events.get_mut(&id) {
                entry.stage = WriteStage::InFlight;
                self.in_flight += 1;
                return NextWrite::Write(Box::new(Delivery {
                    create: !entry.created,
                    event: entry.to_kubernetes_event(),
                    id,
                }));
            }
        }
    }

    /// There is a new Node object. Its Events must be created again when they repeat.
    pub(super) fn node_replaced(&mut self, clock: Timestamp) {
        let ids: Vec<Id> = self
            .events
            .iter()
            .filter(|(_, entry)| entry.kind.object.is_node() && entry.created)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            // The old Node's Event has the old name.
            let name = self.names.unique(&self.events[&id].kind.object, clock);
            let Some(entry) = self.events.get_mut(&id) else {
                continue;
            };
            entry.created = false;
            entry.name = name;
            if let WriteStage::Repeated(due) = entry.stage {
                entry.stage = WriteStage::Fresh;
                self.repeated.remove(&(due, id));
                self.fresh.push_back(id);
            }
        }
    }

    /// The agent is about to stop: all counts are due now.
    pub(super) fn write_all_now(&mut self, now: Instant) {
        self.stopping = true;
        for (_, id) in std::mem::take(&mut self.repeated) {
            if let Some(entry) = self.events.get_mut(&id) {
                entry.stage = WriteStage::Repeated(now);
                self.repeated.insert((now, id));
            }
        }
    }

    /// The name for an Event of this kind.
    fn name(
        &mut self,
        kind: &EventGroup,
        combined: bool,
        occurrence: Option<&OccurrenceId>,
        clock: Timestamp,
    ) -> String {
        let found = self.names.found(kind, combined, occurrence);
        // Two rules may find the same.
        let is_free = |name: &String| self.events.values().all(|known| known.name != *name);
        found
            .filter(is_free)
            .unwrap_or_else(|| self.names.unique(&kind.object, clock))
    }

    /// Removes Events that the server has, the oldest first, until `needed` bytes are free.
    fn make_room(&mut self, needed: usize) -> bool {
        while self.bytes + needed > MEMORY {
            let settled = self
                .events
                .iter()
                .filter(|(_, entry)| entry.stage == WriteStage::Settled);
            let oldest = settled
                .min_by_key(|(_, entry)| entry.seen)
                .map(|(id, _)| *id);
            match oldest {
                Some(id) => self.remove(id),
                None => return false,
            }
        }
        true
    }

    /// Removes an Event that is not continued, if the server has all of it.
    fn forget_if_over(&mut self, id: Id) {
        let Some(entry) = self.events.get(&id) else {
            return;
        };
        let counted_on = self
            .kinds
            .get(&entry.kind)
            .is_some_and(|series| series.has(id));
        if entry.stage == WriteStage::Settled && !counted_on {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: Id) {
        let Some(entry) = self.events.remove(&id) else {
            return;
        };
        self.bytes -= entry.weight();
        if let WriteStage::Repeated(due) = entry.stage {
            self.repeated.remove(&(due, id));
        }
        let Some(series) = self.kinds.get_mut(&entry.kind) else {
            return;
        };
        series.own.retain(|own| *own != id);
        series.combined = series.combined.filter(|combined| *combined != id);
        if series.own.is_empty() && series.combined.is_none() {
            self.kinds.remove(&entry.kind);
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
