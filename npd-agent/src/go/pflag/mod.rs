//! Reads a command line as pflag does, the library that NPD's programs use.
//!
//! No crate does this: clap and similar crates refuse repeated flags, words that are not flags, and
//! Go's way to write numbers. pflag accepts all of them. A program is a table of [`Flag`]s. The same
//! table prints `--help`, and a test compares it with `docs/flags.md`.

mod help;
mod set;

use std::ffi::OsString;

use super::quote::quote;
pub use set::{
    boolean, choice, duration, float, integer, level, list, path, string, switch, vmodule,
};

/// A flag of a program that stores its values in a `T`.
pub struct Flag<T> {
    /// The name with its dashes, so that a search for what users type finds this definition.
    pub name: &'static str,
    /// The short form: a letter after a single dash.
    pub letter: Option<char>,
    /// The placeholder of the value in the help; empty for a boolean, which needs no value.
    pub value: &'static str,
    /// The default value; empty if there is none.
    pub default: &'static str,
    /// The meaning, in one line.
    pub help: &'static str,
    /// Whether the help does not show it.
    pub is_hidden: bool,
    /// If it is deprecated: the flag to use instead.
    pub instead: Option<&'static str>,
    /// Stores a value in `T`. It also gets the name of the flag.
    pub set: fn(&mut T, &str, &str) -> anyhow::Result<()>,
}

impl<T> Clone for Flag<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Flag<T> {}

impl<T> Flag<T> {
    /// A flag that takes a value.
    pub const fn new(
        name: &'static str,
        value: &'static str,
        default: &'static str,
        help: &'static str,
        set: fn(&mut T, &str, &str) -> anyhow::Result<()>,
    ) -> Self {
        Self {
            name,
            letter: None,
            value,
            default,
            help,
            is_hidden: false,
            instead: None,
            set,
        }
    }

    /// A boolean: `--name` means true, and a value comes after `=`.
    pub const fn boolean(
        name: &'static str,
        default: &'static str,
        help: &'static str,
        set: fn(&mut T, &str, &str) -> anyhow::Result<()>,
    ) -> Self {
        Self::new(name, "", default, help, set)
    }

    /// The same flag with a short form.
    #[must_use]
    pub const fn letter(mut self, letter: char) -> Self {
        self.letter = Some(letter);
        self
    }

