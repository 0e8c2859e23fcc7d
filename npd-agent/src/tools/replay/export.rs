//! Entries of a journal as `journalctl -o export` and `journalctl -o json` write them.

use std::io::{self, BufRead, Read as _};

use serde_json::Value;

/// How much of a field is read, in bytes: of the message, and of others.
const LONGEST_MESSAGE: usize = 1 << 20;
const LONGEST_FIELD: usize = 4096;

/// How many fields of an entry are read.
const MOST_FIELDS: usize = 256;

/// An entry: `FIELD=value` for each of its fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ExportEntry {
    fields: Vec<Vec<u8>>,
}

impl ExportEntry {
    /// The next entry of an export; `None` at the end.
    pub(super) fn read(input: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut entry = Self::default();
        let mut line = Vec::new();
        loop {
            let is_end = !read_line(input, &mut line, LONGEST_MESSAGE)?;
            if is_end || line.is_empty() {
                if !entry.fields.is_empty() {
                    return Ok(Some(entry));
                }
                if is_end {
                    return Ok(None);
                }
                continue;
            }
            if !line.contains(&b'=') {
                // The value may have newlines: its length and its bytes follow.
                let mut length = [0; 8];
                input.read_exact(&mut length)?;
                let length = u64::from_le_bytes(length);
                line.push(b'=');
                let start = line.len();
                input
                    .take(LONGEST_MESSAGE as u64 - start as u64)
                    .take(length)
                    .read_to_end(&mut line)?;
                let read = (line.len() - start) as u64;
                // And a newline.
                io::copy(
                    &mut input.take((length - read).saturating_add(1)),
                    &mut io::sink(),
                )?;
            }
            entry.push(&line);
        }
    }

    /// An entry of `journalctl -o json`.
    pub(super) fn of_json(line: &str) -> Option<Self> {
        let Value::Object(fields) = serde_json::from_str(line).ok()? else {
            return None;
        };
        let mut entry = Self::default();
        for (name, value) in fields {
            let value = match value {
                Value::String(text) => text.into_bytes(),
                // What is no text is a list of bytes.
                Value::Array(bytes) => {
                    let byte = |byte: &Value| u8::try_from(byte.as_u64()?).ok();
                    bytes.iter().filter_map(byte).collect()
                }
                _ => continue,
            };
            entry.push(&[name.as_bytes(), b"=", &value].concat());
        }
        Some(entry)
    }

    fn push(&mut self, field: &[u8]) {
        let longest = if field.starts_with(b"MESSAGE=") {
            LONGEST_MESSAGE
        } else {
            LONGEST_FIELD
        };
        if self.fields.len() < MOST_FIELDS {
            self.fields.push(field[..field.len().min(longest)].to_vec());
        }
    }

    /// The value of a field; empty if the entry does not have it.
    pub(super) fn field(&self, name: &[u8]) -> &[u8] {
        let value = |field: &'_ Vec<u8>| -> Option<usize> {
            let rest = field.strip_prefix(name)?.strip_prefix(b"=")?;
            Some(rest.len())
        };
        let field = self
            .fields
            .iter()
            .find_map(|field| Some((field, value(field)?)));
        field.map_or(&[], |(field, length)| &field[field.len() - length..])
    }

    /// When it was received, in microseconds since 1970.
    pub(super) fn realtime(&self) -> Option<i64> {
        let time = str::from_utf8(self.field(b"__REALTIME_TIMESTAMP")).ok()?;
        time.parse().ok()
    }
}

/// Reads a line without its newline, and no more than `longest` bytes of it. False at the end.
pub(super) fn read_line(
    input: &mut impl BufRead,
    line: &mut Vec<u8>,
    longest: usize,
) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let bytes = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if bytes.is_empty() {
            return Ok(any);
        }
        any = true;
        let newline = bytes.iter().position(|&byte| byte == b'\n');
        let part = &bytes[..newline.unwrap_or(bytes.len())];
        line.extend_from_slice(&part[..part.len().min(longest - line.len())]);
        let used = part.len() + usize::from(newline.is_some());
        input.consume(used);
        if newline.is_some() {
            return Ok(true);
        }
    }
}
