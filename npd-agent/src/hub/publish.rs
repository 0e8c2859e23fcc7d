//! Sends what is new to the exporters and to the status page.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Hub;
use crate::ledger::Outcome;
use crate::problem::{Condition, OccurrenceId, Update};

impl Hub {
    pub(super) fn publish_all(&mut self, source: &Arc<str>, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            if let Some(condition) = &outcome.condition
                && self.gauges.shows(&condition.r#type)
            {
                self.gauges.show(condition);
            }
            self.publish_outcome(source, outcome, None);
        }
    }

    /// Shows on the status page which conditions are not known yet.
    pub(super) fn show_unseen(&self) {
        let unseen = self.unseen();
        self.status_page.update(|shown| shown.unseen = unseen);
    }

    pub(super) fn publish_outcome(
        &mut self,
        source: &Arc<str>,
        outcome: Outcome,
        occurrence: Option<OccurrenceId>,
    ) {
        if let Some(update) = outcome.into_update(source) {
            self.publish(Update {
                occurrence,
                ..update
            });
        }
    }

    pub(super) fn publish(&mut self, mut update: Update) {
        self.number += 1;
        update.number = self.number;
        if !update.conditions.is_empty() {
            let published: Vec<_> = self.ledger.conditions().collect();
            update.conditions.extend(self.aliases.update(&published));
        }
        self.status_page.update(|shown| {
            if let Some(event) = &update.event {
                shown.push_event(&update.source, event);
            }
            if !update.conditions.is_empty() {
                shown.conditions = self.conditions().cloned().collect();
                shown.unseen = self.unseen();
            }
        });
        for exporter in &mut self.exporters {
            exporter.export(&update);
        }
    }

    /// The published conditions and aliases.
    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.ledger.conditions().chain(self.aliases.shown())
    }

    /// The conditions that are not known yet, and what each waits for.
    fn unseen(&self) -> BTreeMap<Arc<str>, Vec<String>> {
        let conditions = self.ledger.unseen();
        let conditions = conditions.map(|(r#type, awaited)| (Arc::clone(r#type), awaited));
        let published: Vec<_> = self.ledger.conditions().collect();
        conditions.chain(self.aliases.unseen(&published)).collect()
    }
}
