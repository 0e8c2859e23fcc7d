//! Patterns in Go's syntax.
//!
//! Go's `regexp` and the `regex` crate are both RE2's children: linear time, leftmost-first, no
//! look-around, no back-references. What they find is the same; how it is written is not. So a
//! pattern is [translated](translate()) from Go's syntax, and what Go rejects is rejected in Go's
//! words.
//! No crate does that: `fancy-regex` and `pcre2` accept what Go rejects, and are not linear.
//!
//! | in a pattern | Go | `regex` |
//! | --- | --- | --- |
//! | `\d`, `\s`, `\w`, `\b` | ASCII, `\s` without `\v` | Unicode |
//! | `{` that repeats nothing | itself | error |
//! | `[`, `&&`, `--`, `~~` in a class | themselves | set operations |
//! | `\<`, `\>` | `<`, `>` | word boundaries |
//! | `\Q…\E`, `\101`, `\p{^Greek}` | supported | error |
//! | `a**`, `a{1001}`, `(?x)`, `\u00e9` | error | supported |
//!
//! Names of groups are dropped: NPD counts groups, and Go lets two have the same name. Accepted
//! although Go does not: other spellings of a script (`\p{Grek}`, `\p{Old_Italic}`). Not accepted
//! although Go does: a repetition right after flags (`a(?i)*`) or nothing (`a\Q\E*`), and what
//! compiles to more than 10 MB or nests deeper than 250 levels, the `regex` crate's bounds. A
//! group inside of something repeated `{0}` times is not counted.

mod class;
mod error;
mod escape;
mod group;
#[cfg(test)]
mod tests;
mod translate;

pub use error::{RegexError, RegexErrorKind};
pub use translate::translate;

/// Compiles a pattern as Go's `regexp.Compile` does.
pub fn compile(pattern: &str) -> Result<regex::Regex, RegexError> {
    regex::Regex::new(&translate(pattern)?).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => RegexError::new(RegexErrorKind::TooLarge, pattern),
        // The translation is sound, so its depth is all that the parser can refuse.
        _ => RegexError::new(RegexErrorKind::NestingDepth, pattern),
    })
}

/// Compiles a rule's pattern as NPD does: with `\z` appended to its text.
///
/// So of a top-level alternation only the last branch is anchored, and an unterminated `\Q` quotes
/// the anchor. The translated text ([`regex::Regex::as_str`]) can go into a [`regex::RegexSet`].
pub fn compile_anchored(pattern: &str) -> Result<regex::Regex, RegexError> {
    compile(&format!(r"{pattern}\z"))
}
