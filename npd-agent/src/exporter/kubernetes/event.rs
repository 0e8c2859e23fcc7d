//! Writes core/v1 Events in the form that the API server requires.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::{Value, json};

use super::api::{Call, Permission, path_segment};
use super::node::FIELD_MANAGER;
use crate::problem::{Action, FaultyObject, Severity};

/// What an Event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum InvolvedObject {
    /// The Node of this name.
    Node(Arc<str>),
    /// A pod.
    Pod {
        /// Its namespace, and the Event's.
        namespace: String,
        /// Its name.
        name: String,
        /// Its uid.
        uid: String,
    },
}

/// An Event for the API server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KubernetesEvent {
    /// Its own name.
    pub name: String,
    /// What it is about.
    pub object: InvolvedObject,
    /// The reporting component.
    pub source: Arc<str>,
    /// One word.
    pub reason: Arc<str>,
    /// Its type is `Normal` if this is [`Severity::Info`], and `Warning` otherwise.
    pub severity: Severity,
    /// What to do, if the rule says so.
    pub action: Option<Action>,
    /// What is at fault, if the rule knows it.
    pub about: Option<FaultyObject>,
    /// What happened, the last time.
    pub message: String,
    /// When it first happened.
    pub first: Timestamp,
    /// When it last happened.
    pub last: Timestamp,
    /// How many times it happened.
    pub count: u64,
}

/// The values that all Events of this agent share.
#[derive(Clone, Debug)]
pub(super) struct EventWriter {
    /// The Node's name.
    pub node: Arc<str>,
    /// The Node's uid, once it is known.
    pub node_uid: Option<Arc<str>>,
    /// `--event-namespace`, which may be empty.
    pub namespace: String,
}

/// What the keys of our annotations begin with.
const ANNOTATIONS: &str = "npd-agent/";

/// The longest name of an object.
const LONGEST_NAME: usize = 253;

impl InvolvedObject {
    /// Whether it is the Node.
    pub(super) fn is_node(&self) -> bool {
        matches!(self, Self::Node(_))
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Node(name) => name,
            Self::Pod { name, .. } => name,
        }
    }

    /// The name of an Event about it, different for each `number`. Like NPD, uses another name if the
    /// object's name is invalid.
    pub(super) fn event_name(&self, number: i128) -> String {
        let suffix = format!(".{number:x}");
        let name = Some(self.name()).filter(|name| is_name(name));
        let mut name = name.unwrap_or("node").to_owned();
        name.truncate(LONGEST_NAME - suffix.len());
        name.truncate(name.trim_end_matches(['.', '-']).len());
        name + &suffix
    }
}

impl KubernetesEvent {
    fn type_name(&self) -> &'static str {
        match self.severity {
            Severity::Info => "Normal",
            _ => "Warning",
        }
    }

    /// What the rule says for programs: Events have no fields for it. `None` if the rule says nothing.
    fn annotations(&self) -> Option<BTreeMap<String, String>> {
        let mut annotations = BTreeMap::new();
        let mut add = |key: &str, value: String| {
            annotations.insert(format!("{ANNOTATIONS}{key}"), value);
        };
        if let Some(action) = self.action {
            add("severity", self.severity.as_str().to_owned());
            add("action", action.as_str().to_owned());
        }
        if let Some(about) = &self.about {
            add("object", about.to_string());
        }
        (!annotations.is_empty()).then_some(annotations)
    }
}

impl EventWriter {
    /// Creates the Event.
    pub(super) fn create(&self, event: &KubernetesEvent) -> Call {
        let namespace = self.namespace_of(event);
        let involved = match &event.object {
            InvolvedObject::Node(name) => core::ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(name.to_string()),
                uid: self.node_uid.as_ref().map(ToString::to_string),
                // A Node has no namespace. But the server requires that this one and the Event's own agree,
                // and takes an empty one as `default`.
                namespace: Some(self.namespace.clone()).filter(|ns| !ns.is_empty()),
                ..Default::default()
            },
            InvolvedObject::Pod {
                namespace,
                name,
                uid,
            } => core::ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: Some(name.clone()),
                uid: Some(uid.clone()),
                namespace: Some(namespace.clone()),
                ..Default::default()
            },
        };
        let body = core::Event {
            metadata: ObjectMeta {
                name: Some(event.name.clone()),
                namespace: Some(namespace.to_owned()),
                annotations: event.annotations(),
                ..Default::default()
            },
            involved_object: involved,
            reason: Some(event.reason.to_string()),
            message: Some(event.message.clone()),
            type_: Some(event.type_name().to_owned()),
            source: Some(core::EventSource {
                component: Some(event.source.to_string()),
                host: Some(self.node.to_string()),
            }),
            reporting_component: Some(event.source.to_string()),
            reporting_instance: Some(self.node.to_string()),
            first_timestamp: Some(Time::from(event.first)),
            last_timestamp: Some(Time::from(event.last)),
            count: Some(capped(event.count)),
            ..Default::default()
        };
        Call {
            right: Permission::CreateEvent,
            path: format!(
                "/api/v1/namespaces/{}/events?fieldManager={FIELD_MANAGER}",
                path_segment(namespace)
            ),
            body: Some(json!(body)),
            metadata_only: true,
        }
    }

    /// Writes the Event's count, its time and its newest message.
    pub(super) fn count(&self, event: &KubernetesEvent) -> Call {
        let namespace = self.namespace_of(event);
        let name = &event.name;
        let body: Value = json!({
            "count": capped(event.count),
            "firstTimestamp": Time::from(event.first),
            "lastTimestamp": Time::from(event.last),
            "message": event.message,
        });
        Call {
            right: Permission::PatchEvent,
            path: format!(
                "/api/v1/namespaces/{}/events/{name}?fieldManager={FIELD_MANAGER}",
                path_segment(namespace)
            ),
            body: Some(body),
            metadata_only: true,
        }
    }

    /// The Event's namespace.
    pub(super) fn namespace_of<'a>(&'a self, event: &'a KubernetesEvent) -> &'a str {
        match &event.object {
            InvolvedObject::Node(_) if self.namespace.is_empty() => "default",
            InvolvedObject::Node(_) => &self.namespace,
            InvolvedObject::Pod { namespace, .. } => namespace,
        }
    }
}

/// The API's type for counts is int32.
fn capped(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Whether this can be the name of a Node, a pod or a namespace: a DNS-1123 subdomain (RFC 1123).
pub(super) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty()
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= LONGEST_NAME && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_a_valid_name_whatever_the_node_is_called() {
        let name = |node: &str| InvolvedObject::Node(Arc::from(node)).event_name(0xabc);
        assert_eq!(name("node-1"), "node-1.abc");
        for node in ["Bad_Name", "a b", "ä", "", "-", &"x".repeat(300)] {
            assert!(is_name(&name(node)), "{node}: {}", name(node));
        }
    }
}
