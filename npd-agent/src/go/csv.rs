//! One CSV record, as pflag's list flags read their value (Go's `encoding/csv`).
//!
//! Written here because a record of one line is all that is needed, and the crate `csv` accepts a
//! stray quote, which is an error in Go.

/// A value that Go does not accept as a CSV record, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    /// There are only empty lines.
    #[error("EOF")]
    Empty,
    /// A quote in a field that does not start with one.
    #[error("{0}: bare \" in non-quoted-field")]
    BareQuote(Position),
    /// A quoted field does not end, or has text after its closing quote.
    #[error("{0}: extraneous or missing \" in quoted-field")]
    Quote(Position),
}

/// Where the record is wrong: lines from 1, columns in bytes from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    record: usize,
    line: usize,
    column: usize,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            record,
            line,
            column,
        } = self;
        if record != line {
            write!(f, "record on line {record}; ")?;
        }
        write!(f, "parse error on line {line}, column {column}")
    }
}

/// The fields of the first record; later records are ignored, as pflag does.
///
/// Blanks are part of a field, an empty text is an empty list, and quotes protect commas and line ends.
pub fn parse_record(text: &str) -> Result<Vec<String>, CsvError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    // Go drops a carriage return at the end of a line, and of the text.
    let text = text.replace("\r\n", "\n");
    let text = text.strip_suffix('\r').unwrap_or(&text);
    let mut lines = (1..).zip(text.split_inclusive('\n'));
    let (number, mut line) = lines
        .find(|(_, line)| *line != "\n")
        .ok_or(CsvError::Empty)?;
    let mut at = Position {
        record: number,
        line: number,
        column: 1,
    };
    let mut fields = Vec::new();
    loop {
        let Some(quoted) = line.strip_prefix('"') else {
            let (field, rest) = match line.split_once(',') {
                Some((field, rest)) => (field, Some(rest)),
                None => (line.strip_suffix('\n').unwrap_or(line), None),
            };
            if let Some(quote) = field.find('"') {
                at.column += quote;
                return Err(CsvError::BareQuote(at));
            }
            fields.push(field.to_owned());
            let Some(rest) = rest else { return Ok(fields) };
            at.column += field.len() + 1;
            line = rest;
            continue;
        };
        at.column += 1;
        line = quoted;
        let mut field = String::new();
        loop {
            let Some((part, rest)) = line.split_once('"') else {
                field.push_str(line);
                at.column += line.len();
                (at.line, line) = lines.next().ok_or(CsvError::Quote(at))?;
                at.column = 1;
                continue;
            };
            field.push_str(part);
            at.column += part.len() + 1;
            if let Some(rest) = rest.strip_prefix('"') {
                field.push('"');
                at.column += 1;
                line = rest;
            } else if let Some(rest) = rest.strip_prefix(',') {
                at.column += 1;
                line = rest;
                break;
            } else if matches!(rest, "" | "\n") {
                fields.push(field);
                return Ok(fields);
            } else {
                at.column -= 1;
                return Err(CsvError::Quote(at));
            }
        }
        fields.push(field);
    }
}

#[cfg(test)]
mod tests {
    use super::parse_record;
    use crate::go::tests::vectors;

    #[test]
    fn splits_as_pflag_does() {
        for row in vectors::read("csv.tsv") {
            let [text, expected] = row.fields();
            let ours = match parse_record(text) {
                Ok(fields) => serde_json::to_string(&fields).unwrap(),
                Err(error) => error.to_string(),
            };
            assert_eq!(ours, expected, "{row}");
        }
    }
}
