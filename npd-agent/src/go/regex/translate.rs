//! The grammar: groups, repetitions, atoms. Checks in the same order as Go's parser, so that a pattern
//! with several errors gets the same message.

use super::class;
use super::escape;
use super::group::Opening;
use super::{RegexError, RegexErrorKind};

/// The most copies of one part of a pattern, by all repetitions around it.
const MAX_COPIES: usize = 1000;

/// Rewrites a pattern from Go's syntax into that of the `regex` crate.
pub fn translate(pattern: &str) -> Result<String, RegexError> {
    run(pattern, false)
}

/// The same, and keeps the names of groups.
pub fn translate_with_names(pattern: &str) -> Result<String, RegexError> {
    run(pattern, true)
}

fn run(pattern: &str, names: bool) -> Result<String, RegexError> {
    let translator = RegexTranslator {
        pattern,
        names,
        rest: pattern,
        out: String::with_capacity(pattern.len() + 16),
        outer: Vec::new(),
        group: OpenGroup::EMPTY,
    };
    translator.run()
}

struct RegexTranslator<'p> {
    pattern: &'p str,
    /// Whether groups keep their names.
    names: bool,
    /// The rest of the pattern.
    rest: &'p str,
    out: String,
    /// The groups around the current one.
    outer: Vec<OpenGroup>,
    group: OpenGroup,
}

/// A group that is still open, or the whole pattern.
struct OpenGroup {
    /// The atom that a repetition would apply to: how many copies its most repeated part has.
    atom: Option<usize>,
    /// The same for everything before the atom.
    copies: usize,
}

impl OpenGroup {
    const EMPTY: Self = Self {
        atom: None,
        copies: 1,
    };

    /// Moves on: a repetition no longer applies to the atom before.
    fn set_atom(&mut self, atom: Option<usize>) {
        if let Some(last) = std::mem::replace(&mut self.atom, atom) {
            self.copies = self.copies.max(last);
        }
    }
}

impl<'p> RegexTranslator<'p> {
    fn run(mut self) -> Result<String, RegexError> {
        // The rest of the pattern, beginning with a repetition, if a repetition was read last.
        let mut last_repeat = None;
        while let Some(c) = self.rest.chars().next() {
            let token = self.rest;
            self.rest = &token[c.len_utf8()..];
            let mut repeat = None;
            match c {
                '(' => self.open_group(token)?,
                ')' => self.close_group()?,
                '|' => {
                    self.out.push('|');
                    self.group.set_atom(None);
                }
                '^' | '$' | '.' => self.push_atom(|out| out.push(c)),
                '[' => {
                    let (class, rest) = class::split(token)?;
                    self.push_atom(|out| out.push_str(&class));
                    self.rest = rest;
                }
                '\\' => self.escape(token)?,
                '*' | '+' | '?' => {
                    self.repeat(token, RepeatCount { min: 1, max: None }, last_repeat)?;
                    repeat = Some(token);
                }
                '{' => match RepeatCount::split(token) {
                    Some((count, rest)) => {
                        if !count.is_valid() {
                            return Err(RegexError::new(
                                RegexErrorKind::RepeatCount,
                                read(token, rest),
                            ));
                        }
                        self.rest = rest;
                        self.repeat(token, count, last_repeat)?;
                        repeat = Some(token);
                    }
                    None => self.push_literal(c),
                },
                _ => self.push_literal(c),
            }
            last_repeat = repeat;
        }
        if self.outer.is_empty() {
            Ok(self.out)
        } else {
            Err(RegexError::new(
                RegexErrorKind::MissingParenthesis,
                self.pattern,
            ))
        }
    }

    fn push_atom(&mut self, write: impl FnOnce(&mut String)) {
        write(&mut self.out);
        self.group.set_atom(Some(1));
    }

    fn push_literal(&mut self, c: char) {
        self.push_atom(|out| escape::push_literal(out, c));
    }

