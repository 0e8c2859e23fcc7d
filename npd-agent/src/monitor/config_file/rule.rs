//! The keys that every rule has: its type, its condition and its reason.

use std::sync::Arc;

use super::{FileCheck, Lenient};
use crate::go::json::ConfigProblem;
use crate::problem::{Action, Advice, Healthy, Problem, Severity};

/// The longest label of a metric that NPD accepts, in bytes.
const LONGEST_LABEL: usize = 255;

/// The keys that the rules of every kind of monitor have.
#[derive(Clone, Copy, Debug)]
pub struct RuleHead<'a> {
    /// Its place among the rules of the file.
    pub index: usize,
    /// `temporary`. Anything else is permanent, as in NPD.
    pub r#type: &'a str,
    /// The condition that a permanent rule sets.
    pub condition: &'a str,
    /// The reason of its Events and of its condition.
    pub reason: &'a str,
}

impl RuleHead<'_> {
    /// The path to a key of the rule, for messages.
    pub fn path(&self, key: &str) -> String {
        format!("rules[{}].{key}", self.index)
    }

    /// Whether it sets a condition. If not, each match is an Event of its own.
    pub fn is_permanent(&self) -> bool {
        self.r#type != "temporary"
    }

    /// What is wrong with its condition, if it sets one that the file does not declare.
    pub fn undeclared(&self, conditions: &[Healthy]) -> Option<String> {
        let declared = || conditions.iter().any(|of| *of.r#type == *self.condition);
        if !self.is_permanent() || declared() {
            None
        } else if self.condition.is_empty() {
            Some("is missing".to_owned())
        } else {
            Some(format!(
                "{:?} is not declared in conditions",
                self.condition
            ))
        }
    }

    /// The problem that the rule reports. Notes mistakes that make the rule do less than it seems to.
    /// Like NPD, refuses names that cannot be labels of metrics.
    pub fn problem(
        &self,
        check: &mut FileCheck<'_>,
        conditions: &[Healthy],
        metrics: bool,
    ) -> Result<Problem, ConfigProblem> {
        if metrics {
            self.check_labels(check)?;
        }
        match self.r#type {
            "temporary" | "permanent" => {}
            "" => check.note(
                &self.path("type"),
                "is missing; the rule counts as permanent",
            ),
            other => check.note(
                &self.path("type"),
                format!(
                    "{other:?} is neither temporary nor permanent; the rule counts as permanent"
                ),
            ),
        }
        let undeclared = self.undeclared(conditions);
        if let Some(message) = &undeclared {
            let message = format!("{message}; the rule has no effect");
            check.note(&self.path("condition"), message);
        }
        Ok(Problem {
            reason: Arc::from(self.reason),
            condition: self.is_permanent().then(|| Arc::from(self.condition)),
            message_is_news: false,
            metrics,
            inert: undeclared.is_some(),
            advice: None,
        })
    }

    /// The severity and the action, if the rule has either, and whether it is only tried.
    pub fn advice(
        &self,
        check: &mut FileCheck<'_>,
        severity: Lenient<Severity>,
        action: Lenient<Action>,
        dry_run: Lenient<bool>,
    ) -> Option<Advice> {
        let severity = severity.take(check, &self.path("severity"));
        let action = action.take(check, &self.path("action"));
        let dry_run = dry_run.take(check, &self.path("dryRun")).unwrap_or(false);
        (severity.is_some() || action.is_some() || dry_run).then(|| Advice {
            severity: severity.unwrap_or(Severity::Warning),
            action: action.unwrap_or(Action::None),
            dry_run,
        })
    }

    fn check_labels(&self, check: &FileCheck<'_>) -> Result<(), ConfigProblem> {
        let labels = [("reason", self.reason), ("condition", self.condition)];
        let labels = &labels[..if self.r#type == "permanent" { 2 } else { 1 }];
        for (key, label) in labels {
            let is_printable = label.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            if !is_printable || label.len() > LONGEST_LABEL {
                let message = format!(
                    "cannot be a metric's label: it may have {LONGEST_LABEL} printable ASCII \
                     characters"
                );
                return Err(check.error(&self.path(key), message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};

    use super::super::ConfigFile;
    use super::*;

    #[track_caller]
    fn check(head: RuleHead<'_>, expect: &Expect) {
        let file = ConfigFile {
            name: Arc::from("x.json"),
            dir: None,
            bytes: b"{}".to_vec(),
        };
        let conditions = [Healthy {
            r#type: Arc::from("Sick"),
            reason: Arc::from("Well"),
            message: String::new(),
        }];
        let mut problems = Vec::new();
        let problem = head.problem(&mut FileCheck::new(&file, &mut problems), &conditions, true);
        let mut shown = match problem {
            Ok(Problem {
                condition, inert, ..
            }) => {
                let effect = if inert { "nothing" } else { "reported" };
                format!("{}, {effect}\n", condition.as_deref().unwrap_or("an Event"))
            }
            Err(error) => format!("refused: {error}\n"),
        };
        for problem in problems {
            writeln!(shown, "{}: {}", problem.path, problem.message).unwrap();
        }
        expect.assert_eq(&shown);
    }

    const RULE: RuleHead<'static> = RuleHead {
        index: 3,
        r#type: "permanent",
        condition: "Sick",
        reason: "Ill",
    };

    #[test]
    fn what_is_not_temporary_is_permanent() {
        check(
            RULE,
            &expect![[r"
            Sick, reported
        "]],
        );
        let temporary = RuleHead {
            r#type: "temporary",
            condition: "Whatever",
            ..RULE
        };
        check(
            temporary,
            &expect![[r"
            an Event, reported
        "]],
        );
        for (r#type, expect) in [
            (
                "",
                expect![[r"
                Sick, reported
                rules[3].type: is missing; the rule counts as permanent
            "]],
            ),
            (
                "Temporary",
                expect![[r#"
                Sick, reported
                rules[3].type: "Temporary" is neither temporary nor permanent; the rule counts as permanent
            "#]],
            ),
        ] {
            check(RuleHead { r#type, ..RULE }, &expect);
        }
    }

    #[test]
    fn a_condition_that_nobody_declares_is_not_set() {
        for (condition, expect) in [
            (
                "sick",
                expect![[r#"
                sick, nothing
                rules[3].condition: "sick" is not declared in conditions; the rule has no effect
            "#]],
            ),
            (
                "",
                expect![[r"
                , nothing
                rules[3].condition: is missing; the rule has no effect
            "]],
            ),
        ] {
            check(RuleHead { condition, ..RULE }, &expect);
        }
    }

    #[test]
    fn what_cannot_be_a_label_is_refused_as_in_npd() {
        let long = "R".repeat(256);
        for reason in ["Ré", "a\nb", &long] {
            check(
                RuleHead { reason, ..RULE },
                &expect![[r"
                refused: x.json:1:1: rules[3].reason: cannot be a metric's label: it may have 255 printable ASCII characters
            "]],
            );
        }
        let reason = &long[1..];
        check(
            RuleHead { reason, ..RULE },
            &expect![[r"
            Sick, reported
        "]],
        );
    }
}
