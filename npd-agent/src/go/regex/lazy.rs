//! Patterns that take no memory until they are needed.

use std::sync::{Arc, OnceLock};

use regex::{Captures, Match, Regex};

/// A pattern that was compiled once to check it, and is compiled again when it is used for the first
/// time.
///
/// A compiled pattern takes about 35 KiB, and most patterns never see a text that they could match.
/// Clones share what is compiled.
#[derive(Clone, Debug)]
pub struct LazyRegex(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    /// As the `regex` crate writes it.
    pattern: String,
    /// The names of its groups.
    groups: Vec<String>,
    /// It never contains `None`: the pattern has been compiled before.
    compiled: OnceLock<Option<Regex>>,
}

impl From<Regex> for LazyRegex {
    fn from(checked: Regex) -> Self {
        let groups = checked.capture_names().flatten().map(str::to_owned);
        Self(Arc::new(Checked {
            pattern: checked.as_str().to_owned(),
            groups: groups.collect(),
            compiled: OnceLock::new(),
        }))
    }
}

impl LazyRegex {
    /// The pattern, in the syntax of the `regex` crate.
    pub fn as_str(&self) -> &str {
        &self.0.pattern
    }

    /// The names of its groups, in order.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.0.groups.iter().map(String::as_str)
    }

    /// Whether it matches somewhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled().is_some_and(|regex| regex.is_match(text))
    }

    /// Its first match in `text`.
    pub fn find<'t>(&self, text: &'t str) -> Option<Match<'t>> {
        self.compiled()?.find(text)
    }

    /// Its first match in `text`, with groups.
    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.compiled()?.captures(text)
    }

    /// Whether it was used.
    #[cfg(test)]
    pub(crate) fn is_compiled(&self) -> bool {
        self.0.compiled.get().is_some()
    }

    fn compiled(&self) -> Option<&Regex> {
        let compile = || Regex::new(&self.0.pattern).ok();
        self.0.compiled.get_or_init(compile).as_ref()
    }
}
