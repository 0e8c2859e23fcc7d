//! When everything is read that was in the log at the start.

use super::*;

impl KmsgBench {
    /// The messages that were found, and when it was reported that everything is read.
    fn story(&mut self) -> Vec<String> {
        let reports = std::iter::from_fn(|| self.reports.try_recv().ok());
        let words = reports.filter_map(|report| match report {
            Report::Finding(finding) => Some(finding.message),
            Report::Checked { monitor, detector } => Some(format!("{monitor}: {detector} checked")),
            _ => None,
        });
        words.collect()
    }
}

#[tokio::test]
async fn the_first_check_ends_after_all_that_was_there() {
    let mut bench = KmsgBench::new(&[BAD, BAD]);
    let text = "6,1,1,-;bad one\n6,2,2,-;bad two";
    assert!(bench.read(recorded(text)).await.is_err());
    let checked = ["one.json: log checked", "two.json: log checked"];
    let mut expect = vec!["bad one", "bad one", "bad two", "bad two"];
    expect.extend(checked);
    assert_eq!(bench.story(), expect);
    // It is reported only once.
    assert!(bench.read(recorded("6,3,3,-;bad three")).await.is_err());
    assert_eq!(bench.story(), ["bad three", "bad three"]);
    // A flood has no end, but its records were not there before.
    let mut bench = KmsgBench::new(&[BAD]);
    let text = "6,1,1,-;bad one\n6,2,1000000000,-;bad two\n6,3,1000000001,-;bad three";
    assert!(bench.read(recorded(text)).await.is_err());
    let expect = ["bad one", "bad two", checked[0], "bad three"];
    assert_eq!(bench.story(), expect);
}
