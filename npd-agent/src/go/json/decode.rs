//! Turns a document into a Rust type. Keys match fields as in Go.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::JsonFault;
use super::document::{JsonNode, JsonValue, Member};

/// Decodes the document and collects its entries that match no field.
pub(super) fn decode<'a, T: DeserializeOwned>(
    root: &'a JsonNode,
    unknown: &mut Vec<&'a Member>,
) -> Result<T, JsonFault> {
    let decoded = T::deserialize(Decoder {
        node: root,
        unknown,
    });
    decoded.map_err(|error| match error.at(root) {
        DecodeError {
            place: Some((path, offset)),
            message,
        } => JsonFault {
            path,
            offset,
            message,
        },
        DecodeError {
            place: None,
            message,
        } => JsonFault {
            path: String::new(),
            offset: 0,
            message,
        },
    })
}

/// An error of serde, and the value that it is about.
#[derive(Debug)]
struct DecodeError {
    /// Path and offset of the value, once they are known.
    place: Option<(String, usize)>,
    message: String,
}

impl DecodeError {
    /// Adds the position, if there is none yet. The innermost of nested values is the first to do this.
    fn at(mut self, node: &JsonNode) -> Self {
        self.place
            .get_or_insert_with(|| (node.path.clone(), node.offset));
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((path, _)) = &self.place {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            place: None,
            message: message.to_string(),
        }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        // Serde calls `null` a `unit value`. That does not help the author of a JSON file.
        match found {
            Unexpected::Unit => {
                Self::custom(format_args!("invalid type: null, expected {expected}"))
            }
            found => Self::custom(format_args!("invalid type: {found}, expected {expected}")),
        }
    }
}

struct Decoder<'a, 'u> {
    node: &'a JsonNode,
    unknown: &'u mut Vec<&'a Member>,
}

impl<'a, 'u> Decoder<'a, 'u> {
    /// The value of a `null` that cannot be treated as absent: a whole file, or an element of an array. Go
    /// leaves it empty.
    fn is_null(&self) -> bool {
        matches!(self.node.value, JsonValue::Null)
    }

    fn entries(self, entries: impl Iterator<Item = (&'a str, &'a JsonNode)>) -> Entries<'a, 'u> {
        // In Go, `null` does not change the field, as if the key were absent.
        let set = entries.filter(|(_, node)| !matches!(node.value, JsonValue::Null));
        Entries {
            rest: set.collect::<Vec<_>>().into_iter(),
            value: None,
            unknown: self.unknown,
        }
    }
}

impl<'de> Deserializer<'de> for Decoder<'_, '_> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            JsonValue::Null => visitor.visit_unit(),
            JsonValue::Bool(value) => visitor.visit_bool(*value),
            JsonValue::Number(text) => visit_number(text, visitor),
            JsonValue::String(text) => visitor.visit_str(text),
            JsonValue::Array(items) => visitor.visit_seq(Items {
                rest: items.iter(),
                unknown: self.unknown,
            }),
            JsonValue::Object(entries) => {
                let entries = entries
                    .iter()
                    .map(|entry| (entry.key.as_str(), &entry.value));
                visitor.visit_map(self.entries(entries))
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let entries = match &self.node.value {
            JsonValue::Object(entries) => entries,
            // A derived struct would also accept an array of its fields; Go does not.
            JsonValue::Array(_) => return Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => return self.deserialize_map(visitor),
        };
        let mut known: Vec<(&str, &JsonNode)> = Vec::new();
        for entry in entries {
            let exact = fields.iter().find(|field| **field == entry.key);
            let field =
                exact.or_else(|| fields.iter().find(|field| same_folded(field, &entry.key)));
            match field {
                None => self.unknown.push(entry),
                Some(_) if matches!(entry.value.value, JsonValue::Null) => {}
                Some(field) => {
                    known.retain(|(earlier, _)| earlier != field);
                    known.push((field, &entry.value));
                }
            }
        }
        visitor.visit_map(self.entries(known.into_iter()))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_null() {
            return visitor.visit_map(self.entries(std::iter::empty()));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_null() {
            return visitor.visit_seq(Items {
                rest: [].iter(),
                unknown: self.unknown,
            });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.node.value {
            JsonValue::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.is_null() {
            return visitor.visit_str("");
        }
        self.deserialize_any(visitor)
    }

    /// Only enums without fields: Go's files have no others.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            JsonValue::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str bytes byte_buf unit
        unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// Whether a key matches a field in Go. Go ignores the case of ASCII letters, and of the two other
/// letters whose other case is an ASCII letter.
fn same_folded(field: &str, key: &str) -> bool {
    let fold = |c: char| match c {
        'ſ' => 's',
        '\u{212a}' => 'k', // the unit Kelvin
        c => c.to_ascii_lowercase(),
    };
    field.chars().map(fold).eq(key.chars().map(fold))
}

fn visit_number<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, DecodeError> {
    if let Ok(value) = text.parse() {
        return visitor.visit_u64(value);
    }
    if let Ok(value) = text.parse() {
        return visitor.visit_i64(value);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => visitor.visit_f64(value),
        _ => Err(de::Error::custom(format_args!(
            "number out of range: {text}"
        ))),
    }
}

/// The elements of an array.
struct Items<'a, 'u> {
    rest: std::slice::Iter<'a, JsonNode>,
    unknown: &'u mut Vec<&'a Member>,
}

impl<'de> SeqAccess<'de> for Items<'_, '_> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let Some(node) = self.rest.next() else {
            return Ok(None);
        };
        let decoded = seed.deserialize(Decoder {
            node,
            unknown: self.unknown,
        });
        decoded.map(Some).map_err(|error| error.at(node))
    }
}

/// The entries of an object.
struct Entries<'a, 'u> {
    rest: std::vec::IntoIter<(&'a str, &'a JsonNode)>,
    /// The value of the key that was given last.
    value: Option<&'a JsonNode>,
    unknown: &'u mut Vec<&'a Member>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        let Some((key, node)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(node);
        let key: StrDeserializer<'_, DecodeError> = key.into_deserializer();
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.at(node))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        let node = self
            .value
            .take()
            .ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        let decoded = seed.deserialize(Decoder {
            node,
            unknown: self.unknown,
        });
        decoded.map_err(|error| error.at(node))
    }
}
