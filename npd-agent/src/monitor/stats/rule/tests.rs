//! What a rule reports of series that change.

use super::*;
use crate::monitor::stats::metric::{Label, WantedMetric, WantedMetrics};
use crate::problem::ConditionStatus::{False, True};

const METRIC: Metric = Metric::gauge(
    "disk/percent_used",
    "disk_percent_used",
    &["device_name"],
    "",
);

fn rule() -> StatsRule {
    StatsRule {
        problem: Arc::new(Problem {
            reason: Arc::from("DiskFull"),
            condition: None,
            message_is_news: false,
            metrics: true,
            inert: false,
            advice: None,
        }),
        metric: &METRIC,
        labels: Vec::new(),
        bounds: Bounds {
            above: Some(90.0),
            ..Bounds::default()
        },
        histories: BTreeMap::new(),
        lasting: Duration::from_mins(1),
        state: BTreeMap::new(),
        first_result: FirstResult::None,
    }
}

/// A sample with these disks.
fn disks(percent_used: &[(&str, f64)]) -> Sample {
    let want = WantedMetric {
        metric: &METRIC,
        name: None,
    };
    let mut sample = Sample::new(&WantedMetrics::from([(METRIC.id, want)]));
    for (disk, value) in percent_used {
        sample.set(METRIC.id, [Label::from(*disk)], *value);
    }
    sample
}

fn sda(value: f64) -> Sample {
    disks(&[("sda", value)])
}

/// A sample without any series, because the collection failed.
fn failed() -> Sample {
    let mut sample = disks(&[]);
    sample.error = Some(anyhow::anyhow!("no answer"));
    sample
}

#[test]
fn a_problem_is_reported_when_it_has_lasted_and_when_it_is_over() {
    let (mut rule, start) = (rule(), Instant::now());
    let mut at = |minutes, sample: &Sample| {
        let changes = rule.evaluate(sample, start + Duration::from_mins(minutes));
        changes
            .into_iter()
            .map(|change| (change.present, change.message))
            .collect::<Vec<_>>()
    };
    let reported = |present, message: &str| {
        vec![(
            present,
            format!("disk/percent_used{{device_name=\"sda\"}} is {message}"),
        )]
    };
    assert_eq!(at(0, &sda(95.0)), []);
    assert_eq!(at(1, &sda(96.5)), reported(True, "96.5, above 90"));
    assert_eq!(at(2, &sda(97.0)), []);
    // If a series cannot be read, its state does not change.
    assert_eq!(at(3, &failed()), []);
    assert_eq!(at(4, &sda(50.0)), reported(False, "within bounds"));
    assert_eq!(at(5, &sda(91.0)), []);
    assert_eq!(at(6, &sda(50.0)), []);
    assert_eq!(at(7, &sda(91.0)), []);
    assert_eq!(at(8, &sda(91.0)), reported(True, "91, above 90"));
    // The disk was removed, so it cannot be too full.
    assert_eq!(at(9, &disks(&[])), reported(False, "within bounds"));
}

/// The first result after each of these samples, a minute apart.
#[track_caller]
fn check_first_results(samples: &[Sample], expect: &[FirstResult]) {
    let (mut rule, start) = (rule(), Instant::now());
    let results = samples.iter().zip(0..).map(|(sample, minutes)| {
        rule.evaluate(sample, start + Duration::from_mins(minutes));
        rule.first_result
    });
    assert_eq!(results.collect::<Vec<_>>(), expect);
}

#[test]
fn there_is_a_result_when_nothing_is_about_to_be_a_problem() {
    use FirstResult::{Empty, None, Reached};
    check_first_results(&[sda(50.0), failed()], &[Reached, Reached]);
    check_first_results(&[failed(), sda(50.0)], &[None, Reached]);
    // It may have been full for hours.
    check_first_results(&[sda(95.0), sda(95.0)], &[None, Reached]);
    check_first_results(&[sda(95.0), sda(50.0)], &[None, Reached]);
    // A difference has no first value.
    check_first_results(
        &[disks(&[]), sda(95.0), sda(95.0)],
        &[Empty, Empty, Reached],
    );
    check_first_results(&[disks(&[]), disks(&[])], &[Empty, Reached]);
}

#[test]
fn other_labels_are_no_concern() {
    let mut rule = StatsRule {
        labels: vec![(0, "sdb".to_owned())],
        lasting: Duration::ZERO,
        ..rule()
    };
    let changes = rule.evaluate(&disks(&[("sda", 99.0), ("sdb", 98.0)]), Instant::now());
    let series: Vec<_> = changes.iter().map(|change| &*change.series).collect();
    assert_eq!(series, ["disk/percent_used{device_name=\"sdb\"}"]);
}
