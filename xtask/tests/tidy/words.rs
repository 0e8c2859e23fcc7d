//! Pages and log lines have no words that only we use.

use regex::Regex;

use crate::{assert_none, files};

/// Words that readers had to decode: told is reported or printed, kept is saved, anew is again.
const WORDS: &str = "told|tells|kept|anew|heeds?|heeded|mends?|mended|spoilt|hence|likewise|whoever|\
                     no more|is to be|are to be|sees to";

#[test]
fn pages_have_no_private_words() {
    let files = files().unwrap();
    let words = private_words().unwrap();
    let mut found = Vec::new();
    for page in files.iter().filter(|file| file.has_extension("md")) {
        let mut is_code = false;
        for (line, text) in (1..).zip(page.text.lines()) {
            is_code ^= text.trim_start().starts_with("```");
            if let (false, Some(word)) = (is_code, words.find(text)) {
                found.push(format!("{}:{line}: {}", page.path, word.as_str()));
            }
        }
    }
    assert_none("a page has words that every reader knows", found);
}

#[test]
fn log_lines_have_no_private_words() {
    let call = Regex::new(r"(?s)\b(?:info|warn|error)!\((.*?)\);").unwrap();
    let text = Regex::new(r#""((?:[^"\\]|\\.)*)""#).unwrap();
    let words = private_words().unwrap();
    let files = files().unwrap();
    let agent = files.iter().filter(|file| {
        file.is_rust() && file.path.starts_with("npd-agent/src/") && !file.path.contains("/tests")
    });
    let mut found = Vec::new();
    for file in agent {
        for call in call.captures_iter(&file.text) {
            for text in text.captures_iter(&call[1]) {
                let word = words.find(&text[1]);
                found.extend(word.map(|word| format!("{}: {}", file.path, word.as_str())));
            }
        }
    }
    assert_none("a log line has words that every reader knows", found);
}

fn private_words() -> Result<Regex, regex::Error> {
    Regex::new(&format!(r"(?i)\b(?:{WORDS})\b"))
}
