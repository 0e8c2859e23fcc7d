//! Reports the findings of a source. Every source does it in the same way.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use crate::kernel_text;
use crate::problem::{Finding, OccurrenceId, Witness};
use crate::reporter::Reporter;

/// Reports what a rule set has found in `source`. After a restart, an entry is recognised by its
/// number, or else by its time.
pub(super) async fn report(
    reporter: &Reporter,
    source: &Arc<str>,
    entry: Option<u64>,
    findings: Vec<Finding>,
) -> anyhow::Result<()> {
    for mut finding in findings {
        let is_of_kernel = finding.witness == Witness::KernelText;
        let incident = is_of_kernel.then(|| kernel_text::incident(&finding));
        let incident = incident.flatten().map(|incident| incident.found);
        finding.occurrence = Some(OccurrenceId {
            source: Some(Arc::clone(source)),
            found: incident.unwrap_or_else(|| hash(&finding, entry)),
        });
        reporter.found(finding).await?;
    }
    Ok(())
}

/// A hash that is the same if the same is found when the source is read again.
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
