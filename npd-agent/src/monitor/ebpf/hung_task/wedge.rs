//! Tasks that wait for the same thing are one incident: a dead server stops hundreds. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// An incident is reported again when this many times more tasks hang than when it was reported last.
const GROWTH: usize = 10;

/// How many pods a message names.
const NAMED_PODS: usize = 8;

/// The tasks that hang, and what they wait for.
#[derive(Debug, Default)]
pub(super) struct Wedges {
    stuck: BTreeMap<u32, StuckTask>,
    /// How many tasks hung when this was reported last.
    reported: BTreeMap<StuckTask, usize>,
}

/// What two tasks have in common that are reported together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StuckTask {
    /// What it waits for.
    pub(super) cause: String,
    /// Its pod, as messages name it: each pod gets an Event of its own.
    pub(super) pod: Option<String>,
    /// Which of the temporary rules report it.
    pub(super) rules: Vec<bool>,
}

impl Wedges {
    /// The task `pid` hangs.
    pub(super) fn add(&mut self, pid: u32, task: StuckTask) {
        self.stuck.insert(pid, task);
    }

    /// The task `pid` does not hang any more.
    pub(super) fn remove(&mut self, pid: u32) {
        let Some(task) = self.stuck.remove(&pid) else {
            return;
        };
        if !self.stuck.values().any(|other| *other == task) {
            self.reported.remove(&task);
        }
    }

    /// Whether the task `pid` needs a report, which then counts as made. It needs none if a task was
    /// reported that waits for the same thing, and there are not many more now.
    pub(super) fn is_news(&mut self, pid: u32) -> bool {
        let Some(task) = self.stuck.get(&pid) else {
            return true;
        };
        let tasks = self.stuck.values().filter(|other| *other == task).count();
        let reported = self.reported.get(task);
        let is_news = reported.is_none_or(|reported| tasks >= reported.saturating_mul(GROWTH));
        if is_news {
            self.reported.insert(task.clone(), tasks);
        }
        is_news
    }

    /// The end of a message about the task `pid`: who else waits for the same thing.
    pub(super) fn others(&self, pid: u32) -> String {
        let Some(task) = self.stuck.get(&pid) else {
            return String::new();
        };
        let others = self.stuck.iter().filter(|(other, _)| **other != pid);
        let others = others.filter(|(_, other)| other.cause == task.cause);
        let others: Vec<_> = others.map(|(_, other)| other).collect();
        let pods: BTreeSet<_> = others
            .iter()
            .filter_map(|other| other.pod.as_deref())
            .collect();
        let count = match others.len() {
            0 => return String::new(),
            1 => "1 other task waits".to_owned(),
            many => format!("{many} other tasks wait"),
        };
        let named: Vec<_> = pods.iter().take(NAMED_PODS).copied().collect();
        let named = match pods.len().saturating_sub(NAMED_PODS) {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        };
        match pods.len() {
            0 => format!("; {count} for the same thing"),
            1 => format!("; {count} for the same thing, in the pod {named}"),
            _ => format!("; {count} for the same thing, in the pods {named}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuck(cause: &str, pod: Option<&str>) -> StuckTask {
        StuckTask {
            cause: cause.to_owned(),
            pod: pod.map(str::to_owned),
            rules: vec![true],
        }
    }

    #[test]
    fn what_waits_for_the_same_is_reported_once_for_each_pod_and_again_when_it_has_grown() {
        let mut wedges = Wedges::default();
        let mut reported = Vec::new();
        for pid in 0..200 {
            wedges.add(pid, stuck("sda", None));
            if wedges.is_news(pid) {
                reported.push(pid);
            }
        }
        assert_eq!(reported, [0, 9, 99]);
        wedges.add(1000, stuck("sda", Some("default/web")));
        assert!(wedges.is_news(1000));
        wedges.add(1001, stuck("sdb", None));
        assert!(wedges.is_news(1001));
        assert!(
            wedges.is_news(2000) && wedges.is_news(2000),
            "its cause is unknown"
        );
    }

    #[test]
    fn tasks_that_are_found_together_are_reported_together() {
        let mut wedges = Wedges::default();
        (0..100).for_each(|pid| wedges.add(pid, stuck("sda", None)));
        assert_eq!((0..100).filter(|pid| wedges.is_news(*pid)).count(), 1);
    }

    #[test]
    fn an_incident_is_over_with_its_last_task() {
        let mut wedges = Wedges::default();
        (0..2).for_each(|pid| wedges.add(pid, stuck("sda", None)));
        assert!(wedges.is_news(0));
        wedges.remove(0);
        assert!(!wedges.is_news(1));
        wedges.remove(1);
        wedges.remove(1);
        wedges.add(2, stuck("sda", None));
        assert!(wedges.is_news(2));
        assert_eq!((wedges.stuck.len(), wedges.reported.len()), (1, 1));
    }

    #[test]
    fn a_message_says_who_else_waits() {
        let mut wedges = Wedges::default();
        wedges.add(0, stuck("sda", Some("default/db")));
        wedges.add(1, stuck("sdb", Some("default/other")));
        assert_eq!(wedges.others(0), "");
        assert_eq!(wedges.others(7), "");
        wedges.add(2, stuck("sda", None));
        assert_eq!(wedges.others(0), "; 1 other task waits for the same thing");
        assert_eq!(
            wedges.others(2),
            "; 1 other task waits for the same thing, in the pod default/db"
        );
        for pid in 10..20 {
            wedges.add(pid, stuck("sda", Some(&format!("default/web-{pid}"))));
        }
        assert_eq!(
            wedges.others(2),
            "; 11 other tasks wait for the same thing, in the pods default/db, default/web-10, \
             default/web-11, default/web-12, default/web-13, default/web-14, default/web-15, \
             default/web-16 and 3 more"
        );
    }
}
