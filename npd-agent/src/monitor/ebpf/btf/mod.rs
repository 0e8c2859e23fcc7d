//! Reads from the kernel's BTF where it keeps the members of its structs.
//!
//! Reads only what the layouts need: named structs, members (also those inside anonymous structs),
//! enumerators and the arguments of functions. Input is bounded and every read is checked. Format:
//! `Documentation/bpf/btf.rst`.
//!
//! Written here because `aya` parses the same data but shows no members, and `btf-rs` is under the
//! LGPL, whose terms are hard to keep in a static binary.

mod stub;

use std::path::Path;

use thiserror::Error;

pub(super) use self::stub::with_function;

/// The BTF of the kernel proper has 6 MiB at most today.
const MAX_BYTES: u64 = 64 << 20;

/// glibc keeps freed memory up to twice the largest block that was ever freed, but does not count
/// blocks of more than 32 MiB. Memory that is never written costs nothing.
const NEVER_KEPT: usize = 33 << 20;

/// How deep anonymous structs and chains of qualifiers are followed.
const MAX_DEPTH: usize = 16;

const HEADER_BYTES: usize = 24;
const TYPE_BYTES: usize = 12;
const MAGIC: u32 = 0xeb9f;

/// Why something could not be read from BTF.
#[derive(Debug, Error)]
pub(super) enum BtfError {
    /// The file is missing or unreadable.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not BTF, or cut off, or newer than this reader.
    #[error("the kernel's BTF makes no sense at {0}")]
    Malformed(&'static str),
    /// This kernel has nothing of that name.
    #[error("this kernel has no {0}")]
    Missing(String),
}

/// The kind of a type, as encoded in BTF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BtfKind {
    /// A pointer.
    Pointer,
    /// An array.
    Array,
    /// A struct or union.
    Struct,
    /// An enum.
    Enum,
    /// A typedef.
    Typedef,
    /// A function.
    Function,
    /// A function's arguments and result.
    Prototype,
    /// `const`, `volatile`, `restrict`, a type tag: says nothing about the layout.
    Qualifier,
    /// Anything else.
    Other,
}

/// The BTF of the kernel, or of a module on top of it.
#[derive(Debug)]
pub(super) struct Btf<'base> {
    base: Option<&'base Self>,
    bytes: Vec<u8>,
    /// Where each type begins in `bytes`. The first has the number `first`.
    types: Vec<u32>,
    first: u32,
    strings: (usize, usize),
}

/// One type.
#[derive(Clone, Copy, Debug)]
struct Type<'a> {
    name: u32,
    info: u32,
    /// The size or the number of another type, depending on the kind.
    other: u32,
    trailer: &'a [u8],
}

