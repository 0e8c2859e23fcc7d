//! Turns a parsed time into an instant.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, AmbiguousTimestamp, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::{Abbreviation, Parsed, Zone};

/// Clocks differ, but not by more than this. A time that is later is from the year before.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// How many changes of a zone, before and after the time, are searched for an abbreviation.
const NEAR: usize = 4;

impl Parsed {
    /// The instant of a text that was written not long before `now`.
    ///
    /// * A time without a zone is in `zone`.
    /// * A time without a year is the latest one that is at most a day after `now`. NPD takes the current
    ///   year, which is wrong for December's lines in January.
    /// * A local time that occurs twice, because clocks are set back, is the later one, unless that is in
    ///   the future.
    /// * A local time that is skipped, because clocks are set forward, is later by the skipped hour.
    ///
    /// Fails for times at the very end of the year 9999.
    pub fn to_timestamp(&self, zone: &TimeZone, now: Timestamp) -> Result<Timestamp, jiff::Error> {
        if self.civil.year() != 0 {
            return self.resolve(self.civil, zone, now);
        }
        let latest = now.saturating_add(AHEAD)?;
        // No zone differs from UTC by a day, and leap days are at most eight years apart.
        let year = Offset::UTC
            .to_datetime(latest.saturating_add(AHEAD)?)
            .year();
        (year - 8..=year)
            .rev()
            .filter_map(|year| self.civil.with().year(year).build().ok())
            .filter_map(|civil| self.resolve(civil, zone, now).ok())
            .find(|timestamp| *timestamp <= latest)
            .map_or_else(|| self.resolve(self.civil, zone, now), Ok)
    }

    fn resolve(
        &self,
        civil: DateTime,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Timestamp, jiff::Error> {
        match self.zone {
            Zone::Offset(offset) => offset.to_timestamp(civil),
            Zone::Named(name) => offset_of(name, zone, civil)?.to_timestamp(civil),
            Zone::Local => {
                let ambiguous = zone.to_ambiguous_timestamp(civil);
                match ambiguous.later() {
                    Ok(later) if is_twice(ambiguous) && later <= now => Ok(later),
                    _ => ambiguous.compatible(),
                }
            }
        }
    }
}

fn is_twice(time: AmbiguousTimestamp) -> bool {
    matches!(time.offset(), AmbiguousOffset::Fold { .. })
}

/// The offset of an abbreviation in a zone at about this time. UTC if the zone does not have it, as in
/// Go.
fn offset_of(name: Abbreviation, zone: &TimeZone, civil: DateTime) -> Result<Offset, jiff::Error> {
    let near = zone.to_timestamp(civil)?;
    let info = zone.to_offset_info(near);
    if info.abbreviation().as_bytes() == name.as_bytes() {
        return Ok(info.offset());
    }
    // A zone changes twice a year, so the change before the last one gives the other half of the year.
    let around = zone
        .preceding(near)
        .take(NEAR)
        .chain(zone.following(near).take(NEAR));
    let known = around
        .into_iter()
        .find(|at| at.abbreviation().as_bytes() == name.as_bytes());
    Ok(known.map_or(Offset::UTC, |at| at.offset()))
}
