//! No start of the agent shows a sick node as healthy: not for a moment, whatever was written there
//! before, whenever the agent is killed, with a checkpoint or without.
//!
//! `PROPTEST_CASES=2000 cargo test --release --lib no_start_shows` makes 10,000 starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use super::super::Agent;
use super::fake_monitor::{FakeDetector, FakeFile, FakeMonitor, reason};
use crate::checkpoint::StateDir;
use crate::exporter::kubernetes::tests::lab::exporter;
use crate::exporter::kubernetes::tests::server::{Server, ServerFault};
use crate::metrics::Metrics;
use crate::monitor::{Monitor, Monitors};
use crate::node::{Node, Roots};
use crate::problem::Condition;
use crate::problem::ConditionStatus::{self, False, True, Unknown};
use crate::status_page::StatusPage;

/// How many starts there are of each node.
const STARTS: usize = 5;

/// After this time, every detector that ever checks has checked, and the result is written to the server.
const SETTLED: Duration = Duration::from_secs(100);

/// What stands on a Node before the first start, for a condition of which the real state is known.
#[derive(Clone, Copy, Debug)]
enum Standing {
    Absent,
    /// True, as NPD or an earlier agent has written it, and the problem is still there.
    True,
    /// Something else.
    Stale(ConditionStatus),
}

/// One start of the agent.
#[derive(Clone, Debug)]
struct Start {
    /// When it is killed; `None` to let it settle.
    killed_after: Option<Duration>,
    /// What the API server answers instead of its work, and until when.
    unwell: Option<(u16, Duration)>,
    /// How long each detector's first check takes, in this start.
    delays: Vec<Option<Duration>>,
    /// How the node is, as each detector sees it. `None` for as before.
    statuses: Option<Vec<ConditionStatus>>,
}

#[derive(Clone, Debug)]
struct NodeHistory {
    files: Vec<FakeFile>,
    standing: Vec<Standing>,
    by_npd: bool,
    checkpoint: bool,
    starts: Vec<Start>,
}

const TYPES: [&str; 3] = ["KernelDeadlock", "DiskBroken", "NetworkDown"];

fn status() -> impl Strategy<Value = ConditionStatus> {
    prop_oneof![2 => Just(True), 1 => Just(Unknown), 2 => Just(False)]
}

fn delay() -> impl Strategy<Value = Option<Duration>> {
    let soon = (0_u64..2000).prop_map(Duration::from_millis);
    let late = (2_u64..40).prop_map(Duration::from_secs);
    prop_oneof![4 => soon.prop_map(Some), 3 => late.prop_map(Some), 1 => Just(None)]
}

fn file(index: usize) -> impl Strategy<Value = FakeFile> {
    let detector = (0..TYPES.len()).prop_map(|condition| FakeDetector {
        condition: Arc::from(TYPES[condition]),
        status: False,
        delay: None,
    });
    let detectors = prop::collection::vec(detector, 1..4);
    let fails = prop::option::weighted(0.2, (0_u64..20_000).prop_map(Duration::from_millis));
    (any::<bool>(), detectors, fails).prop_map(move |(is_log, detectors, fails_after)| FakeFile {
        name: format!("File{index}"),
        is_log,
        detectors,
        fails_after,
    })
}

fn start(detectors: usize) -> impl Strategy<Value = Start> {
    let killed = (0_u64..30_000).prop_map(Duration::from_millis);
    let until = (0_u64..20_000).prop_map(Duration::from_millis);
    let unwell = (prop::sample::select(vec![403_u16, 429, 500, 503]), until);
    let delays = prop::collection::vec(delay(), detectors);
    let statuses = prop::collection::vec(status(), detectors);
    (
        prop::option::weighted(0.6, killed),
        prop::option::weighted(0.3, unwell),
        delays,
        prop::option::weighted(0.4, statuses),
    )
        .prop_map(|(killed_after, unwell, delays, statuses)| Start {
            killed_after,
            unwell,
            delays,
            statuses,
        })
}