impl<'base> Btf<'base> {
    /// Reads the BTF at `path`; that of a module counts on from `base`.
    pub(super) fn read(path: &Path, base: Option<&'base Self>) -> Result<Self, BtfError> {
        let bytes = read_bounded(path).map_err(|source| BtfError::Read {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(bytes, base)
    }

    /// Parses BTF.
    pub(super) fn parse(bytes: Vec<u8>, base: Option<&'base Self>) -> Result<Self, BtfError> {
        let malformed = BtfError::Malformed;
        let header = |at| word(&bytes, at).ok_or(malformed("the header"));
        if header(0)? & 0xffff != MAGIC {
            return Err(malformed("the magic number"));
        }
        let start = header(4)? as usize;
        if start < HEADER_BYTES {
            return Err(malformed("the header's length"));
        }
        let section = |offset: u32, length: u32| {
            let begin = start.checked_add(offset as usize)?;
            let end = begin.checked_add(length as usize)?;
            (end <= bytes.len()).then_some((begin, end))
        };
        let (begin, end) = section(header(8)?, header(12)?).ok_or(malformed("its types"))?;
        let strings = section(header(16)?, header(20)?).ok_or(malformed("its strings"))?;
        let mut types = Vec::with_capacity(NEVER_KEPT / size_of::<u32>());
        let mut at = begin;
        while at < end {
            types.push(u32::try_from(at).map_err(|_too_large| malformed("its length"))?);
            let info = word(&bytes[..end], at + 4).ok_or(malformed("a type"))?;
            let trailer = trailer_bytes(info).ok_or(malformed("the kind of a type"))?;
            at += TYPE_BYTES + trailer;
        }
        if at != end {
            return Err(malformed("the last type"));
        }
        // Number 0 is void and has no entry.
        let first = base.map_or(1, |base| base.first.saturating_add(count(base.types.len())));
        Ok(Self {
            base,
            bytes,
            types,
            first,
            strings,
        })
    }

    /// The offset in bytes of a member, named by a path of members from the struct `of`.
    /// A number in the path is an index into an array.
    pub(super) fn offset(&self, of: &str, path: &str) -> Result<u32, BtfError> {
        let missing = || BtfError::Missing(format!("{of}.{path}"));
        let mut at = self.find(BtfKind::Struct, of).ok_or_else(missing)?;
        let mut offset = 0_u32;
        for step in path.split('.') {
            at = self.resolve(at).ok_or_else(missing)?;
            let (within, next) = match step.parse::<u32>() {
                Ok(index) => self.element(at, index),
                Err(_) => self.member(at, step, MAX_DEPTH),
            }
            .ok_or_else(missing)?;
            offset = offset.checked_add(within).ok_or_else(missing)?;
            at = next;
        }
        Ok(offset)
    }

    /// The length of the array that is the member `path` of the struct `of`.
    pub(super) fn array_length(&self, of: &str, member: &str) -> Result<u32, BtfError> {
        let missing = || BtfError::Missing(format!("array {of}.{member}"));
        let at = self.find(BtfKind::Struct, of).ok_or_else(missing)?;
        let (_, array) = self.member(at, member, MAX_DEPTH).ok_or_else(missing)?;
        let array = self.type_at(array).ok_or_else(missing)?;
        if array.kind() != BtfKind::Array {
            return Err(missing());
        }
        word(array.trailer, 8).ok_or_else(missing)
    }

    /// The number of the function `name`.
    pub(super) fn function(&self, name: &str) -> Result<u32, BtfError> {
        self.find(BtfKind::Function, name)
            .ok_or_else(|| BtfError::Missing(name.to_owned()))
    }

    /// The value of an enumerator, whatever its enum is called.
    pub(super) fn enumerator(&self, name: &str) -> Result<u32, BtfError> {
        let of_kind = self
            .numbers()
            .filter_map(|number| self.type_at(number))
            .filter(|of| of.kind() == BtfKind::Enum);
        for of in of_kind {
            for entry in of.trailer.chunks_exact(of.entry_bytes()) {
                if word(entry, 0).is_some_and(|at| self.is_named(at, name)) {
                    return word(entry, 4).ok_or(BtfError::Malformed("an enumerator"));
                }
            }
        }
        Err(BtfError::Missing(name.to_owned()))
    }

    /// Whether an argument of a tracepoint, counted from 0, is a pointer to the struct `to`.
    pub(super) fn tracepoint_takes(
        &self,
        tracepoint: &str,
        argument: usize,
        to: &str,
    ) -> Result<bool, BtfError> {
        let missing = || BtfError::Missing(format!("argument {argument} of {tracepoint}"));
        let name = format!("btf_trace_{tracepoint}");
        let number = self.find(BtfKind::Typedef, &name).ok_or_else(missing)?;
        // A typedef of a pointer to a function whose first argument is the probe's own data.
        let pointer = self.type_at(self.resolve(number).ok_or_else(missing)?);
        let function = self.resolve(pointer.ok_or_else(missing)?.other);
        let function = self
            .type_at(function.ok_or_else(missing)?)
            .ok_or_else(missing)?;
        if function.kind() != BtfKind::Prototype {
            return Err(missing());
        }
        let entry = word(function.trailer, (argument + 1) * 8 + 4).ok_or_else(missing)?;
        let argument = self.resolve(entry).and_then(|number| self.type_at(number));
        let argument = argument.ok_or_else(missing)?;
        if argument.kind() != BtfKind::Pointer {
            return Ok(false);
        }
        let target = self.resolve(argument.other).and_then(|n| self.type_at(n));
        Ok(target.is_some_and(|of| of.kind() == BtfKind::Struct && self.is_named(of.name, to)))
    }

    fn numbers(&self) -> impl Iterator<Item = u32> {
        self.first..self.first.saturating_add(count(self.types.len()))
    }

    fn find(&self, kind: BtfKind, name: &str) -> Option<u32> {
        let own = self.numbers().find(|number| {
            self.type_at(*number)
                .is_some_and(|of| of.kind() == kind && self.is_named(of.name, name))
        });
        own.or_else(|| self.base?.find(kind, name))
    }

    fn type_at(&self, number: u32) -> Option<Type<'_>> {
        let Some(index) = number.checked_sub(self.first) else {
            return self.base?.type_at(number);
        };
        let at = *self.types.get(index as usize)? as usize;
        let info = word(&self.bytes, at + 4)?;
        let trailer = at + TYPE_BYTES;
        Some(Type {
            name: word(&self.bytes, at)?,
            info,
            other: word(&self.bytes, at + 8)?,
            trailer: self.bytes.get(trailer..trailer + trailer_bytes(info)?)?,
        })
    }

    /// Follows typedefs and qualifiers to the type itself.
    fn resolve(&self, mut number: u32) -> Option<u32> {
        for _ in 0..MAX_DEPTH {
            let of = self.type_at(number)?;
            match of.kind() {
                BtfKind::Typedef | BtfKind::Qualifier => number = of.other,
                _ => return Some(number),
            }
        }
        None
    }

    fn member(&self, of: u32, name: &str, depth: usize) -> Option<(u32, u32)> {
        let depth = depth.checked_sub(1)?;
        let of = self.type_at(of)?;
        if of.kind() != BtfKind::Struct {
            return None;
        }
        for entry in of.trailer.chunks_exact(12) {
            let (called, number) = (word(entry, 0)?, word(entry, 4)?);
            let bits = match (of.info >> 31, word(entry, 8)?) {
                (0, bits) => bits,
                (_, packed) if packed >> 24 == 0 => packed,
                _ => continue, // a bit field has no address
            };
            if self.is_named(called, name) {
                return Some((bits / 8, number));
            }
            if self.is_named(called, "") {
                let inner = self.resolve(number)?;
                if let Some((within, number)) = self.member(inner, name, depth) {
                    return Some(((bits / 8).checked_add(within)?, number));
                }
            }
        }
        None
    }

    fn element(&self, of: u32, index: u32) -> Option<(u32, u32)> {
        let of = self.type_at(of)?;
        if of.kind() != BtfKind::Array {
            return None;
        }
        let element = word(of.trailer, 0)?;
        let offset = self.size(element)?.checked_mul(index)?;
        Some((offset, element))
    }

    fn size(&self, number: u32) -> Option<u32> {
        let of = self.type_at(self.resolve(number)?)?;
        match of.kind() {
            BtfKind::Pointer => Some(8),
            BtfKind::Array | BtfKind::Prototype => None,
            _ => Some(of.other),
        }
    }

    fn is_named(&self, at: u32, name: &str) -> bool {
        let (begin, end) = self.strings;
        let inherited = self.base.map_or(0, Btf::string_bytes);
        let Some(own) = at.checked_sub(inherited) else {
            return self.base.is_some_and(|base| base.is_named(at, name));
        };
        let strings = &self.bytes[begin..end];
        strings
            .get(own as usize..)
            .and_then(|from| from.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }

    /// How many bytes of strings there are, with those of the base.
    fn string_bytes(&self) -> u32 {
        let (begin, end) = self.strings;
        let inherited = self.base.map_or(0, Self::string_bytes);
        inherited.saturating_add(count(end - begin))
    }
}

impl Type<'_> {
    fn kind(&self) -> BtfKind {
        match self.info >> 24 & 0x1f {
            2 => BtfKind::Pointer,
            3 => BtfKind::Array,
            4 | 5 => BtfKind::Struct,
            6 | 19 => BtfKind::Enum,
            8 => BtfKind::Typedef,
            9..=11 | 18 => BtfKind::Qualifier,
            12 => BtfKind::Function,
            13 => BtfKind::Prototype,
            _ => BtfKind::Other,
        }
    }

    /// The length of one enumerator.
    fn entry_bytes(&self) -> usize {
        if self.info >> 24 & 0x1f == 19 { 12 } else { 8 }
    }
}

/// How many bytes follow a type; `None` for a kind that is newer than this reader.
fn trailer_bytes(info: u32) -> Option<usize> {
    let entries = (info & 0xffff) as usize;
    match info >> 24 & 0x1f {
        2 | 7..=12 | 16 | 18 => Some(0), // pointer, forward, typedef, qualifiers, function, float, tag
        1 | 14 | 17 => Some(4),          // integer, variable, declaration tag
        3 => Some(12),                   // array
        6 | 13 => Some(8 * entries),     // enum, prototype
        4 | 5 | 15 | 19 => Some(12 * entries), // struct, union, data section, 64-bit enum
        _ => None,
    }
}

/// What is counted here is less than [`MAX_BYTES`].
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_ne_bytes(*bytes))
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let file = std::fs::File::open(path)?;
    let mut bytes = Vec::with_capacity(NEVER_KEPT);
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
