//! The names of Events.
//!
//! An Event is named after what was found. So an agent that was killed before it saved that it had written
//! the Event, and that finds the same again, cannot create it twice: the server answers that it exists.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use jiff::Timestamp;

use super::counted_event::EventGroup;
use crate::exporter::kubernetes::event::InvolvedObject;
use crate::node::Node;
use crate::problem::OccurrenceId;

/// Makes names for Events.
#[derive(Debug)]
pub(super) struct EventNames {
    /// The boot and the node, hashed: the same is found again only there. `None` if the boot is unknown.
    origin: Option<u64>,
    /// The last nanosecond in a name.
    last: i128,
}

impl EventNames {
    /// Names for the Events of this node.
    pub(super) fn new(node: &Node) -> Self {
        let origin = (&node.boot_id, &node.name);
        Self {
            origin: (!node.boot_id.is_empty()).then(|| hash(origin)),
            last: 0,
        }
    }

    /// The name of an Event about this occurrence, in every agent of this boot: `<object>.<hex of a hash>`. One
    /// that counts different messages (`combined`) has another, because it stands for others too.
    pub(super) fn found(
        &self,
        kind: &EventGroup,
        combined: bool,
        occurrence: Option<&OccurrenceId>,
    ) -> Option<String> {
        let (origin, occurrence) = self.origin.zip(occurrence)?;
        let is_node = kind.object.is_node();
        let number = hash((origin, occurrence.found, &kind.reason, is_node, combined));
        Some(kind.object.event_name(number.into()))
    }

    /// A name that no other Event has: `<object>.<hex of the nanosecond>`.
    pub(super) fn unique(&mut self, object: &InvolvedObject, clock: Timestamp) -> String {
        self.last = clock.as_nanosecond().max(self.last + 1);
        object.event_name(self.last)
    }
}

/// The same in the next agent, unless another compiler has built it.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
