//! `memory`: what the memory is used for.

use std::collections::HashMap;

use super::metric::{Collect, Label, Metric, Sample};
use crate::node::Roots;
use crate::node::files::read;

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "memory/bytes_used",
        "memory_bytes_used",
        &["state"],
        "Memory usage by each memory state, in Bytes. Summing values of all states yields the \
         total memory on the node.",
    ),
    Metric::gauge(
        "memory/percent_used",
        "memory_percent_used",
        &["state"],
        "Memory usage in percentage of total memory.",
    ),
    Metric::gauge(
        "memory/anonymous_used",
        "memory_anonymous_used",
        &["state"],
        "Anonymous memory usage, in Bytes. Summing values of all states yields the total \
         anonymous memory used.",
    ),
    Metric::gauge(
        "memory/page_cache_used",
        "memory_page_cache_used",
        &["state"],
        "Page cache memory usage, in Bytes. Summing values of all states yields the total \
         anonymous memory used.",
    ),
    Metric::gauge(
        "memory/unevictable_used",
        "memory_unevictable_used",
        &[],
        "Unevictable memory usage, in Bytes",
    ),
    Metric::gauge(
        "memory/dirty_used",
        "memory_dirty_used",
        &["state"],
        "Dirty pages usage, in Bytes. Dirty means the memory is waiting to be written back to \
         disk, and writeback means the memory is actively being written back to disk.",
    ),
];

/// The series that come from one field of `/proc/meminfo`: metric, state, field.
const FIELDS: &[(&str, &str, &str)] = &[
    ("memory/bytes_used", "free", "MemFree"),
    ("memory/bytes_used", "buffered", "Buffers"),
    ("memory/bytes_used", "cached", "Cached"),
    ("memory/bytes_used", "slab", "Slab"),
    ("memory/anonymous_used", "active", "Active(anon)"),
    ("memory/anonymous_used", "inactive", "Inactive(anon)"),
    ("memory/page_cache_used", "active", "Active(file)"),
    ("memory/page_cache_used", "inactive", "Inactive(file)"),
    ("memory/dirty_used", "dirty", "Dirty"),
    ("memory/dirty_used", "writeback", "Writeback"),
];

/// Reads `/proc/meminfo`. procfs's parser requires fields that NPD does not need. Here, a missing field
/// only skips its series.
pub struct MemoryCollector;

impl Collect for MemoryCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let text = read(&roots.proc.join("meminfo"))?;
        let fields: HashMap<&str, u64> = text.lines().filter_map(field).collect();
        for (id, state, name) in FIELDS {
            if let Some(bytes) = fields.get(name) {
                sample.count(id, [Label::from(*state)], *bytes);
            }
        }
        if let Some(bytes) = fields.get("Unevictable") {
            sample.count("memory/unevictable_used", [], *bytes);
        }
        if let Some((used, total)) = used(&fields) {
            let label = [Label::from("used")];
            sample.count("memory/bytes_used", label.clone(), used);
            sample.percent("memory/percent_used", label, used, total);
        }
        Ok(())
    }
}

/// `Name:   123 kB` → bytes.
fn field(line: &str) -> Option<(&str, u64)> {
    let (name, value) = line.split_once(':')?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    Some((name, kib.saturating_mul(1024)))
}

fn used(fields: &HashMap<&str, u64>) -> Option<(u64, u64)> {
    let total = *fields.get("MemTotal")?;
    let mut used = total;
    for name in ["MemFree", "Buffers", "Cached", "Slab"] {
        used = used.saturating_sub(*fields.get(name)?);
    }
    Some((used, total))
}
