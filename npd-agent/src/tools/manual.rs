//! `manual`: the manual page, made of what `--help` prints, so that it is always right.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use crate::flags::CommandLine;

/// The program's name.
pub(super) const NAME: &str = "manual";

/// What its `--help` prints.
pub(super) fn help() -> String {
    "Prints the manual page: npd-agent manual | man -l -\n\nUsage: manual\n".to_owned()
}

/// Prints the manual page, with the help of these programs.
pub(super) fn print(tools: impl Iterator<Item = (&'static str, String)>) -> ExitCode {
    let printed = write!(stdout(), "{}", page(tools));
    ExitCode::from(u8::from(printed.is_err()))
}

fn page(tools: impl Iterator<Item = (&'static str, String)>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let agent = match CommandLine::parse(["--help".into()]) {
        Ok(CommandLine::Print(help)) => help,
        _ => String::new(),
    };
    let mut page = format!(
        ".TH NPD\\-AGENT 8 \"\" \"npd-agent {version}\"\n.SH NAME\nnpd-agent \\- finds problems of a \
         Linux node and reports them\n.SH DESCRIPTION\n"
    );
    literal(&agent, &mut page);
    for (name, help) in tools.filter(|(_, help)| !help.is_empty()) {
        page.extend([".SH \"npd\\-agent ", &escaped(name), "\"\n"]);
        literal(&help, &mut page);
    }
    page
}

/// Adds a text as it is.
fn literal(text: &str, page: &mut String) {
    page.push_str(".nf\n");
    for line in text.lines() {
        // At the start of a line, these would begin a request.
        if line.starts_with(['.', '\'']) {
            page.push_str("\\&");
        }
        page.push_str(&escaped(line));
        page.push('\n');
    }
    page.push_str(".fi\n");
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_help_as_it_is() {
        let help = "A thing.\n\nUsage: thing [FLAGS]\n.dot a\\b\n".to_owned();
        let page = page([("a-thing", help), ("hidden", String::new())].into_iter());
        let thing = ".SH \"npd\\-agent a\\-thing\"\n.nf\nA thing.\n\nUsage: thing [FLAGS]\n\
                     \\&.dot a\\eb\n.fi\n";
        assert!(page.ends_with(thing), "{page}");
        assert!(page.contains("\n      \\-\\-state\\-dir FOLDER"), "{page}");
        assert!(!page.contains("hidden"), "{page}");
    }
}
