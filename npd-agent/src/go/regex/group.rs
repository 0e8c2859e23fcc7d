//! What may follow `(?`.

use super::{Error, Kind};

/// What a `(?…` starts.
pub(super) enum Opening {
    /// A group with a name. The name is not kept.
    Capture,
    /// Flags switched on and off, for the group that starts here or for the rest of the current one.
    Flags {
        on: String,
        off: String,
        group: bool,
    },
    /// `(?)` changes nothing.
    Nothing,
}

impl Opening {
    /// Splits `(?:`, `(?i-s:`, `(?i)` or `(?P<name>` off.
    pub(super) fn split(token: &str) -> Result<(Self, &str), Error> {
        let name = token
            .strip_prefix("(?P<")
            .or_else(|| token.strip_prefix("(?<"));
        match name {
            Some(name) if !name.is_empty() => split_name(token, name),
            _ => split_flags(token),
        }
    }
}

fn split_name<'p>(token: &'p str, name: &'p str) -> Result<(Opening, &'p str), Error> {
    let Some((name, rest)) = name.split_once('>') else {
        return Err(Error::new(Kind::NamedCapture, token));
    };
    if name.is_empty() || name.contains(|c: char| c != '_' && !c.is_ascii_alphanumeric()) {
        return Err(Error::new(
            Kind::NamedCapture,
            &token[..token.len() - rest.len()],
        ));
    }
    Ok((Opening::Capture, rest))
}

fn split_flags(token: &str) -> Result<(Opening, &str), Error> {
    let (mut on, mut off) = (String::new(), String::new());
    let mut negated = false;
    let mut chars = token.chars();
    for c in chars.by_ref().skip("(?".len()) {
        match c {
            'i' | 'm' | 's' | 'U' => {
                // Go lets a flag be repeated, and the last word counts.
                on.retain(|flag| flag != c);
                off.retain(|flag| flag != c);
                if negated { off.push(c) } else { on.push(c) }
            }
            '-' if !negated => negated = true,
            ':' | ')' if !negated || !off.is_empty() => {
                let group = c == ':';
                let opening = if on.is_empty() && off.is_empty() && !group {
                    Opening::Nothing
                } else {
                    Opening::Flags { on, off, group }
                };
                return Ok((opening, chars.as_str()));
            }
            _ => break,
        }
    }
    let read = &token[..token.len() - chars.as_str().len()];
    Err(Error::new(Kind::PerlSyntax, read))
}
