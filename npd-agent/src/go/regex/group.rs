//! Reads the start of a group: what follows an opening parenthesis.

use super::{RegexError, RegexErrorKind};

/// `(`, `(?:`, `(?i-s:`, `(?i)` or `(?P<name>`.
pub(super) struct Opening {
    /// Its text for the `regex` crate, without the name.
    pub(super) text: String,
    /// Its name, if it has one.
    pub(super) name: Option<String>,
    /// False if it only sets flags for the rest of the group around it.
    pub(super) is_group: bool,
}

impl Opening {
    pub(super) fn split(token: &str) -> Result<(Self, &str), RegexError> {
        if !token.starts_with("(?") {
            return Ok((Self::capture(), &token[1..]));
        }
        let name = token
            .strip_prefix("(?P<")
            .or_else(|| token.strip_prefix("(?<"));
        match name {
            Some(name) if !name.is_empty() => split_name(token, name),
            _ => split_flags(token),
        }
    }

    fn capture() -> Self {
        Self {
            text: "(".to_owned(),
            name: None,
            is_group: true,
        }
    }
}

fn split_name<'p>(token: &'p str, name: &'p str) -> Result<(Opening, &'p str), RegexError> {
    let Some((name, rest)) = name.split_once('>') else {
        return Err(RegexError::new(RegexErrorKind::NamedCapture, token));
    };
    if name.is_empty() || name.contains(|c: char| c != '_' && !c.is_ascii_alphanumeric()) {
        return Err(RegexError::new(
            RegexErrorKind::NamedCapture,
            &token[..token.len() - rest.len()],
        ));
    }
    let opening = Opening {
        name: Some(name.to_owned()),
        ..Opening::capture()
    };
    Ok((opening, rest))
}

fn split_flags(token: &str) -> Result<(Opening, &str), RegexError> {
    let (mut on, mut off) = (String::new(), String::new());
    let mut negated = false;
    let mut chars = token.chars();
    for c in chars.by_ref().skip("(?".len()) {
        match c {
            'i' | 'm' | 's' | 'U' => {
                // Go accepts a flag several times, and the last one counts.
                on.retain(|flag| flag != c);
                off.retain(|flag| flag != c);
                if negated { off.push(c) } else { on.push(c) }
            }
            '-' if !negated => negated = true,
            ':' | ')' if !negated || !off.is_empty() => {
                let minus = if negated { "-" } else { "" };
                let text = match format!("(?{on}{minus}{off}{c}") {
                    text if text == "(?)" => String::new(),
                    text => text,
                };
                return Ok((
                    Opening {
                        text,
                        name: None,
                        is_group: c == ':',
                    },
                    chars.as_str(),
                ));
            }
            _ => break,
        }
    }
    let read = &token[..token.len() - chars.as_str().len()];
    Err(RegexError::new(RegexErrorKind::PerlSyntax, read))
}