fn history() -> impl Strategy<Value = NodeHistory> {
    let files = (1_usize..4).prop_flat_map(|count| (0..count).map(file).collect::<Vec<_>>());
    let standing = prop_oneof![
        1 => Just(Standing::Absent),
        4 => Just(Standing::True),
        1 => status().prop_map(Standing::Stale)
    ];
    files.prop_flat_map(move |files| {
        let detectors = files.iter().map(|file| file.detectors.len()).sum();
        (
            Just(files),
            prop::collection::vec(standing.clone(), TYPES.len()),
            any::<bool>(),
            any::<bool>(),
            prop::collection::vec(start(detectors), STARTS),
        )
            .prop_map(
                |(files, standing, by_npd, checkpoint, starts)| NodeHistory {
                    files,
                    standing,
                    by_npd,
                    checkpoint,
                    starts,
                },
            )
    })
}

/// How a condition is, and the reasons that there are for it.
fn expected(files: &[FakeFile], r#type: &str) -> (ConditionStatus, BTreeSet<String>) {
    let mut expected = (False, BTreeSet::new());
    for file in files {
        for (index, detector) in file.detectors.iter().enumerate() {
            if *detector.condition == *r#type && detector.status == True {
                expected.0 = True;
                expected.1.insert(reason(&file.name, index));
            } else if *detector.condition == *r#type
                && detector.status == Unknown
                && expected.0 == False
            {
                expected.0 = Unknown;
            }
        }
    }
    if expected.0 != True {
        expected.1.insert("AllWell".to_owned());
    }
    expected
}

fn types(files: &[FakeFile]) -> BTreeSet<Arc<str>> {
    let detectors = files.iter().flat_map(|file| &file.detectors);
    detectors
        .map(|detector| Arc::clone(&detector.condition))
        .collect()
}

/// Puts the files into the state in which a start finds them.
fn prepare(files: &mut [FakeFile], start: &Start) {
    let mut delays = start.delays.iter();
    let mut statuses = start.statuses.iter().flatten();
    for file in files {
        for detector in &mut file.detectors {
            detector.delay = delays.next().copied().flatten();
            let next = statuses.next().copied().unwrap_or(detector.status);
            detector.status = match (file.is_log, detector.status) {
                // A log never reports that a problem is over, or that it does not know.
                (true, True) => True,
                (true, _) if next == Unknown => False,
                _ => next,
            };
        }
    }
}

