use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::TimeLayout;
use crate::go::tests::vectors;

const SYSLOG: &str = "Jan _2 15:04:05";

#[test]
fn reads_what_go_reads() {
    for row in vectors::read("layout.tsv") {
        let [layout, text, zone, expected] = row.fields();
        let layout = TimeLayout::new(layout);
        let ours = match layout.parse(text) {
            Err(error) => error.to_string(),
            Ok(parsed) if parsed.civil.year() == 0 => parsed
                .civil
                .to_string()
                .trim_start_matches("0000-")
                .to_owned(),
            Ok(parsed) => {
                let timestamp = parsed
                    .to_timestamp(&zone_named(zone), Timestamp::MAX)
                    .unwrap();
                let nanoseconds = timestamp.as_nanosecond();
                let second = nanoseconds.div_euclid(1_000_000_000);
                format!("{second}.{:09}", nanoseconds.rem_euclid(1_000_000_000))
            }
        };
        assert_eq!(ours, expected, "{row}");
    }
}

/// The present rules of a zone, for machines without a time zone database.
fn zone_named(name: &str) -> TimeZone {
    let rules = match name {
        "UTC" => "UTC0",
        "Europe/Berlin" => "CET-1CEST,M3.5.0,M10.5.0/3",
        "America/New_York" => "EST5EDT,M3.2.0,M11.1.0",
        "America/Sao_Paulo" => "<-03>3",
        "Asia/Kolkata" => "IST-5:30",
        _ => panic!("no rules for {name}"),
    };
    TimeZone::posix(rules).unwrap()
}

#[track_caller]
fn check(layout: &str, text: &str, zone: &str, now: &str, expected: &str) {
    let layout = TimeLayout::new(layout);
    let parsed = layout.parse(text).unwrap();
    let timestamp = parsed
        .to_timestamp(&zone_named(zone), now.parse().unwrap())
        .unwrap();
    assert_eq!(
        timestamp.to_string(),
        expected,
        "{text} in {zone}, read at {now}"
    );
}

#[test]
fn finds_the_year_that_a_line_leaves_out() {
    let utc = |text, now, expected| check(SYSLOG, text, "UTC", now, expected);
    utc(
        "Nov 24 12:00:00",
        "2026-11-24T12:00:01Z",
        "2026-11-24T12:00:00Z",
    );
    utc(
        "Jan  1 00:00:00",
        "2026-11-24T12:00:00Z",
        "2026-01-01T00:00:00Z",
    );
    // The writer's clock may be ahead, but not by more than a day.
    utc(
        "Nov 25 12:00:00",
        "2026-11-24T12:00:00Z",
        "2026-11-25T12:00:00Z",
    );
    utc(
        "Nov 25 12:00:01",
        "2026-11-24T12:00:00Z",
        "2025-11-25T12:00:01Z",
    );
    // New year.
    utc(
        "Dec 31 23:59:59",
        "2027-01-01T00:00:01Z",
        "2026-12-31T23:59:59Z",
    );
    utc(
        "Jan  1 00:00:01",
        "2026-12-31T23:59:59Z",
        "2027-01-01T00:00:01Z",
    );
    utc(
        "Jan  2 00:00:01",
        "2026-12-31T23:59:59Z",
        "2026-01-02T00:00:01Z",
    );
    // A leap day, also one whose century has none.
    utc(
        "Feb 29 12:00:00",
        "2028-02-29T12:00:00Z",
        "2028-02-29T12:00:00Z",
    );
    utc(
        "Feb 29 12:00:00",
        "2027-03-01T12:00:00Z",
        "2024-02-29T12:00:00Z",
    );
    utc(
        "Feb 29 12:00:00",
        "2103-12-31T12:00:00Z",
        "2096-02-29T12:00:00Z",
    );
    // New year where it is not midnight in UTC.
    let local = |text, now, expected| check(SYSLOG, text, "America/New_York", now, expected);
    local(
        "Dec 31 23:59:59",
        "2027-01-01T05:00:01Z",
        "2027-01-01T04:59:59Z",
    );
    local(
        "Jan  1 00:00:00",
        "2027-01-01T05:00:01Z",
        "2027-01-01T05:00:00Z",
    );
    check(
        "Jan 2 15:04 -0700",
        "Dec 31 23:00 -0500",
        "UTC",
        "2027-01-01T05:00:00Z",
        "2027-01-01T04:00:00Z",
    );
}

