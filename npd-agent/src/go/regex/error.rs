//! Go's errors for patterns that it rejects.

/// Why Go rejects a pattern: `` error parsing regexp: missing closing ): `(a` ``.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {kind}: `{fragment}`")]
pub struct RegexError {
    /// The kind of error.
    pub kind: RegexErrorKind,
    /// The part of the pattern that is wrong.
    pub fragment: String,
}

impl RegexError {
    pub(super) fn new(kind: RegexErrorKind, fragment: &str) -> Self {
        Self {
            kind,
            fragment: fragment.to_owned(),
        }
    }
}

/// The errors of a pattern; the codes of Go's `regexp/syntax`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegexErrorKind {
    /// `[b-a]`, `[[:unknown:]]` or `\p{Unknown}`.
    #[error("invalid character class range")]
    CharRange,
    /// `\8`, `\u00e9`, `\Z`; back-references too.
    #[error("invalid escape sequence")]
    Escape,
    /// A group's name has other characters than letters, digits and underscores. Look-behind gives this
    /// error too.
    #[error("invalid named capture")]
    NamedCapture,
    /// `(?=…)`, `(?x)` and other Perl syntax after `(?`.
    #[error("invalid or unsupported Perl syntax")]
    PerlSyntax,
    /// `a**`.
    #[error("invalid nested repetition operator")]
    RepeatOperator,
    /// More than a thousand repetitions (nested ones are multiplied), or `{2,1}`.
    #[error("invalid repeat count")]
    RepeatCount,
    /// `[a`.
    #[error("missing closing ]")]
    MissingBracket,
    /// `(a`.
    #[error("missing closing )")]
    MissingParenthesis,
    /// `a)`.
    #[error("unexpected )")]
    UnexpectedParenthesis,
    /// `*a`.
    #[error("missing argument to repetition operator")]
    RepeatArgument,
    /// `a\`.
    #[error("trailing backslash at end of expression")]
    TrailingBackslash,
    /// Too many levels.
    #[error("expression nests too deeply")]
    NestingDepth,
    /// The compiled pattern is too large.
    #[error("expression too large")]
    TooLarge,
}
