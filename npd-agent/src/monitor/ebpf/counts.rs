//! The counts of programs in the kernel, for things that happen too often to send a record each time.

use std::collections::BTreeMap;

use tracing::warn;

use super::load::ProgramsHandle;

/// The counts of a probe's programs, in a map of theirs.
///
/// The map is a per-CPU hash. A key is what the programs count separately. A value is two numbers: the
/// count, and one for the programs themselves.
#[derive(Clone)]
pub struct KernelCounts {
    programs: Option<ProgramsHandle>,
    map: &'static str,
}

impl KernelCounts {
    /// The counts in `map`; none if the programs are not loaded.
    pub(super) fn new(programs: Option<ProgramsHandle>, map: &'static str) -> Self {
        Self { programs, map }
    }

    /// How often each key was counted since the programs were loaded, or since it was forgotten.
    pub fn read(&self) -> BTreeMap<u64, u64> {
        let Some(programs) = &self.programs else {
            return BTreeMap::new();
        };
        let counts = programs.lock().counts(self.map);
        counts.unwrap_or_else(|error| {
            let error = format!("{error:#}");
            warn!(
                map = self.map,
                error, "Counts in the kernel could not be read"
            );
            BTreeMap::new()
        })
    }

    /// Makes room for another key.
    pub fn forget(&self, key: u64) {
        if let Some(programs) = &self.programs {
            // A key that is not there needs no room.
            let _removed = programs.lock().forget_count(self.map, key);
        }
    }
}