    /// The same flag, but the help does not show it.
    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.is_hidden = true;
        self
    }

    /// The same flag, but deprecated: users should use `instead`.
    #[must_use]
    pub const fn deprecated(mut self, instead: &'static str) -> Self {
        self.instead = Some(instead);
        self.hidden()
    }

    fn is_boolean(&self) -> bool {
        self.value.is_empty()
    }

    /// How pflag's errors name the flag.
    fn full_name(&self) -> String {
        match self.letter {
            Some(letter) => format!("-{letter}, {}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// A program's command line.
pub struct Program<T> {
    /// Its name.
    pub name: &'static str,
    /// The purpose; the first text of the help.
    pub about: &'static str,
    /// The words that the line may have besides flags, for the help.
    pub words: &'static str,
    /// The last text of the help.
    pub after: &'static str,
    /// Its flags, with headings.
    pub sections: Vec<(&'static str, Vec<Flag<T>>)>,
}

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum ParsedLine<T> {
    /// To run.
    Run(T, Words),
    /// To print this.
    Help(String),
}

/// The parts of a command line that are not flags, or have no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The words that are not flags. NPD's programs ignore them.
    pub words: Vec<String>,
    /// Booleans with a word after them that looks like their value. They are true, whatever it says.
    pub not_taken: Vec<String>,
    /// Deprecated flags, each with the flag to use instead.
    pub deprecated: Vec<(&'static str, &'static str)>,
}

impl Words {
    /// The parts that the program ignores, as a text for people; `None` if it ignores nothing.
    pub fn ignored(&self) -> Option<String> {
        if self.words.is_empty() {
            return None;
        }
        let words: Vec<String> = self.words.iter().map(|word| quote(word)).collect();
        let words = words.join(", ");
        let not_taken = self.not_taken.iter().map(|written| {
            let name = written.split('=').next().unwrap_or_default();
            format!("; {name} is true: to set it, write {written}")
        });
        let not_taken = not_taken.collect::<String>();
        Some(format!(
            "ignored, because they are no flags: {words}{not_taken}"
        ))
    }
}

/// A command line that is refused, in pflag's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// There is no such flag.
    #[error("unknown flag: {0}")]
    Unknown(String),
    /// There is no flag with this letter.
    #[error("unknown shorthand flag: {letter:?} in -{word}")]
    UnknownLetter {
        /// The letter.
        letter: char,
        /// The word that contains the letter.
        word: String,
    },
    /// A word that begins like a flag, but cannot be one.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// The line ends, but the flag needs a value.
    #[error("flag needs an argument: {0}")]
    NoValue(String),
    /// A value that the flag does not accept.
    #[error("invalid argument {} for \"{flag}\" flag: {reason}", quote(value))]
    Value {
        /// The value.
        value: String,
        /// The flag.
        flag: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a word of the line means.
enum Step {
    Go,
    Help,
}

impl<T: Default> Program<T> {
    /// Reads a command line, without the program's name.
    ///
    /// # Errors
    ///
    /// What pflag refuses.
    pub fn parse(
        &self,
        line: impl IntoIterator<Item = OsString>,
    ) -> Result<ParsedLine<T>, UsageError> {
        let mut values = T::default();
        for flag in self.flags().filter(|flag| !flag.default.is_empty()) {
            set(flag, &mut values, flag.default)?;
        }
        let mut words = Words::default();
        // Go accepts any bytes. A word that is not UTF-8 can only be ignored, or the name of a file.
        let mut line = line
            .into_iter()
            .map(|word| word.to_string_lossy().into_owned());
        let mut boolean: Option<&Flag<T>> = None;
        while let Some(word) = line.next() {
            let before = boolean.take();
            if word == "--" {
                words.words.extend(line);
                break;
            }
            let mut reader = FlagReader {
                program: self,
                values: &mut values,
                deprecated: &mut words.deprecated,
                boolean: &mut boolean,
                rest: &mut line,
            };
            let step = if let Some(long) = word.strip_prefix("--") {
                reader.long(long)?
            } else if let Some(letters) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                reader.letters(letters)?
            } else {
                if let Some(flag) = before.filter(|_| crate::go::boolean::parse_bool(&word).is_ok())
                {
                    words.not_taken.push(format!("{}={word}", flag.name));
                }
                words.words.push(word);
                Step::Go
            };
            if matches!(step, Step::Help) {
                return Ok(ParsedLine::Help(self.help()));
            }
        }
        Ok(ParsedLine::Run(values, words))
    }
}

impl<T> Program<T> {
    /// Every flag.
    pub fn flags(&self) -> impl Iterator<Item = &Flag<T>> {
        self.sections.iter().flat_map(|(_, flags)| flags)
    }
}

/// Reads one word, and the next word if that is the value.
struct FlagReader<'a, 'p, T, I> {
    program: &'p Program<T>,
    values: &'a mut T,
    deprecated: &'a mut Vec<(&'static str, &'static str)>,
    /// The flag, if it is a boolean without a value.
    boolean: &'a mut Option<&'p Flag<T>>,
    rest: &'a mut I,
}

impl<T, I: Iterator<Item = String>> FlagReader<'_, '_, T, I> {
    /// Reads `--name`, `--name=value` or `--name value`.
    fn long(&mut self, word: &str) -> Result<Step, UsageError> {
        if word.starts_with(['-', '=']) {
            return Err(UsageError::Syntax(format!("--{word}")));
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let mut flags = self.program.flags();
        let Some(flag) = flags.find(|flag| flag.name.strip_prefix("--") == Some(name)) else {
            return match name {
                "help" => Ok(Step::Help),
                _ => Err(UsageError::Unknown(format!("--{name}"))),
            };
        };
        if let Some(value) = value {
            return self.take(flag, value);
        }
        if flag.is_boolean() {
            *self.boolean = Some(flag);
            return self.take(flag, "true");
        }
        match self.rest.next() {
            Some(value) => self.take(flag, &value),
            None => Err(UsageError::NoValue(format!("--{name}"))),
        }
    }

    /// Reads the letters after a single dash, and the value of the last one.
    fn letters(&mut self, word: &str) -> Result<Step, UsageError> {
        for (at, letter) in word.char_indices() {
            let mut flags = self.program.flags();
            let Some(flag) = flags.find(|flag| flag.letter == Some(letter)) else {
                return match letter {
                    'h' => Ok(Step::Help),
                    _ => Err(UsageError::UnknownLetter {
                        letter,
                        word: word[at..].to_owned(),
                    }),
                };
            };
            let after = &word[at + letter.len_utf8()..];
            match after.strip_prefix('=').filter(|value| !value.is_empty()) {
                Some(value) => return self.take(flag, value),
                None if flag.is_boolean() => {
                    *self.boolean = Some(flag);
                    self.take(flag, "true")?;
                }
                None if !after.is_empty() => return self.take(flag, after),
                None => {
                    let no_value =
                        || UsageError::NoValue(format!("{letter:?} in -{}", &word[at..]));
                    let value = self.rest.next().ok_or_else(no_value)?;
                    return self.take(flag, &value);
                }
            }
        }
        Ok(Step::Go)
    }

    fn take(&mut self, flag: &Flag<T>, value: &str) -> Result<Step, UsageError> {
        set(flag, self.values, value)?;
        if let Some(instead) = flag.instead
            && !self.deprecated.contains(&(flag.name, instead))
        {
            self.deprecated.push((flag.name, instead));
        }
        Ok(Step::Go)
    }
}

fn set<T>(flag: &Flag<T>, values: &mut T, value: &str) -> Result<(), UsageError> {
    (flag.set)(values, flag.name, value).map_err(|error| UsageError::Value {
        value: value.to_owned(),
        flag: flag.full_name(),
        reason: format!("{error:#}"),
    })
}

#[cfg(test)]
pub(crate) mod tests;