fn long_ago() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn first_standing(server: &mut Server, history: &NodeHistory, files: &[FakeFile]) {
    let manager = if history.by_npd {
        "node-problem-detector"
    } else {
        "npd-agent"
    };
    for (r#type, standing) in TYPES.iter().zip(&history.standing) {
        let (true_status, reasons) = expected(files, r#type);
        let (status, reason) = match standing {
            Standing::Absent => continue,
            Standing::True => (true_status, reasons.first().unwrap().clone()),
            Standing::Stale(status) => (*status, "Stale".to_owned()),
        };
        server.add_condition(
            manager,
            &Condition {
                r#type: Arc::from(*r#type),
                status,
                transition: long_ago(),
                reason: Arc::from(reason),
                message: "as before".to_owned(),
                healthy: None,
            },
        );
    }
}

/// Starts the agent, and lets it run until it is killed or has settled.
fn run(files: &[FakeFile], start: &Start, server: &Arc<Mutex<Server>>, state: Option<&TempDir>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    let agent = async {
        let node = Arc::new(Node {
            name: "n1".to_owned(),
            roots: Roots::from_env(|_| None),
            boot_id: "boot".to_owned(),
        });
        {
            let mut server = server.lock().unwrap();
            server.restart_clock();
            let unwell = start.unwell;
            server.rule = Box::new(move |_, now| {
                let (code, _) = unwell.filter(|(_, until)| now < *until)?;
                Some(ServerFault::Code(code, None))
            });
        }
        let metrics = Metrics::new().unwrap();
        let status_page = StatusPage::new(node.name.clone(), Timestamp::now());
        let built = exporter(server, &[], &types(files), &metrics, &status_page);
        let monitor =
            |file: &FakeFile| Box::new(FakeMonitor::new(file.clone())) as Box<dyn Monitor>;
        let agent = Agent {
            state: state.map(|folder| StateDir::load(folder.path().to_owned(), &node)),
            node,
            metrics,
            status_page,
            aliases: Vec::new(),
            monitors: files.iter().map(monitor).collect::<Monitors>(),
            exporters: vec![built],
            servers: Vec::new(),
        };
        let mut running = agent.start().unwrap();
        let until = start.killed_after.unwrap_or(SETTLED);
        let ended = timeout(until, running.ended()).await;
        assert!(ended.is_err(), "the agent runs for ever: {ended:?}");
    };
    runtime.block_on(agent);
}

/// What was written, by type: status, reason and transition, in order.
fn writes(server: &Server) -> BTreeMap<String, Vec<(String, String, String)>> {
    let mut writes = BTreeMap::<_, Vec<_>>::new();
    let patches = server.log.iter().zip(&server.bodies);
    let taken = patches.filter(|((_, line), _)| line.ends_with(" 200"));
    let conditions = taken.filter_map(|(_, body)| body["status"]["conditions"].as_array());
    for condition in conditions.flatten() {
        let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        let write = (text("status"), text("reason"), text("lastTransitionTime"));
        writes.entry(text("type")).or_default().push(write);
    }
    writes
}

fn check(history: &NodeHistory) {
    let state = history.checkpoint.then(|| TempDir::new().unwrap());
    let server = Arc::new(Mutex::new(Server::new()));
    let mut files = history.files.clone();
    for (number, start) in history.starts.iter().enumerate() {
        prepare(&mut files, start);
        let stood: BTreeMap<String, Value> = {
            let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
            if number == 0 {
                first_standing(&mut server, history, &files);
            }
            server.log.clear();
            server.bodies.clear();
            server.conditions.clone()
        };
        run(&files, start, &server, state.as_ref());
        let server = server.lock().unwrap();
        let writes = writes(&server);
        for r#type in types(&files) {
            let (status, reasons) = expected(&files, &r#type);
            let none = Vec::new();
            let written = writes.get(&*r#type).unwrap_or(&none);
            let stood = stood.get(&*r#type);
            for (wrote, reason, _) in written {
                let healthier = match status {
                    True => wrote != "True",
                    Unknown => wrote == "False",
                    False => false,
                };
                assert!(
                    !healthier,
                    "start {number}: {type} was written {wrote} ({reason}) and is {status} ({reasons:?})"
                );
            }
            let detectors = files.iter().flat_map(|file| &file.detectors);
            let mut detectors = detectors.filter(|detector| detector.condition == r#type);
            let all_check = detectors.clone().all(|detector| detector.delay.is_some());
            if detectors.all(|detector| detector.delay.is_none()) && !history.checkpoint {
                assert!(written.is_empty(), "start {number}: {type}: {written:?}");
            }
            if start.killed_after.is_some() || !all_check {
                continue;
            }
            let shown = &server.conditions[&*r#type];
            assert_eq!(
                shown["status"],
                status.to_string(),
                "start {number}: {type}"
            );
            let reason = shown["reason"].as_str().unwrap();
            assert!(reasons.contains(reason), "start {number}: {type}: {reason}");
            let unchanged = stood.filter(|stood| {
                stood["status"] == shown["status"] && stood["reason"] == shown["reason"]
            });
            // With several reasons one may take another's place for a while.
            if let Some(stood) = unchanged.filter(|_| reasons.len() == 1) {
                let (began, begins) = (&stood["lastTransitionTime"], &shown["lastTransitionTime"]);
                let at = |time: &Value| time.as_str().unwrap().parse::<Timestamp>().unwrap();
                assert_eq!(
                    at(began).as_second(),
                    at(begins).as_second(),
                    "start {number}: {type}"
                );
            }
        }
    }
}

/// Fewer than proptest's own number, unless more are asked for.
fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: asked.and_then(|cases| cases.parse().ok()).unwrap_or(60),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_start_shows_a_sick_node_as_healthy(history in history()) {
        check(&history);
    }
}