#[test]
fn takes_the_latest_past_one_of_two_instants() {
    let berlin =
        |text, now, expected| check("2006-01-02 15:04", text, "Europe/Berlin", now, expected);
    // Clocks are set back from 3:00 to 2:00 at 1:00 UTC.
    berlin(
        "2026-10-25 02:30",
        "2026-10-25T00:31:00Z",
        "2026-10-25T00:30:00Z",
    );
    berlin(
        "2026-10-25 02:30",
        "2026-10-25T01:31:00Z",
        "2026-10-25T01:30:00Z",
    );
    // Clocks are set forward from 2:00 to 3:00 at 1:00 UTC.
    berlin(
        "2026-03-29 02:30",
        "2026-03-29T02:00:00Z",
        "2026-03-29T01:30:00Z",
    );
}

#[test]
fn knows_zones_that_are_named_by_their_hours() {
    let named = |text, expected| {
        check(
            "2006-01-02 15 MST",
            text,
            "Europe/Berlin",
            "2026-11-24T00:00:00Z",
            expected,
        );
    };
    named("2026-11-24 12 +03", "2026-11-24T09:00:00Z");
    named("2026-11-24 12 -11", "2026-11-24T23:00:00Z");
    named("2026-11-24 12 GMT+3", "2026-11-24T09:00:00Z");
    // The second of the two hours, and an abbreviation that is not used at that time of the year.
    named("2026-10-25 02 CET", "2026-10-25T01:00:00Z");
    named("2026-11-24 12 CEST", "2026-11-24T10:00:00Z");
}

#[test]
fn fails_beyond_the_end_of_time() {
    let layout = TimeLayout::new("2006-01-02");
    let parsed = layout.parse("9999-12-31").unwrap();
    assert!(
        parsed
            .to_timestamp(&TimeZone::UTC, Timestamp::UNIX_EPOCH)
            .is_err()
    );
}

proptest! {
    #[test]
    fn no_layout_and_no_text_panics(
        layout in r"(2006|06|Jan|January|Mon|01|1|_2|02|002|__2|15|03|3|04|05|5|\.000|\.999|PM|-0700|-07:00|Z07:00|MST|[-:/,. Té0-9]){0,8}",
        text in r"([0-9]{1,4}|Jan|February|Mon|PM|[+-][0-9]{2}:?[0-9]{2}|Z|CEST|GMT[+-][0-9]|[-:/,. Té]){0,10}",
        now in -100_000_000_000_i64..200_000_000_000,
    ) {
        let layout = TimeLayout::new(&layout);
        match layout.parse(&text) {
            Ok(parsed) => {
                let now = Timestamp::from_second(now).unwrap();
                let timestamp = parsed.to_timestamp(&zone_named("Europe/Berlin"), now);
                if parsed.civil.year() == 0 {
                    prop_assert!(timestamp.unwrap() <= now + jiff::SignedDuration::from_hours(24));
                }
            }
            Err(error) => prop_assert!(error.to_string().starts_with("parsing time \"")),
        }
    }

    #[test]
    fn reads_every_second_back(second in 0_i64..4_000_000_000) {
        let written = Timestamp::from_second(second).unwrap();
        let zone = zone_named("America/New_York");
        let text = written.to_zoned(zone.clone()).strftime("%b %e %H:%M:%S").to_string();
        let layout = TimeLayout::new(SYSLOG);
        // A line that is read at once, also in the hour that occurs twice.
        prop_assert_eq!(layout.parse(&text).unwrap().to_timestamp(&zone, written).unwrap(), written);
    }
}
