//! Recognises OOM kills of the agent's own plugins. The kernel's line about a kill does not show that.
//!
//! The kernel names the victim's cgroup in a line of its own, just before that of the kill.

use std::collections::VecDeque;

use crate::exec::PluginRuleId;
use crate::kernel_text;
use crate::problem::{Finding, Subject};

/// How many kills are remembered. The two lines follow each other at once.
const MAX_KILLS: usize = 16;

/// The last kills of plugins.
#[derive(Debug, Default)]
pub(super) struct PluginKills(VecDeque<(Subject, PluginRuleId)>);

impl PluginKills {
    /// Reads a line of the kernel.
    pub(super) fn read(&mut self, text: &str) {
        let Some((subject, path)) = kernel_text::cgroup(text) else {
            return;
        };
        self.0.retain(|(other, _)| *other != subject);
        if let Some(name) = PluginRuleId::of_path(path) {
            self.0.push_back((subject, name));
            if self.0.len() > MAX_KILLS {
                self.0.pop_front();
            }
        }
    }

    /// Adds the plugin's name to findings about such kills.
    pub(super) fn explain(&self, findings: &mut [Finding]) {
        for finding in findings {
            let is_about =
                |(subject, _): &&(Subject, PluginRuleId)| finding.subject.as_ref() == Some(subject);
            if let Some((_, name)) = self.0.iter().find(is_about) {
                finding.message = format!("{}, {name}", finding.message);
            }
        }
    }
}
