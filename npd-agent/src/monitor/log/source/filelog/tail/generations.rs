//! Finds the earlier generations of a log file, such as `log.1`, and decides what to read next.
//!
//! Two things make this difficult. Rotation may run at the same time, so a name may belong to another
//! file a moment later. And with `copytruncate` there is a moment in which the copy exists and the
//! original is not yet truncated, so the same lines are in both.

use std::fs::{self, File, Metadata};
use std::io;
use std::ops::RangeBounds;
use std::time::Instant;

use super::super::fingerprint::Fingerprint;
use super::super::rotation::{Rotated, generations, written};
use super::open::{OpenFile, open, open_listed};
use super::{Retired, Tail};

/// How often the generations are listed again if rotation has renamed them meanwhile.
const TRIES: usize = 100;

impl Tail {
    /// Finds copies of the current file if nothing of it was read yet.
    ///
    /// The file may have been filled, copied and truncated since the last check. It is then empty as
    /// before, and only its modification time has changed.
    pub(super) fn queue_copies(&mut self) -> io::Result<()> {
        let Some(mut named) = self
            .queue
            .pop_front_if(|open| open.fingerprint.is_unknown())
        else {
            return Ok(());
        };
        let now = written(&named.file.metadata()?);
        let since = std::mem::replace(&mut named.fingerprint.written, now);
        if since == now || !self.queue.is_empty() {
            self.queue.push_front(named);
            return Ok(());
        }
        self.enqueue_generations(since..=now, Some(named))
    }

    /// The generation that now contains what was read up to `fingerprint`. Renamed files are tried first.
    pub(super) fn find(&self, fingerprint: &Fingerprint) -> io::Result<Option<OpenFile>> {
        self.stable(|generations| {
            let renamed = generations
                .iter()
                .filter(|found| fingerprint.is_of(&found.metadata));
            let copies = generations
                .iter()
                .filter(|found| !fingerprint.is_of(&found.metadata));
            for rotated in renamed.chain(copies) {
                let Some(file) = open_listed(rotated)? else {
                    return Ok(None);
                };
                if let Some(fingerprint) = fingerprint.found_in(&file)? {
                    return Ok(Some(Some(OpenFile { file, fingerprint })));
                }
            }
            Ok(Some(None))
        })
    }

    /// Queues the generations with a modification time in `then`, and then the file at the path.
    pub(super) fn enqueue(&mut self, then: impl RangeBounds<(i64, i64)>) -> io::Result<()> {
        let named = self.open_named()?;
        self.enqueue_generations(then, named)
    }

    /// The file at the path, unless it is already open.
    pub(super) fn open_named(&self) -> io::Result<Option<OpenFile>> {
        match open(&self.path)? {
            Some(file) if !self.is_open(&file.metadata()?) => {
                OpenFile::at_beginning(file).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Queues the generations with a modification time in `then`, each at the position up to which it
    /// was read, and then `named`, the file at the path, of which nothing was read.
    fn enqueue_generations(
        &mut self,
        then: impl RangeBounds<(i64, i64)>,
        mut named: Option<OpenFile>,
    ) -> io::Result<()> {
        let is_named = |metadata: &Metadata| {
            named
                .as_ref()
                .is_some_and(|named| named.fingerprint.is_of(metadata))
        };
        let listed = self.stable(|generations| {
            let wanted = generations.iter().filter(|Rotated { metadata, .. }| {
                then.contains(&written(metadata)) && !self.is_open(metadata) && !is_named(metadata)
            });
            let opened = wanted.map(open_listed);
            opened.collect::<io::Result<Option<Vec<_>>>>()
        })?;
        for file in listed {
            let fingerprint = self.past_fingerprint(&file)?;
            if let Some(fingerprint) = fingerprint.filter(|fingerprint| !fingerprint.is_unknown()) {
                self.queue.push_back(OpenFile { file, fingerprint });
                continue;
            }
            // This is a copy of the named file, which is not yet truncated: read the file, not the
            // copy. If the file is truncated before it is read, it no longer has the expected bytes,
            // and then the copy is found and read.
            if let Some(named) = &mut named
                && let Some(end) = copied(&file, &named.file)?
            {
                named.fingerprint.expect(&end);
                continue;
            }
            self.queue.push_back(OpenFile::at_beginning(file)?);
        }
        self.queue.extend(named);
        Ok(())
    }

    /// Opens the generations again that grew after they were read.
    pub(super) fn reopen_past(&mut self, now: Instant) -> io::Result<()> {
        let grown = self.stable(|generations| {
            let mut grown = Vec::new();
            for rotated in generations {
                if self.is_open(&rotated.metadata) {
                    continue;
                }
                let Some(file) = open_listed(rotated)? else {
                    return Ok(None);
                };
                // If nothing was read of it, this may also be a copy that has its inode by now.
                if let Some(fingerprint) = self.past_fingerprint(&file)?
                    && rotated.metadata.len() > fingerprint.position
                    && !(fingerprint.is_unknown() && self.is_copy(&file)?)
                {
                    grown.push(OpenFile { file, fingerprint });
                }
            }
            Ok(Some(grown))
        })?;
        let retired = grown.into_iter().map(|open| Retired { open, grown: now });
        self.retired.extend(retired);
        Ok(())
    }

    /// Whether a file is a copy of one that is being read.
    fn is_copy(&self, file: &File) -> io::Result<bool> {
        for open in &self.queue {
            if copied(file, &open.file)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Calls `visit` with the generations. It returns `None` if one was renamed meanwhile, and is then
    /// called again.
    fn stable<T>(&self, visit: impl Fn(&[Rotated]) -> io::Result<Option<T>>) -> io::Result<T> {
        for _ in 0..TRIES {
            if let Some(found) = visit(&self.generations())? {
                return Ok(found);
            }
        }
        let renamed = "its earlier generations are renamed again and again";
        Err(io::Error::new(io::ErrorKind::ResourceBusy, renamed))
    }

    fn generations(&self) -> Vec<Rotated> {
        // Generations are beside the file itself, not beside a symbolic link to it.
        generations(&fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone()))
    }
}

/// The end of `copy`, if `file` begins with everything that is in `copy`.
fn copied(copy: &File, file: &File) -> io::Result<Option<Fingerprint>> {
    let length = copy.metadata()?.len();
    let end = Fingerprint::at(copy, length)?;
    Ok((length > 0 && end.holds_in(file)?).then_some(end))
}
