//! The limits of a file's plugins, and the message if a plugin reaches one.

use serde::{Deserialize, Deserializer, de};

use crate::exec::{LimitReached, ProgramLimits};
use crate::go::quantity::Quantity;

/// How many processes a plugin may have, if its file does not say. Checks need a few; a plugin that
/// forks without end must not take all of the node's.
pub(super) const DEFAULT_PIDS: u64 = 1024;

/// `pluginConfig.memory_limit`: a number of bytes, or a quantity as Kubernetes writes it, `256Mi`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryLimit(pub(super) u64);

impl<'de> Deserialize<'de> for MemoryLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum BytesOrText {
            Bytes(u64),
            Text(String),
        }
        let text = match BytesOrText::deserialize(deserializer) {
            Ok(BytesOrText::Bytes(bytes)) => Some(bytes.to_string()),
            Ok(BytesOrText::Text(text)) => Some(text),
            Err(_) => None,
        };
        let quantity = text.and_then(|text| Quantity::parse(&text));
        // The kernel counts with signed numbers.
        let valid = quantity.filter(|Quantity(bytes)| *bytes > 0 && i64::try_from(*bytes).is_ok());
        let valid = valid.map(|Quantity(bytes)| Self(bytes));
        valid.ok_or_else(|| {
            de::Error::custom(r#"must be a number of bytes, or a quantity such as "256Mi""#)
        })
    }
}

/// The keys of the limits in `asked` that the kernel does not enforce.
pub(super) fn missing(asked: ProgramLimits, kept: ProgramLimits) -> Vec<&'static str> {
    let memory = asked.memory.is_some() && kept.memory.is_none();
    let pids = asked.pids.is_some() && kept.pids.is_none();
    let keys = [(memory, "memory_limit"), (pids, "pids_limit")];
    let missing = keys.into_iter().filter(|(is_missing, _)| *is_missing);
    missing.map(|(_, key)| key).collect()
}

/// The message if a plugin has reached a limit.
pub(super) fn sentence(reached: LimitReached) -> String {
    match reached {
        LimitReached::Memory(Some(limit)) => format!(
            "the plugin was out of memory: its limit is {}, and pluginConfig.memory_limit raises it",
            Quantity(limit)
        ),
        LimitReached::Memory(None) => "the plugin was out of memory: the pod or the node has no \
                                       more, and the pod's memory limit may raise it"
            .to_owned(),
        LimitReached::Pids(Some(limit)) => format!(
            "the plugin could not fork: its limit is {limit} processes, and \
             pluginConfig.pids_limit raises it"
        ),
        LimitReached::Pids(None) => "the plugin could not fork: the pod or the node has reached \
                                     its limit of processes"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bytes_or_a_quantity() {
        for (json, expect) in [
            ("268435456", Some(256 << 20)),
            (r#""268435456""#, Some(256 << 20)),
            (r#""256Mi""#, Some(256 << 20)),
            ("1", Some(1)),
            ("0", None),
            ("-1", None),
            ("1.5", None),
            ("true", None),
            ("[]", None),
            (r#""0Mi""#, None),
            (r#""much""#, None),
            ("9223372036854775808", None),
        ] {
            let limit = serde_json::from_str::<MemoryLimit>(json).ok();
            assert_eq!(limit.map(|limit| limit.0), expect, "{json}");
        }
    }
}
