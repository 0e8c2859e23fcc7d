//! The grammar: groups, repetitions, atoms. Looks at things in the same order as Go's parser, so
//! that a pattern with several faults gets Go's complaint.

use super::class;
use super::escape;
use super::group::Opening;
use super::{Error, Kind};

/// More copies of the innermost thing are an error, however they come about.
const MAX_COPIES: usize = 1000;

/// Rewrites a pattern from Go's syntax into that of the `regex` crate.
pub fn translate(pattern: &str) -> Result<String, Error> {
    let translator = Translator {
        pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() + 16),
        outer: Vec::new(),
        group: Group::at(0),
    };
    translator.run()
}

struct Translator<'p> {
    pattern: &'p str,
    /// What is still to be read.
    rest: &'p str,
    out: String,
    /// Groups around the current one.
    outer: Vec<Group>,
    group: Group,
}

/// A group that is still open.
struct Group {
    /// Where it starts in the output.
    start: usize,
    /// What a repetition would apply to.
    atom: Option<Atom>,
    /// How often its most repeated part occurs.
    copies: usize,
}

impl Group {
    fn at(start: usize) -> Self {
        Self {
            start,
            atom: None,
            copies: 1,
        }
    }
}

/// The smallest thing that a repetition can apply to.
struct Atom {
    /// Where it stands in the output.
    start: usize,
    end: usize,
    /// How often its most repeated part occurs.
    copies: usize,
    repeated: bool,
}

impl<'p> Translator<'p> {
    fn run(mut self) -> Result<String, Error> {
        // The pattern from a repetition on, if that is what was read last.
        let mut last_repeat = None;
        while let Some(c) = self.rest.chars().next() {
            let token = self.rest;
            let rest = &token[c.len_utf8()..];
            self.rest = rest;
            let mut repeat = None;
            match c {
                '(' => self.open_group(token)?,
                ')' => self.close_group()?,
                '|' => {
                    self.out.push('|');
                    self.group.atom = None;
                }
                '^' | '$' | '.' => self.push_atom(|out| out.push(c)),
                '[' => {
                    let (class, rest) = class::split(token)?;
                    self.push_atom(|out| out.push_str(&class));
                    self.rest = rest;
                }
                '\\' => self.escape(token)?,
                '*' | '+' | '?' => {
                    self.repeat(token, Count { min: 1, max: None }, last_repeat)?;
                    repeat = Some(token);
                }
                '{' => match Count::split(token) {
                    Some((count, rest)) => {
                        if !count.is_valid() {
                            return Err(Error::new(Kind::RepeatCount, read(token, rest)));
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
            Err(Error::new(Kind::MissingParenthesis, self.pattern))
        }
    }

    fn push_atom(&mut self, write: impl FnOnce(&mut String)) {
        let start = self.out.len();
        write(&mut self.out);
        self.group.atom = Some(Atom {
            start,
            end: self.out.len(),
            copies: 1,
            repeated: false,
        });
    }

    fn push_literal(&mut self, c: char) {
        self.push_atom(|out| escape::push_literal(out, c));
    }

    fn open_group(&mut self, token: &'p str) -> Result<(), Error> {
        let start = self.out.len();
        if token.starts_with("(?") {
            let (opening, rest) = Opening::split(token)?;
            self.rest = rest;
            match opening {
                Opening::Capture => self.out.push('('),
                Opening::Flags { on, off, group } => {
                    self.out.push_str("(?");
                    self.out.push_str(&on);
                    if !off.is_empty() {
                        self.out.push('-');
                        self.out.push_str(&off);
                    }
                    if !group {
                        // They hold for what follows, and are no atom.
                        self.out.push(')');
                        return Ok(());
                    }
                    self.out.push(':');
                }
                Opening::Nothing => return Ok(()),
            }
        } else {
            self.out.push('(');
        }
        self.outer
            .push(std::mem::replace(&mut self.group, Group::at(start)));
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), Error> {
        let outer = self
            .outer
            .pop()
            .ok_or_else(|| Error::new(Kind::UnexpectedParenthesis, self.pattern))?;
        let Group { start, copies, .. } = std::mem::replace(&mut self.group, outer);
        self.out.push(')');
        self.group.copies = self.group.copies.max(copies);
        self.group.atom = Some(Atom {
            start,
            end: self.out.len(),
            copies,
            repeated: false,
        });
        Ok(())
    }

    fn escape(&mut self, token: &'p str) -> Result<(), Error> {
        let mut rest = self.rest.chars();
        match rest.next() {
            Some(c @ ('A' | 'z')) => self.push_atom(|out| out.extend(['\\', c])),
            Some('b') => self.push_atom(|out| out.push_str(r"(?-u:\b)")),
            Some('B') => self.push_atom(|out| out.push_str(r"(?-u:\B)")),
            Some('C') => return Err(Error::new(Kind::Escape, r"\C")),
            Some('Q') => {
                let quoted = rest.as_str();
                let (literal, rest) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
                for c in literal.chars() {
                    self.push_literal(c);
                }
                self.rest = rest;
                return Ok(());
            }
            _ => {
                if let Some((class, rest)) = class::split_escape(token)? {
                    self.push_atom(|out| out.push_str(&class));
                    self.rest = rest;
                } else {
                    let (point, rest) = escape::split(token)?;
                    self.push_atom(|out| match char::from_u32(point) {
                        Some(c) => escape::push_literal(out, c),
                        None => out.push_str(class::NOTHING),
                    });
                    self.rest = rest;
                }
                return Ok(());
            }
        }
        self.rest = rest.as_str();
        Ok(())
    }

    /// Applies the repetition that stands between `token` and `rest`.
    fn repeat(
        &mut self,
        token: &'p str,
        count: Count,
        last_repeat: Option<&'p str>,
    ) -> Result<(), Error> {
        self.rest = self.rest.strip_prefix('?').unwrap_or(self.rest);
        if let Some(last) = last_repeat {
            return Err(Error::new(Kind::RepeatOperator, read(last, self.rest)));
        }
        let operator = read(token, self.rest);
        let Some(atom) = &mut self.group.atom else {
            return Err(Error::new(Kind::RepeatArgument, operator));
        };
        atom.copies = count.times(atom.copies);
        if atom.copies > MAX_COPIES {
            return Err(Error::new(Kind::RepeatCount, operator));
        }
        self.group.copies = self.group.copies.max(atom.copies);
        if atom.repeated {
            // Something that is no atom stood between this operator and the one before.
            self.out.insert(atom.end, ')');
            self.out.insert_str(atom.start, "(?:");
            atom.end += "(?:)".len();
        }
        self.out.insert_str(atom.end, operator);
        atom.end += operator.len();
        atom.repeated = true;
        Ok(())
    }
}

/// What was read from one rest of the pattern to the next.
fn read<'p>(from: &'p str, to: &str) -> &'p str {
    from.strip_suffix(to).unwrap_or(from)
}

/// `{2}`, `{2,}` or `{2,3}`.
struct Count {
    min: usize,
    max: Option<usize>,
}

impl Count {
    /// Splits a count off, or `None` if the brace is just a brace.
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

    fn is_valid(&self) -> bool {
        self.min <= MAX_COPIES
            && self
                .max
                .is_none_or(|max| (self.min..=MAX_COPIES).contains(&max))
    }

    /// The copies of something that occurs so often within what is repeated.
    fn times(&self, copies: usize) -> usize {
        match self.max.unwrap_or(self.min.max(1)) {
            // What does not occur at all is not counted at all.
            0 => 1,
            count => count * copies,
        }
    }
}

/// Splits a number without leading zeros off; a huge one becomes `usize::MAX`.
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
