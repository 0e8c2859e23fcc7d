//! What `--help` prints: one line per flag.

use super::{Flag, Program};

/// If a flag is longer than this, its meaning is on the next line.
const WIDEST: usize = 32;

impl<T> Program<T> {
    /// The text of `--help`.
    pub fn help(&self) -> String {
        let Self {
            name,
            about,
            words,
            after,
            ..
        } = self;
        let shown = |flag: &&Flag<T>| !flag.is_hidden;
        let widest = self.flags().filter(shown).map(|flag| flag.usage().len());
        let width = widest.filter(|width| *width <= WIDEST).max();
        let width = width.unwrap_or(WIDEST);
        let line = |usage: &str, meaning: &str| {
            if usage.len() > width {
                format!("  {usage}\n  {:width$}  {meaning}\n", "")
            } else {
                format!("  {usage:width$}  {meaning}\n")
            }
        };
        let mut parts = vec![format!("{about}\n\nUsage: {name} [FLAGS]{words}\n")];
        for (heading, flags) in &self.sections {
            if flags.iter().any(|flag| !flag.is_hidden) {
                parts.push(format!("\n{heading}:\n"));
            }
            let flags = flags.iter().filter(shown);
            parts.extend(flags.map(|flag| line(&flag.usage(), &flag.meaning())));
        }
        parts.push(line("-h, --help", "Print this help and exit"));
        if !after.is_empty() {
            parts.push(format!("\n{after}\n"));
        }
        parts.concat()
    }
}

impl<T> Flag<T> {
    /// The flag as users type it.
    fn usage(&self) -> String {
        let letter = match self.letter {
            Some(letter) => format!("-{letter}, "),
            None => "    ".to_owned(),
        };
        let value = match self.value {
            "" => String::new(),
            value => format!(" {value}"),
        };
        format!("{letter}{}{value}", self.name)
    }

    /// The meaning and the default, unless the meaning already names the default.
    fn meaning(&self) -> String {
        let Self { help, default, .. } = self;
        let is_off = self.is_boolean() && *default == "false";
        if default.is_empty() || is_off {
            (*help).to_owned()
        } else {
            format!("{help} [default: {default}]")
        }
    }
}
