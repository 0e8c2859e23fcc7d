//! Decides which file systems are at fault, from the mount table and the kernel's records.
//!
//! The mount table shows most faults, and their end, but not all: nothing in it says that an XFS was
//! shut down, or, from Linux 6.12 to 6.14, that ext4 stopped writing after an error. So what only a
//! record has reported is remembered as long as the same superblock exists.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fault::Fault;
use super::kernel::{self, Identity};
use super::mounts::{MountAccess, MountTable, Superblock};
use super::saved::SavedFilesystem;
use crate::node::Roots;
use crate::node::block::BlockDevice;

/// The file systems that the mount table shows.
#[derive(Debug)]
pub struct FilesystemState {
    /// Where /proc and /sys are.
    pub roots: Roots,
    backing: BTreeMap<PathBuf, BlockDevice>,
    known: BTreeMap<BlockDevice, WatchedFilesystem>,
    /// What an earlier agent reported about file systems that the mount table has not shown yet.
    saved: Vec<SavedFilesystem>,
}

/// The differences from the previous mount table.
#[derive(Debug, Default)]
pub struct FilesystemChanges {
    /// File systems that are gone, or replaced by another one on the device, and their names.
    pub ended: Vec<(BlockDevice, String)>,
    /// Names of file systems that can be written again.
    pub recovered: Vec<String>,
    /// Whether there is a new file system.
    pub begun: bool,
}

/// A file system.
#[derive(Debug)]
pub struct WatchedFilesystem {
    /// Which superblock this is.
    pub identity: Identity,
    /// As the mount table shows it, or has last shown it.
    pub superblock: Superblock,
    /// Whether the table shows it now.
    pub mounted: bool,
    /// Where in the kernel an error was last found in it, if one was reported.
    pub error: Option<String>,
    /// Why it was shut down, if that was reported.
    pub shutdown: Option<String>,
    /// Whether it must be read-only after an error, although the table has never shown that.
    unseen_read_only: bool,
    /// Who made it read-only, if it was writable when it was first seen.
    turned: Option<Fault>,
    /// Whether an earlier agent reported the fault, which has lasted since.
    pub resumed: bool,
    errors: Errors,
}

/// Compares ext4's count of errors with the reports.
#[derive(Debug, Default)]
struct Errors {
    /// What the count should be: as first seen, and one for each report since.
    expected: Option<u64>,
    /// How far the count was ahead when last compared.
    ahead: u64,
}

