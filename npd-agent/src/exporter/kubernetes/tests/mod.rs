//! Tests of the exporter with an API server. They compare which requests are made, and when.

mod conditions;
mod events;
mod failures;
mod fates;
pub(crate) mod lab;
mod outages;
mod samples;
pub(crate) mod server;

use expect_test::Expect;
use serde_json::Value;

use self::lab::Lab;

#[track_caller]
fn check(lab: &Lab, expect: &Expect) {
    expect.assert_eq(&lab.story());
}

/// Removes from a body what differs from run to run.
#[track_caller]
fn check_body(body: Option<&Value>, expect: &Expect) {
    let mut body = body.unwrap().clone();
    if let Some(name) = body.pointer_mut("/metadata/name") {
        let (object, nanoseconds) = name.as_str().unwrap().rsplit_once('.').unwrap();
        u64::from_str_radix(nanoseconds, 16).unwrap();
        *name = format!("{object}.…").into();
    }
    for index in 0..4 {
        if let Some(time) =
            body.pointer_mut(&format!("/status/conditions/{index}/lastHeartbeatTime"))
        {
            let seconds = time.as_str().unwrap();
            assert_eq!(seconds.len(), "2026-01-01T00:00:00Z".len(), "{seconds}");
            *time = "…".into();
        }
    }
    expect.assert_eq(&serde_json::to_string_pretty(&body).unwrap());
}
