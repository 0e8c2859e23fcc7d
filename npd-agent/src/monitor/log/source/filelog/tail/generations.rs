//! What a log file was before, and in which order it is to be read.
//!
//! Rotation goes on while one looks: a name is another file's a moment later, and a copy lies beside
//! a file that is not yet truncated.

use std::fs::{self, File, Metadata};
use std::io;
use std::ops::RangeBounds;
use std::time::Instant;

use super::super::fingerprint::Fingerprint;
use super::super::rotation::{Rotated, generations, written};
use super::open::{OpenFile, open, open_listed};
use super::{Retired, Tail};

/// How often the generations are looked at anew because rotation has renamed them meanwhile.
const TRIES: usize = 100;

impl Tail {
    /// Nothing tells an empty file from one that was filled, copied and truncated, but that it was
    /// written.
    pub(super) fn look_for_copies(&mut self) -> io::Result<()> {
        let Some(mut named) = self.queue.pop_front_if(|open| open.mark.is_unknown()) else {
            return Ok(());
        };
        let now = written(&named.file.metadata()?);
        let since = std::mem::replace(&mut named.mark.written, now);
        if since == now || !self.queue.is_empty() {
            self.queue.push_front(named);
            return Ok(());
        }
        self.enqueue_generations(since..=now, Some(named))
    }

    /// The earlier generation in which `mark` is now.
    pub(super) fn find(&self, mark: &Fingerprint) -> io::Result<Option<OpenFile>> {
        self.stable(|generations| {
            let renamed = generations
                .iter()
                .filter(|found| mark.is_of(&found.metadata));
            let copies = generations
                .iter()
                .filter(|found| !mark.is_of(&found.metadata));
            for rotated in renamed.chain(copies) {
                let Some(file) = open_listed(rotated)? else {
                    return Ok(None);
                };
                if let Some(mark) = mark.found_in(&file)? {
                    return Ok(Some(Some(OpenFile { file, mark })));
                }
            }
            Ok(Some(None))
        })
    }

    /// Adds the generations that were last written then, and the file that now bears the name.
    pub(super) fn enqueue(&mut self, then: impl RangeBounds<(i64, i64)>) -> io::Result<()> {
        let named = self.open_named()?;
        self.enqueue_generations(then, named)
    }

    /// The file that bears the name, unless it is open.
    pub(super) fn open_named(&self) -> io::Result<Option<OpenFile>> {
        match open(&self.path)? {
            Some(file) if !self.is_open(&file.metadata()?) => {
                OpenFile::at_beginning(file).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Adds the generations that were last written then, each from where it was read before, and
    /// then the file that bears the name, of which nothing has been read.
    fn enqueue_generations(
        &mut self,
        then: impl RangeBounds<(i64, i64)>,
        mut named: Option<OpenFile>,
    ) -> io::Result<()> {
        let is_named = |metadata: &Metadata| {
            named
                .as_ref()
                .is_some_and(|named| named.mark.is_of(metadata))
        };
        let listed = self.stable(|generations| {
            let wanted = generations.iter().filter(|Rotated { metadata, .. }| {
                then.contains(&written(metadata)) && !self.is_open(metadata) && !is_named(metadata)
            });
            let opened = wanted.map(open_listed);
            opened.collect::<io::Result<Option<Vec<_>>>>()
        })?;
        for file in listed {
            let mark = self.past_mark(&file)?;
            if let Some(mark) = mark.filter(|mark| !mark.is_unknown()) {
                self.queue.push_back(OpenFile { file, mark });
                continue;
            }
            // A copy was made, and the file is not yet truncated: it is left to the file. If that is
            // truncated before it is read, it is not as expected, and the copy is found.
            if let Some(named) = &mut named
                && let Some(end) = copied(&file, &named.file)?
            {
                named.mark.expect(&end);
                continue;
            }
            self.queue.push_back(OpenFile::at_beginning(file)?);
        }
        self.queue.extend(named);
        Ok(())
    }

    /// Opens those files again that grew after they were read.
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
                // One of which nothing was read may be a copy that has got its inode.
                if let Some(mark) = self.past_mark(&file)?
                    && rotated.metadata.len() > mark.position
                    && !(mark.is_unknown() && self.is_copy(&file)?)
                {
                    grown.push(OpenFile { file, mark });
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

    /// Looks at the generations until none of them is renamed meanwhile: then `look` gives `None`.
    fn stable<T>(&self, look: impl Fn(&[Rotated]) -> io::Result<Option<T>>) -> io::Result<T> {
        for _ in 0..TRIES {
            if let Some(found) = look(&self.generations())? {
                return Ok(found);
            }
        }
        let renamed = "its earlier generations are renamed all the time";
        Err(io::Error::new(io::ErrorKind::ResourceBusy, renamed))
    }

    fn generations(&self) -> Vec<Rotated> {
        // Rotation happens where the file is, not where a symbolic link to it is.
        generations(&fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone()))
    }
}

/// The end of a copy, if all that it holds stands in the file that it is a copy of.
fn copied(copy: &File, file: &File) -> io::Result<Option<Fingerprint>> {
    let length = copy.metadata()?.len();
    let end = Fingerprint::at(copy, length)?;
    Ok((length > 0 && end.holds_in(file)?).then_some(end))
}