impl FilesystemState {
    /// Nothing is known yet.
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            backing: BTreeMap::new(),
            known: BTreeMap::new(),
            saved: Vec::new(),
        }
    }

    /// The file systems at fault, also those that the mount table does not show.
    pub fn saved(&self) -> Vec<SavedFilesystem> {
        self.known
            .values()
            .filter_map(WatchedFilesystem::saved)
            .collect()
    }

    /// The same, with what an earlier agent reported about file systems that the mount table will show.
    #[must_use]
    pub fn with_saved(mut self, saved: Vec<SavedFilesystem>) -> Self {
        self.saved = saved;
        self
    }

    /// Compares with the mount table as it is now.
    pub fn observe(&mut self, table: MountTable) -> FilesystemChanges {
        let mut changes = FilesystemChanges::default();
        self.known.retain(|device, filesystem| {
            let mounted = table.superblocks.contains_key(device);
            if std::mem::replace(&mut filesystem.mounted, mounted) && !mounted {
                changes
                    .ended
                    .push((*device, filesystem.identity.name.clone()));
            }
            // After an unmount here, a broken superblock may still exist in a container or because of
            // an open file. The next mount of the device would then use the same broken superblock.
            filesystem.mounted || filesystem.is_remembered(&self.roots, *device)
        });
        for (device, superblock) in &table.superblocks {
            let identity = Identity::read(&self.roots, *device, superblock);
            match self.known.get_mut(device) {
                Some(filesystem) if filesystem.identity == identity => {
                    let was_restricted = filesystem.superblock.access != MountAccess::Writable;
                    filesystem.update(superblock);
                    let is_well =
                        superblock.access == MountAccess::Writable && filesystem.fault().is_none();
                    if was_restricted && is_well {
                        changes.recovered.push(identity.name);
                    }
                }
                _ => {
                    changes.begun = true;
                    let of_this = |saved: &SavedFilesystem| saved.identity == identity;
                    let saved = self.saved.iter().position(of_this);
                    let saved = saved.map(|index| self.saved.swap_remove(index));
                    let mut filesystem =
                        WatchedFilesystem::new(identity, superblock.clone(), &self.roots);
                    if let Some(saved) = saved {
                        filesystem.resume(saved);
                    }
                    let before = self.known.insert(*device, filesystem);
                    if let Some(before) = before.filter(|before| before.mounted) {
                        changes.ended.push((*device, before.identity.name));
                    }
                }
            }
        }
        self.backing = table.backing;
        changes
    }

    /// The file system on `device`, if the mount table shows it.
    pub fn get(&self, device: BlockDevice) -> Option<&WatchedFilesystem> {
        self.known.get(&device).filter(|known| known.mounted)
    }

    /// Every file system that the mount table shows.
    pub fn iter(&self) -> impl Iterator<Item = (BlockDevice, &WatchedFilesystem)> {
        let known = self.known.iter().map(|(device, known)| (*device, known));
        known.filter(|(_, known)| known.mounted)
    }

    /// Whether a file system on the device of this name is mounted, or may exist without being shown.
    pub fn knows(&self, name: &str) -> bool {
        self.known.values().any(|known| known.identity.name == name)
    }

    /// The kernel reported an error, found at `place`.
    pub fn reported_error(&mut self, device: BlockDevice, place: String) {
        if let Some(known) = self.known.get_mut(&device) {
            known.errors.expected = known.errors.expected.map(|count| count + 1);
            known.found_error(place, &self.roots);
        }
    }

    /// The kernel reported a shutdown.
    pub fn reported_shutdown(&mut self, device: BlockDevice, cause: String) {
        if let Some(known) = self.known.get_mut(&device) {
            known.shutdown = Some(cause);
        }
    }

    /// Compares ext4's own counts of errors with the reports, and returns how many were not reported.
    /// With `patient`, an error counts as missed only if its report is missing twice in a row, because
    /// the report may come soon.
    pub fn count_errors(&mut self, patient: bool) -> Vec<(BlockDevice, u64)> {
        let mounted = self.known.iter_mut().filter(|(_, known)| known.mounted);
        let counted =
            mounted.map(|(device, known)| (*device, known.count_errors(patient, &self.roots)));
        counted.filter(|(_, missed)| *missed > 0).collect()
    }

    /// Whether `device` contains one of `paths`; true if there are no paths.
    pub fn backs(&self, device: BlockDevice, paths: &[PathBuf]) -> bool {
        paths.is_empty()
            || paths
                .iter()
                .any(|path| self.backing.get(path) == Some(&device))
    }
}

impl WatchedFilesystem {
    fn new(identity: Identity, superblock: Superblock, roots: &Roots) -> Self {
        // If someone mounts a file system read-only, every mount of it is read-only too (except after
        // `remount,bind,rw`). Here they are not, so the kernel did it before the first check. This
        // holds only for file systems that know `errors=remount-ro`: others, such as squashfs, may
        // always be read-only.
        let by_kernel = superblock.access == MountAccess::ReadOnly
            && superblock.read_only_mounts < superblock.mounts
            && kernel::remounts_on_error(roots, &identity.name, &superblock);
        Self {
            identity,
            superblock,
            mounted: true,
            error: None,
            shutdown: None,
            unseen_read_only: false,
            turned: by_kernel.then_some(Fault::ReadOnly),
            resumed: false,
            errors: Errors::default(),
        }
    }

