//! The effects of reports: updates to exporters, metrics, and what a checkpoint may contain.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::node;
use crate::problem::ConditionStatus::{self, False, True, Unknown};
use crate::problem::{Action, Advice, Detector, Healthy, Severity, Witness};

/// Records the updates that it gets.
#[derive(Clone, Default)]
struct RecordedUpdates(Arc<Mutex<String>>);

impl Exporter for RecordedUpdates {
    fn export(&mut self, update: &Update) {
        let mut text = self.0.lock().unwrap();
        if let Some(event) = &update.event {
            writeln!(
                text,
                "{} {}: {}",
                update.source, event.reason, event.message
            )
            .unwrap();
        }
        for condition in &update.conditions {
            let Condition {
                r#type,
                status,
                reason,
                ..
            } = condition;
            writeln!(text, "{type} is {status}, {reason}").unwrap();
        }
    }
}

/// A hub with only a recording exporter.
struct Bench {
    hub: Hub,
    recorded: RecordedUpdates,
    metrics: Metrics,
    status_page: StatusPage,
    start: Instant,
}

fn declaration(file: &str, gauges_all: bool, detectors: &[(&str, &str)]) -> Declaration {
    let healthy = |r#type: &str| Healthy {
        r#type: Arc::from(r#type),
        reason: Arc::from(format!("{type}OK")),
        message: "fine".to_owned(),
    };
    let detectors = detectors.iter().map(|(name, r#type)| Detector {
        name: Arc::from(*name),
        conditions: [Arc::from(*r#type)].into(),
    });
    let detectors: Vec<_> = detectors.collect();
    let types = detectors.iter().flat_map(|detector| &detector.conditions);
    let problem = |r#type: &Arc<str>| problem(&format!("{type}Bad"), Some(r#type));
    Declaration {
        monitor: Arc::from(file),
        source: Arc::from("source"),
        conditions: types.clone().map(|r#type| healthy(r#type)).collect(),
        problems: types.map(problem).collect(),
        detectors,
        gauges_all,
    }
}

fn problem(reason: &str, condition: Option<&str>) -> Arc<Problem> {
    Arc::new(Problem {
        reason: Arc::from(reason),
        condition: condition.map(Arc::from),
        message_is_news: false,
        metrics: true,
        inert: false,
        advice: None,
    })
}

fn finding(file: &str, claimant: &str, r#type: &str, present: ConditionStatus) -> Finding {
    Finding {
        monitor: Arc::from(file),
        source: Arc::from("source"),
        problem: problem(&format!("{type}Bad"), Some(r#type)),
        present,
        timestamp: Timestamp::UNIX_EPOCH,
        message: "found".to_owned(),
        claimant: claimant.to_owned(),
        subject: None,
        object: None,
        repeated: false,
        witness: Witness::Other,
        pod: None,
        occurrence: None,
    }
}

/// A line of the kernel's log about a task that hangs.
fn text(pid: u32, condition: Option<&str>) -> Finding {
    Finding {
        problem: problem("SickBad", condition),
        subject: Some(Subject::new("hung_task", pid)),
        witness: Witness::KernelText,
        ..finding("kernel.json", "", "Sick", True)
    }
}

impl Bench {
    fn new(declarations: &[Declaration]) -> Self {
        let metrics = Metrics::new().unwrap();
        let status_page = StatusPage::new("n".to_owned(), Timestamp::UNIX_EPOCH);
        let recorded = RecordedUpdates::default();
        let exporters: Vec<Box<dyn Exporter>> = vec![Box::new(recorded.clone())];
        let mut hub = Hub::new(metrics.clone(), status_page.clone(), exporters);
        for declaration in declarations {
            hub.declare(declaration, Timestamp::UNIX_EPOCH);
        }
        hub.begin(Timestamp::UNIX_EPOCH);
        Self {
            hub,
            recorded,
            metrics,
            status_page,
            start: Instant::now(),
        }
    }

    fn at(&self, second: u64) -> Instant {
        self.start + Duration::from_secs(second)
    }

    fn find(&mut self, second: u64, finding: Finding) {
        let now = self.at(second);
        self.hub.take(Report::Finding(Box::new(finding)), now);
    }

    fn checked(&mut self, second: u64, file: &str, detector: &str) {
        let now = self.at(second);
        let (monitor, detector) = (Arc::from(file), Arc::from(detector));
        self.hub.take(Report::Checked { monitor, detector }, now);
    }

    #[track_caller]
    fn check(&self, expect: &Expect) {
        let updates = std::mem::take(&mut *self.recorded.0.lock().unwrap());
        expect.assert_eq(&updates);
    }

    /// The series of `problem_counter` and `problem_gauge`.
    #[track_caller]
    fn check_metrics(&self, expect: &Expect) {
        let page = self.metrics.page().unwrap();
        let problems = page.lines().filter(|line| line.starts_with("problem_"));
        let problems: Vec<_> = problems.map(|line| format!("{line}\n")).collect();
        expect.assert_eq(&problems.concat());
    }
}

#[test]
fn a_plugins_condition_is_published_with_its_first_result() {
    let mut bench = Bench::new(&[declaration("p.json", true, &[("rules[0]", "Sick")])]);
    bench.check(&expect![""]);
    assert!(bench.status_page.read().conditions.is_empty());
    let unseen = bench.status_page.read().unseen.clone();
    assert_eq!(unseen[&*Arc::<str>::from("Sick")], ["p.json: rules[0]"]);
    bench.find(1, finding("p.json", "rules[0]", "Sick", False));
    bench.checked(1, "p.json", "rules[0]");
    bench.check(&expect![[r"
        Sick is False, SickOK
    "]]);
    assert_eq!(bench.status_page.read().conditions.len(), 1);
    assert!(bench.status_page.read().unseen.is_empty());
}

/// As recorded from NPD: the series of rules exist at once, those of healthy reasons after the first
/// result of the file.
#[test]
fn a_plugins_gauges_appear_as_npds() {
    let rules = [("rules[0]", "Sick"), ("rules[1]", "Ill")];
    let mut bench = Bench::new(&[declaration("p.json", true, &rules)]);
    bench.check_metrics(&expect![[r#"
        problem_counter{reason="IllBad"} 0
        problem_counter{reason="SickBad"} 0
        problem_gauge{reason="IllBad",type="Ill"} 0
        problem_gauge{reason="SickBad",type="Sick"} 0
    "#]]);
    bench.find(1, finding("p.json", "rules[0]", "Sick", True));
    bench.check_metrics(&expect![[r#"
        problem_counter{reason="IllBad"} 0
        problem_counter{reason="SickBad"} 1
        problem_gauge{reason="IllBad",type="Ill"} 0
        problem_gauge{reason="IllOK",type="Ill"} 0
        problem_gauge{reason="SickBad",type="Sick"} 1
    "#]]);
    bench.find(2, finding("p.json", "rules[0]", "Sick", Unknown));
    bench.checked(2, "p.json", "rules[0]");
    bench.check_metrics(&expect![[r#"
        problem_counter{reason="IllBad"} 0
        problem_counter{reason="SickBad"} 1
        problem_gauge{reason="IllBad",type="Ill"} 0
        problem_gauge{reason="IllOK",type="Ill"} 0
        problem_gauge{reason="SickBad",type="Sick"} 0
        problem_gauge{reason="SickOK",type="Sick"} 0
    "#]]);
}

#[test]
fn a_logs_gauges_appear_with_its_matches() {
    let rules = [("log", "Sick")];
    let mut bench = Bench::new(&[declaration("log.json", false, &rules)]);
    bench.checked(1, "log.json", "log");
    bench.check_metrics(&expect![[r#"
        problem_counter{reason="SickBad"} 0
        problem_gauge{reason="SickBad",type="Sick"} 0
    "#]]);
    bench.find(2, finding("log.json", "", "Sick", True));
    bench.check_metrics(&expect![[r#"
        problem_counter{reason="SickBad"} 1
        problem_gauge{reason="SickBad",type="Sick"} 1
    "#]]);
}

#[test]
fn a_log_has_not_checked_while_a_text_of_its_waits_for_a_probe() {
    let mut bench = Bench::new(&[declaration("kernel.json", false, &[("log", "Sick")])]);
    let watched = Watched {
        probe: "hung_task",
        lasts: true,
    };
    let start = bench.start;
    bench.hub.expect(&[watched], start);
    bench.find(0, text(7, Some("Sick")));
    bench.checked(0, "kernel.json", "log");
    bench.check(&expect![""]);
    // The probe never comes.
    let late = bench.at(5);
    bench.hub.expire(late);
    bench.check(&expect![[r#"
        source SickBad: Node condition Sick is now: True, reason: SickBad, message: "found"
        Sick is True, SickBad
    "#]]);
}

#[tokio::test]
async fn endless_texts_do_not_delay_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let node = node::Node {
        name: "n".to_owned(),
        roots: node::Roots::from_env(|_| None),
        boot_id: "b".to_owned(),
    };
    let load = || crate::checkpoint::StateDir::load(folder.path().to_owned(), &node);
    let page = StatusPage::new("n".to_owned(), Timestamp::UNIX_EPOCH);
    let (writer, task) = CheckpointWriter::new(load(), Vec::new(), page);
    let mut bench = Bench::new(&[declaration("kernel.json", false, &[("log", "Sick")])]);
    bench.hub = bench.hub.with_checkpoint_writer(writer, Vec::new());
    bench.hub.take(
        Report::Watching {
            probe: "hung_task",
            conditions: BTreeSet::new(),
        },
        bench.start,
    );
    for second in 0..60 {
        bench.find(second, text(u32::try_from(second).unwrap(), None));
        let now = bench.at(second);
        let (source, position) = ("kmsg".to_owned(), json!(second));
        bench.hub.take(Report::Progress { source, position }, now);
        bench.hub.expire(now);
    }
    let written = async {
        while load().checkpoint.positions.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        Err(error) = task => panic!("{error:#}"),
        () = written => {}
    }
    let position = load().checkpoint.positions["kmsg"].as_u64().unwrap();
    assert!(position >= 48, "{position}");
}

#[test]
fn a_source_is_reported_with_what_its_detectors_see() {
    let mut bench = Bench::new(&[declaration("p.json", true, &[("rules[0]", "Sick")])]);
    bench.find(1, finding("p.json", "rules[0]", "Sick", Unknown));
    bench.check(&expect![""]);
    bench.checked(1, "p.json", "rules[0]");
    bench.check(&expect![[r#"
        source SickOK: Node condition Sick is now: Unknown, reason: SickOK, message: "found"
        Sick is Unknown, SickOK
    "#]]);
}

#[test]
fn what_a_rule_advises_is_counted_and_a_repeat_makes_no_event() {
    let mut bench = Bench::new(&[]);
    let problem = Problem {
        advice: Some(Advice {
            severity: Severity::Fatal,
            action: Action::Replace,
            dry_run: false,
        }),
        ..(*problem("DiskFailed", None)).clone()
    };
    let first = Finding {
        problem: Arc::new(problem),
        ..finding("kernel.json", "", "Sick", True)
    };
    let again = Finding {
        repeated: true,
        ..first.clone()
    };
    bench.find(1, first);
    bench.find(2, again);
    let labels = ["DiskFailed", "fatal", "replace"];
    assert_eq!(bench.metrics.problem.with_label_values(&labels).get(), 2);
    bench.check(&expect![[r"
        source DiskFailed: found
    "]]);
}

#[test]
fn an_alias_is_published_with_its_sources() {
    let declaration = declaration("p.json", true, &[("rules[0]", "Sick"), ("rules[1]", "Ill")]);
    let mut bench = Bench::new(&[declaration]);
    let alias = Alias {
        healthy: Healthy {
            r#type: Arc::from("Ready"),
            reason: Arc::from("IsReady"),
            message: "fine".to_owned(),
        },
        well: True,
        sources: vec![Arc::from("Sick"), Arc::from("Ill")],
    };
    bench.hub = bench.hub.with_aliases(vec![alias], Vec::new());
    bench.checked(1, "p.json", "rules[0]");
    let unseen = bench.status_page.read().unseen.clone();
    assert_eq!(unseen[&*Arc::<str>::from("Ready")], ["Ill"]);
    bench.checked(2, "p.json", "rules[1]");
    bench.find(3, finding("p.json", "rules[1]", "Ill", True));
    bench.find(4, finding("p.json", "rules[1]", "Ill", False));
    bench.check(&expect![[r#"
        Sick is False, SickOK
        Ill is False, IllOK
        Ready is True, IsReady
        source IllBad: Node condition Ill is now: True, reason: IllBad, message: "found"
        Ill is True, IllBad
        Ready is False, IllBad
        source IllOK: Node condition Ill is now: False, reason: IllOK, message: "fine"
        Ill is False, IllOK
        Ready is True, IsReady
    "#]]);
    let shown = bench.status_page.read();
    let alias = shown.conditions.last().unwrap();
    assert_eq!((&*alias.r#type, alias.status), ("Ready", True));
    assert!(shown.unseen.is_empty());
}

proptest! {
    #[test]
    fn claims_and_conditions_stay_consistent(
        steps in prop::collection::vec(any::<[u8; 4]>(), 0..100)
    ) {
        fuzz::hub(&steps.concat());
    }
}
