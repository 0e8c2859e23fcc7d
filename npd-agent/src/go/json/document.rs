//! A JSON document that knows the position of each value.
//!
//! `serde_json` parses the text. A [`RawValue`] borrows from the text, so the difference of two addresses
//! is the offset of a value.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::JsonFault;

/// The deepest nesting that is not an error, as in `serde_json`.
const MAX_DEPTH: usize = 128;

/// A value and its position.
pub(super) struct JsonNode {
    /// Its path, with the keys as the document spells them; empty for the root.
    pub(super) path: String,
    /// Where it starts, in bytes.
    pub(super) offset: usize,
    pub(super) value: JsonValue,
}

pub(super) enum JsonValue {
    Null,
    Bool(bool),
    /// The text of the value.
    Number(String),
    String(String),
    Array(Vec<JsonNode>),
    Object(Vec<Member>),
}

/// A key and its value.
pub(super) struct Member {
    pub(super) key: String,
    /// The offset of the key's opening quote, in bytes.
    pub(super) offset: usize,
    pub(super) value: JsonNode,
}

impl JsonNode {
    /// Reads a whole document.
    pub(super) fn parse(text: &str) -> Result<Self, JsonFault> {
        let root: &RawValue = serde_json::from_str(text).map_err(|error| {
            let start: usize = text
                .split_inclusive('\n')
                .take(error.line().saturating_sub(1))
                .map(str::len)
                .sum();
            JsonFault {
                path: String::new(),
                offset: start + error.column().saturating_sub(1),
                message: without_position(&error),
            }
        })?;
        Builder { text }.build(root, String::new(), 0)
    }

    /// The value at a path. Prefers keys with the same spelling; otherwise the case of ASCII letters does
    /// not matter. If a key is repeated, returns the last value, because that one counts.
    pub(super) fn find(&self, path: &str) -> Option<&Self> {
        self.find_last(&|candidate| candidate == path)
            .or_else(|| self.find_last(&|candidate| candidate.eq_ignore_ascii_case(path)))
    }

    fn find_last(&self, matches: &dyn Fn(&str) -> bool) -> Option<&Self> {
        let within = match &self.value {
            JsonValue::Array(items) => items.iter().rev().find_map(|item| item.find_last(matches)),
            JsonValue::Object(entries) => entries
                .iter()
                .rev()
                .find_map(|entry| entry.value.find_last(matches)),
            _ => None,
        };
        within.or_else(|| matches(&self.path).then_some(self))
    }
}

struct Builder<'t> {
    text: &'t str,
}

impl Builder<'_> {
    fn build(&self, raw: &RawValue, path: String, depth: usize) -> Result<JsonNode, JsonFault> {
        let source = raw.get();
        let offset = self.offset(raw);
        let fault = |path: &str, message| JsonFault {
            path: path.to_owned(),
            offset,
            message,
        };
        if depth > MAX_DEPTH {
            return Err(fault(&path, "nested too deeply".to_owned()));
        }
        let value = match source.as_bytes().first() {
            Some(b'n') => JsonValue::Null,
            Some(b't') => JsonValue::Bool(true),
            Some(b'f') => JsonValue::Bool(false),
            Some(b'"') => {
                let text = read(source).or_else(|_| read(&without_lone_surrogates(source)));
                JsonValue::String(text.map_err(|message| fault(&path, message))?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> =
                    read(source).map_err(|message| fault(&path, message))?;
                let items = items.into_iter().enumerate();
                let items = items
                    .map(|(index, item)| self.build(item, format!("{path}[{index}]"), depth + 1));
                JsonValue::Array(items.collect::<Result<_, _>>()?)
            }
            Some(b'{') => {
                let Pairs(pairs) = read(source).map_err(|message| fault(&path, message))?;
                let entries = pairs.into_iter().map(|(key, value)| {
                    let offset = self.offset(key);
                    let key: String = read(key.get()).map_err(|message| fault(&path, message))?;
                    let dot = if path.is_empty() { "" } else { "." };
                    let value = self.build(value, format!("{path}{dot}{key}"), depth + 1)?;
                    Ok(Member { key, offset, value })
                });
                JsonValue::Object(entries.collect::<Result<_, _>>()?)
            }
            _ => JsonValue::Number(source.to_owned()),
        };
        Ok(JsonNode {
            path,
            offset,
            value,
        })
    }

    fn offset(&self, raw: &RawValue) -> usize {
        raw.get()
            .as_ptr()
            .addr()
            .saturating_sub(self.text.as_ptr().addr())
    }
}

/// Parses one level of a document that is known to be JSON.
fn read<'t, T: Deserialize<'t>>(source: &'t str) -> Result<T, String> {
    serde_json::from_str(source).map_err(|error| without_position(&error))
}

/// The source of a string, with U+FFFD for each unpaired half of a surrogate pair, as in Go.
fn without_lone_surrogates(source: &str) -> String {
    let surrogate = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        let unit = u16::from_str_radix(digits, 16).ok()?;
        (0xd800..0xe000).contains(&unit).then_some(unit)
    };
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(escape) = rest.find('\\') {
        let (before, from) = rest.split_at(escape);
        text.push_str(before);
        let second = from.get(6..).and_then(surrogate);
        let length = match (surrogate(from), second) {
            (Some(..0xdc00), Some(0xdc00..)) => 12,
            (Some(_), _) => {
                text.push(char::REPLACEMENT_CHARACTER);
                rest = &from[6..];
                continue;
            }
            (None, _) => from.len().min(2),
        };
        let (escaped, after) = from.split_at(length);
        text.push_str(escaped);
        rest = after;
    }
    text + rest
}

/// The message of `serde_json` without the position at its end.
fn without_position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    message
        .strip_suffix(&position)
        .unwrap_or(&message)
        .to_owned()
}

/// The entries of an object in their order, with repeated keys.
struct Pairs<'t>(Vec<(&'t RawValue, &'t RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
