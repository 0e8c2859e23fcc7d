//! Stand-ins for programs that act on conditions and cannot be had as Go modules. Each follows the rule
//! that its program documents: what it reads, what it takes for sick, and when it lets go.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// What a consumer thinks of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Sick,
    Well,
    /// It keeps to what it thought before.
    Undecided,
}

/// A program that acts on conditions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Consumer {
    pub(crate) name: &'static str,
    /// What it does to a sick node, and when the node is well again.
    pub(crate) acts: &'static str,
    pub(crate) lets_go: &'static str,
    /// The conditions that it is told to read.
    pub(crate) reads: &'static [&'static str],
    /// What it thinks of a status; `None` if the Node has no such condition.
    verdict: fn(Option<&str>) -> Verdict,
    /// How long a condition must have been sick, by its `lastTransitionTime`, and how long well.
    tolerates: SignedDuration,
    lingers: SignedDuration,
}

/// NPD's conditions that the tests' faults set.
const NPD: &[&str] = &["KernelDeadlock", "ReadonlyFilesystem", "NTPProblem"];

/// What people set to minutes.
const TOLERATED: SignedDuration = SignedDuration::from_secs(1);

pub(crate) const CONSUMERS: &[Consumer] = &[
    Consumer {
        // `Type=True,duration`. It uncordons when the condition has had another status for as long.
        name: "draino",
        acts: "cordons and drains",
        lets_go: "uncordons",
        reads: NPD,
        verdict: |status| match status {
            Some("True") => Verdict::Sick,
            Some(_) => Verdict::Well,
            None => Verdict::Undecided,
        },
        tolerates: TOLERATED,
        lingers: TOLERATED,
    },
    Consumer {
        // A rule names type and status. Another status ends the operation; Unknown starts none and
        // ends none.
        name: "node-operation-controller",
        acts: "runs a NodeOperation",
        lets_go: "deletes what has not ended",
        reads: NPD,
        verdict: |status| match status {
            Some("True") => Verdict::Sick,
            Some("Unknown") => Verdict::Undecided,
            _ => Verdict::Well,
        },
        tolerates: SignedDuration::ZERO,
        lingers: SignedDuration::ZERO,
    },
    Consumer {
        // A rule in the mode `continuous` with `requiredStatus: "False"`: every other status taints,
        // and so does a condition that is missing.
        name: "node-readiness-controller",
        acts: "taints",
        lets_go: "removes the taint",
        reads: NPD,
        verdict: |status| match status {
            Some("False") => Verdict::Well,
            _ => Verdict::Sick,
        },
        tolerates: SignedDuration::ZERO,
        lingers: SignedDuration::ZERO,
    },
    Consumer {
        // NodeHealthCheck, `unhealthyConditions`: type, status and duration.
        name: "medik8s",
        acts: "starts a remediation",
        lets_go: "ends it",
        reads: NPD,
        verdict: true_is_sick,
        tolerates: TOLERATED,
        lingers: SignedDuration::ZERO,
    },
    Consumer {
        // MachineHealthCheck, `unhealthyNodeConditions`: type, status and timeout.
        name: "Cluster API",
        acts: "replaces the machine",
        lets_go: "forgets it",
        reads: NPD,
        verdict: true_is_sick,
        tolerates: TOLERATED,
        lingers: SignedDuration::ZERO,
    },
    Consumer {
        // Its object monitor asks for a new machine when one of three conditions is True.
        name: "NVSentinel",
        acts: "asks for another machine",
        lets_go: "withdraws it",
        reads: &[
            "XfsShutdown",
            "ReadonlyFilesystem",
            "CperHardwareErrorFatal",
        ],
        verdict: true_is_sick,
        tolerates: SignedDuration::ZERO,
        lingers: SignedDuration::ZERO,
    },
    Consumer {
        // The repair policies of its provider for AWS, on our aliases. EKS node auto repair has the
        // same.
        name: "Karpenter, EKS",
        acts: "replaces the node",
        lets_go: "forgets it",
        reads: &["KernelReady", "StorageReady"],
        verdict: |status| match status {
            Some("False") => Verdict::Sick,
            _ => Verdict::Well,
        },
        tolerates: TOLERATED,
        lingers: SignedDuration::ZERO,
    },
];

fn true_is_sick(status: Option<&str>) -> Verdict {
    if status == Some("True") {
        Verdict::Sick
    } else {
        Verdict::Well
    }
}

/// What a consumer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    Acted,
    LetGo,
}

/// A consumer that looks at one condition.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) consumer: Consumer,
    pub(crate) condition: &'static str,
    /// Whether it has acted and not let go.
    has_acted: bool,
}

impl Observer {
    /// One for each condition that each consumer reads.
    pub(crate) fn all() -> Vec<Self> {
        let of = |consumer: &Consumer| {
            let consumer = *consumer;
            consumer.reads.iter().map(move |&condition| Self {
                consumer,
                condition,
                has_acted: false,
            })
        };
        CONSUMERS.iter().flat_map(of).collect()
    }

    /// Looks at a Node.
    pub(crate) fn look(&mut self, node: &Value, now: Timestamp) -> Option<Deed> {
        let conditions = node["status"]["conditions"].as_array();
        let condition = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == self.condition);
        let status = condition.and_then(|condition| condition["status"].as_str());
        let since = condition.and_then(|condition| condition["lastTransitionTime"].as_str());
        let since = since.and_then(|since| since.parse::<Timestamp>().ok());
        let lasts = |at_least| since.is_none_or(|since| now.duration_since(since) >= at_least);
        let deed = match (self.consumer.verdict)(status) {
            Verdict::Sick if !self.has_acted && lasts(self.consumer.tolerates) => Deed::Acted,
            Verdict::Well if self.has_acted && lasts(self.consumer.lingers) => Deed::LetGo,
            _ => return None,
        };
        self.has_acted = deed == Deed::Acted;
        Some(deed)
    }
}
