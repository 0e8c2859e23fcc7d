//! What every source does with what its rules have found.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::problem::{Finding, OccurrenceId};
use crate::reporter::Reporter;

/// Hands over what a rule set has found in `source`. An entry is known again by its number, or else
/// by its time.
pub(super) async fn report(
    reporter: &Reporter,
    source: &Arc<str>,
    entry: Option<u64>,
    findings: Vec<Finding>,
) -> anyhow::Result<()> {
    for mut finding in findings {
        finding.occurrence = Some(OccurrenceId {
            source: Arc::clone(source),
            found: hash(&finding, entry),
        });
        reporter.found(finding).await?;
    }
    Ok(())
}

/// The same for what is found again when the source is read again.
fn hash(finding: &Finding, entry: Option<u64>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match entry {
        Some(number) => number.hash(&mut hasher),
        None => finding.timestamp.hash(&mut hasher),
    }
    (&finding.monitor, &finding.problem.reason, &finding.message).hash(&mut hasher);
    (&finding.claimant, finding.present as u8).hash(&mut hasher);
    hasher.finish()
}
