//! Patterns in Go's syntax.
//!
//! Go's `regexp` and the `regex` crate both follow RE2: linear time, leftmost-first, no look-around, no
//! back-references. They find the same, but their syntax differs. So a pattern is
//! [translated](translate()) from Go's syntax. What Go rejects is rejected with Go's message.
//! No crate does this translation: `fancy-regex` and `pcre2` accept what Go rejects, and are not linear.
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
//! Other differences:
//!
//! * The names of groups are dropped, except by [`compile_record`]: NPD counts groups, and in Go two may
//!   have the same name.
//! * Other spellings of a script (`\p{Grek}`, `\p{Old_Italic}`) are accepted; Go rejects them.
//! * A repetition after flags (`a(?i)*`) or after nothing (`a\Q\E*`) is rejected; Go accepts it.
//! * A pattern that compiles to more than 10 MB or nests deeper than 250 levels is rejected: these are
//!   limits of the `regex` crate.
//! * A group inside something that is repeated `{0}` times is not counted.

mod class;
mod error;
mod escape;
mod group;
mod lazy;
#[cfg(test)]
mod tests;
mod translate;

pub use error::{RegexError, RegexErrorKind};
pub use lazy::LazyRegex;
pub use translate::{translate, translate_with_names};

/// Compiles a pattern as Go's `regexp.Compile` does.
pub fn compile(pattern: &str) -> Result<regex::Regex, RegexError> {
    regex::Regex::new(&translate(pattern)?).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => RegexError::new(RegexErrorKind::TooLarge, pattern),
        // The translation is valid, so the parser can refuse only its depth.
        _ => RegexError::new(RegexErrorKind::NestingDepth, pattern),
    })
}

/// Compiles a rule's pattern as NPD does: with `\z` appended to its text.
///
/// So in a top-level alternation only the last branch is anchored, and an unterminated `\Q` quotes the
/// anchor. The translated text ([`regex::Regex::as_str`]) can go into a [`regex::RegexSet`].
pub fn compile_anchored(pattern: &str) -> Result<regex::Regex, RegexError> {
    compile(&format!(r"{pattern}\z"))
}

/// Compiles a pattern that must match from the start of a text, but not to its end. Its groups keep
/// their names.
///
/// # Errors
///
/// If Go rejects the pattern, or two groups have the same name.
pub fn compile_record(pattern: &str) -> Result<regex::Regex, String> {
    let pattern = translate_with_names(pattern).map_err(|error| error.to_string())?;
    regex::Regex::new(&format!(r"\A(?:{pattern})")).map_err(|error| error.to_string())
}
