//! Reads config files as Go's `encoding/json` does, and knows the position of every mistake.
//!
//! * The case of a key does not matter. If a key is repeated, the last one counts.
//! * Unknown keys are ignored. They are collected, so that the agent can warn about them.
//! * `null` means the default, so fields need `#[serde(default)]`. As an element of an array, `null` is
//!   an empty string or object.
//! * A value of the wrong type is an error, and so are comments, trailing commas and a byte order
//!   mark.
//! * Each byte that is not UTF-8 is read as U+FFFD.
//!
//! This is true for derived structs, but not for `#[serde(flatten)]` and untagged enums.
//! `serde_json` parses the text. Matching keys and finding positions is our own code: `serde_json`
//! matches keys only exactly, and `serde_path_to_error` cannot find the line of a value that is wrong
//! only in comparison with another value.
//! One difference remains: Go merges the objects and arrays of a repeated key; here the last one counts.

mod decode;
mod document;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use document::JsonNode;

/// The content of a file, and its unknown keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<T> {
    /// The file's content.
    pub value: T,
    /// Keys that match no field, in the order of the file.
    pub unknown_keys: Vec<UnknownKey>,
}

/// A key that matches no field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// Its path with the key itself, such as `rules[0].resaon`.
    pub path: String,
    /// Its line, from 1.
    pub line: usize,
    /// The column of its opening quote in characters, from 1.
    pub column: usize,
}

/// What is wrong in a config file, and where: `kernel.json:3:12: rules[0].reason: …`.
///
/// It is an error if NPD refuses the file. If NPD starts, the agent starts too, and lists the problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigProblem {
    /// The file's name, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The path to the value, such as `rules[0].reason`; empty for the file as a whole.
    #[serde(rename = "field")]
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl ConfigProblem {
    /// A problem of the value at a path, in a file that was read before.
    ///
    /// If there is no such value, for example because a required key is missing, the position is that of
    /// the nearest value around it.
    pub fn new(file: &str, bytes: &[u8], path: &str, message: impl fmt::Display) -> Self {
        let mut around = std::iter::successors(Some(path), |path| {
            (!path.is_empty()).then(|| &path[..path.rfind(['.', '[']).unwrap_or(0)])
        });
        let (line, column) = around
            .find_map(|path| locate(bytes, path))
            .unwrap_or((1, 1));
        Self {
            file: file.to_owned(),
            line,
            column,
            path: path.to_owned(),
            message: message.to_string(),
        }
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigProblem {}

/// Parses the content of a file; `file` is its name for messages.
pub fn from_slice<T: DeserializeOwned>(
    file: &str,
    bytes: &[u8],
) -> Result<Decoded<T>, ConfigProblem> {
    let text = to_text(bytes);
    let fail = |fault: JsonFault| {
        let (line, column) = position(&text, fault.offset);
        ConfigProblem {
            file: file.to_owned(),
            line,
            column,
            path: fault.path,
            message: fault.message,
        }
    };
    let root = JsonNode::parse(&text).map_err(fail)?;
    let mut unknown = Vec::new();
    let value = decode::decode(&root, &mut unknown).map_err(fail)?;
    unknown.sort_by_key(|entry| entry.offset);
    let unknown_keys = unknown
        .into_iter()
        .map(|entry| {
            let (line, column) = position(&text, entry.offset);
            UnknownKey {
                path: entry.value.path.clone(),
                line,
                column,
            }
        })
        .collect();
    Ok(Decoded {
        value,
        unknown_keys,
    })
}

/// Line and column of the value at a path such as `rules[3].pattern`; the empty path is the whole
/// document.
///
/// Keys match as when the file is parsed. For problems that are found after parsing.
pub fn locate(bytes: &[u8], path: &str) -> Option<(usize, usize)> {
    let text = to_text(bytes);
    let root = JsonNode::parse(&text).ok()?;
    Some(position(&text, root.find(path)?.offset))
}

/// What is wrong with a document, and its position in bytes.
struct JsonFault {
    path: String,
    /// In bytes of the text.
    offset: usize,
    message: String,
}

/// The file as text, with one U+FFFD for each byte that is not UTF-8, as in Go.
fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

/// Line and column of a byte in the text, both from 1. The column is in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}
