//! Booleans as Go's `strconv.ParseBool` reads them, for `--flag=VALUE`.

/// A text that Go does not accept as a boolean, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("strconv.ParseBool: parsing {}: invalid syntax", super::quote::quote(.0))]
pub struct Error(String);

/// Reads one of Go's spellings; there are no others, not even `yes` or `tRUE`.
pub fn parse_bool(text: &str) -> Result<bool, Error> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Error(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_bool;
    use crate::go::tests::vectors;

    #[test]
    fn accepts_what_go_accepts() {
        for row in vectors::read("boolean.tsv") {
            let [text, expected] = row.fields();
            let ours = parse_bool(text).map_or_else(|error| error.to_string(), |b| b.to_string());
            assert_eq!(ours, expected, "{row}");
        }
    }
}
