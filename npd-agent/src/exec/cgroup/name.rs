//! The name of a plugin's cgroup. It names the plugin, for everyone who sees the cgroup.

use std::fmt;

use super::own::PREFIX;
use crate::go::quantity::Quantity;

/// A rule of a config file, and its limit of memory: `FILE-rule-INDEX` or `FILE-rule-INDEX-BYTES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginRuleId {
    file: String,
    rule: usize,
    memory: Option<u64>,
}

impl PluginRuleId {
    /// The name of the rule at `rule` of `file`.
    pub fn new(file: &str, rule: usize, memory: Option<u64>) -> Self {
        Self {
            // The name of a file may contain what the name of a folder may not.
            file: file.replace('/', "-"),
            rule,
            memory,
        }
    }

    /// The plugin whose cgroup has this path, in any hierarchy.
    pub fn of_path(path: &str) -> Option<Self> {
        let mut names = path.split('/').skip_while(|name| !name.starts_with(PREFIX));
        let (file, rest) = names.nth(1)?.rsplit_once("-rule-")?;
        let (rule, memory) = match rest.split_once('-') {
            Some((rule, memory)) => (rule, Some(memory.parse().ok()?)),
            None => (rest, None),
        };
        Some(Self::new(file, rule.parse().ok()?, memory))
    }

    /// The name of the folder.
    pub(super) fn folder(&self) -> String {
        let Self { file, rule, memory } = self;
        let memory = memory.map(|bytes| format!("-{bytes}")).unwrap_or_default();
        format!("{file}-rule-{rule}{memory}")
    }
}

/// For people.
impl fmt::Display for PluginRuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, rule, memory } = self;
        write!(f, "plugin rules[{rule}] of {file}, ")?;
        match memory {
            Some(bytes) => write!(f, "whose memory_limit is {}", Quantity(*bytes)),
            None => write!(f, "which has no memory_limit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back() {
        for (file, memory) in [("a.json", None), ("b-rule-7-1.json", Some(64 << 20))] {
            let name = PluginRuleId::new(file, 3, memory);
            let path = format!("/kubepods/pod1/npd-plugins-0a/{}", name.folder());
            assert_eq!(PluginRuleId::of_path(&path).as_ref(), Some(&name));
            assert_eq!(PluginRuleId::of_path(&format!("{path}/below")), Some(name));
        }
    }

    #[test]
    fn it_reads_like_the_config_file() {
        let read = |path| PluginRuleId::of_path(path).map(|name| name.to_string());
        assert_eq!(
            read("/npd-plugins-0a/x.json-rule-0-67108864").as_deref(),
            Some("plugin rules[0] of x.json, whose memory_limit is 64Mi")
        );
        assert_eq!(
            read("/…/npd-plugins-0a/x.json-rule-1").as_deref(),
            Some("plugin rules[1] of x.json, which has no memory_limit")
        );
        for other in [
            "",
            "/",
            "/npd-plugins-0a",
            "/x.json-rule-0",
            "/npd-plugins-0a/x-rule-y",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