    fn update(&mut self, now: &Superblock) {
        let before = std::mem::replace(&mut self.superblock, now.clone());
        match now.access {
            MountAccess::Writable => self.turned = None,
            MountAccess::ReadOnly if before.access == MountAccess::Writable => {
                // `mount -o remount,ro` marks mount and superblock; the kernel only the latter.
                let remounted = now.read_only_mounts > before.read_only_mounts;
                self.turned = Some(if remounted {
                    Fault::RemountedReadOnly
                } else {
                    Fault::ReadOnly
                });
            }
            MountAccess::ReadOnly | MountAccess::Emergency | MountAccess::Shutdown => {}
        }
        if now.access != MountAccess::Writable {
            // This kernel shows the fault, and will also show its end.
            self.unseen_read_only = false;
        }
        self.resumed &= self.fault().is_some();
    }

    fn count_errors(&mut self, patient: bool, roots: &Roots) -> u64 {
        let name = &self.identity.name;
        let Some(count) = kernel::error_count(roots, name, &self.superblock) else {
            return 0;
        };
        let Errors { expected, ahead } = &mut self.errors;
        let before = *ahead;
        let wanted = expected.get_or_insert(count);
        *ahead = count.saturating_sub(*wanted);
        let missed = if patient { before.min(*ahead) } else { *ahead };
        *ahead -= missed;
        *wanted += missed;
        if !patient {
            // The count may have been reset. If there are reports, a report may be ahead of the count
            // instead.
            *wanted = count;
        }
        if missed > 0 {
            self.found_error(kernel::last_error(roots, &self.identity.name), roots);
        }
        missed
    }

    fn found_error(&mut self, place: String, roots: &Roots) {
        self.error = Some(place);
        self.unseen_read_only |= self.superblock.access == MountAccess::Writable
            && kernel::remounts_on_error(roots, &self.identity.name, &self.superblock);
    }

    fn saved(&self) -> Option<SavedFilesystem> {
        Some(SavedFilesystem {
            identity: self.identity.clone(),
            fault: self.fault()?,
            error: self.error.clone(),
            shutdown: self.shutdown.clone(),
            unseen_read_only: self.unseen_read_only,
            turned: self.turned,
        })
    }

    /// Continues with what an earlier agent knew about the same file system.
    fn resume(&mut self, saved: SavedFilesystem) {
        // Without an instance, another file system on the device looks the same.
        let surely = self.identity.instance.is_some();
        // If someone has mounted it read-only on purpose, every mount of it is read-only.
        let superblock = &self.superblock;
        let writable_mounts = superblock.read_only_mounts < superblock.mounts;
        let lasts = |turned: &Fault| {
            superblock.access == MountAccess::ReadOnly
                && (surely || writable_mounts || *turned == Fault::RemountedReadOnly)
        };
        self.turned = saved.turned.filter(lasts).or(self.turned);
        self.unseen_read_only = surely && saved.unseen_read_only;
        self.shutdown = saved.shutdown.filter(|_| surely);
        self.error = saved.error.filter(|_| surely);
        self.resumed = self.fault() == Some(saved.fault);
    }

    /// Its fault now, if it has one.
    pub fn fault(&self) -> Option<Fault> {
        match self.superblock.access {
            MountAccess::Shutdown => Some(Fault::Shutdown),
            _ if self.shutdown.is_some() => Some(Fault::Shutdown),
            MountAccess::Emergency => Some(Fault::ReadOnly),
            _ if self.unseen_read_only => Some(Fault::ReadOnly),
            MountAccess::ReadOnly => self.turned,
            MountAccess::Writable => None,
        }
    }

    /// Whether it must be remembered although the mount table does not show it.
    fn is_remembered(&self, roots: &Roots, device: BlockDevice) -> bool {
        (self.shutdown.is_some() || self.unseen_read_only)
            && self.identity.instance.is_some()
            && Identity::read(roots, device, &self.superblock) == self.identity
    }
}