    fn open_group(&mut self, token: &'p str) -> Result<(), RegexError> {
        let (opening, rest) = Opening::split(token)?;
        self.rest = rest;
        self.out.push_str(&opening.text);
        if let Some(name) = opening.name.filter(|_| self.names) {
            self.out.push_str("?P<");
            self.out.push_str(&name);
            self.out.push('>');
        }
        if opening.is_group {
            self.outer
                .push(std::mem::replace(&mut self.group, OpenGroup::EMPTY));
        } else {
            self.group.set_atom(None);
        }
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), RegexError> {
        let outer = self
            .outer
            .pop()
            .ok_or_else(|| RegexError::new(RegexErrorKind::UnexpectedParenthesis, self.pattern))?;
        let mut inner = std::mem::replace(&mut self.group, outer);
        inner.set_atom(None);
        self.out.push(')');
        self.group.set_atom(Some(inner.copies));
        Ok(())
    }

    fn escape(&mut self, token: &'p str) -> Result<(), RegexError> {
        let mut chars = self.rest.chars();
        let text = match chars.next() {
            Some('A') => r"\A",
            Some('z') => r"\z",
            Some('b') => r"(?-u:\b)",
            Some('B') => r"(?-u:\B)",
            Some('C') => return Err(RegexError::new(RegexErrorKind::Escape, r"\C")),
            Some('Q') => {
                let quoted = chars.as_str();
                let (literal, rest) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                self.group.set_atom(None);
                literal.chars().for_each(|c| self.push_literal(c));
                self.rest = rest;
                return Ok(());
            }
            _ => return self.escaped_class_or_char(token),
        };
        self.push_atom(|out| out.push_str(text));
        self.rest = chars.as_str();
        Ok(())
    }

    fn escaped_class_or_char(&mut self, token: &'p str) -> Result<(), RegexError> {
        if let Some((class, rest)) = class::split_escape(token)? {
            self.push_atom(|out| out.push_str(&class));
            self.rest = rest;
            return Ok(());
        }
        let (point, rest) = escape::split(token)?;
        match char::from_u32(point) {
            Some(c) => self.push_literal(c),
            None => self.push_atom(|out| out.push_str(class::NOTHING)),
        }
        self.rest = rest;
        Ok(())
    }

    /// Applies the repetition between `token` and `rest`.
    fn repeat(
        &mut self,
        token: &'p str,
        count: RepeatCount,
        last_repeat: Option<&'p str>,
    ) -> Result<(), RegexError> {
        self.rest = self.rest.strip_prefix('?').unwrap_or(self.rest);
        if let Some(last) = last_repeat {
            return Err(RegexError::new(
                RegexErrorKind::RepeatOperator,
                read(last, self.rest),
            ));
        }
        let operator = read(token, self.rest);
        let Some(atom) = &mut self.group.atom else {
            return Err(RegexError::new(RegexErrorKind::RepeatArgument, operator));
        };
        *atom = count.times(*atom);
        if *atom > MAX_COPIES {
            return Err(RegexError::new(RegexErrorKind::RepeatCount, operator));
        }
        self.out.push_str(operator);
        Ok(())
    }
}

/// The part of the pattern between two rests of it.
fn read<'p>(from: &'p str, to: &str) -> &'p str {
    from.strip_suffix(to).unwrap_or(from)
}

/// `{2}`, `{2,}` or `{2,3}`.
#[derive(Clone, Copy)]
struct RepeatCount {
    min: usize,
    max: Option<usize>,
}

impl RepeatCount {
    /// Splits off a count; `None` if the brace is only a character.
    fn split(token: &str) -> Option<(Self, &str)> {
        let (min, rest) = split_number(token.strip_prefix('{')?)?;
        let (max, rest) = match rest.strip_prefix(',') {
            None => (Some(min), rest),
            Some(rest) if rest.starts_with('}') => (None, rest),
            Some(rest) => {
                let (max, rest) = split_number(rest)?;
                (Some(max), rest)
            }
        };
        Some((Self { min, max }, rest.strip_prefix('}')?))
    }

    fn is_valid(self) -> bool {
        self.min <= MAX_COPIES
            && self
                .max
                .is_none_or(|max| (self.min..=MAX_COPIES).contains(&max))
    }

    /// How many copies there are of a part that has this many copies in the repeated part.
    fn times(self, copies: usize) -> usize {
        match self.max.unwrap_or(self.min.max(1)) {
            // A part without copies is not counted.
            0 => 1,
            count => count * copies,
        }
    }
}

/// Splits off a number without leading zeros; a huge one becomes `usize::MAX`.
fn split_number(text: &str) -> Option<(usize, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((digits.parse().unwrap_or(usize::MAX), rest))
}
