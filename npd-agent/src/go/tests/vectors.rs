//! Reads recorded results of the Go standard library: a comment line with the Go version, then one case
//! per line. Its fields are JSON strings, separated by tabs.

use std::fmt;

/// One case: inputs first, Go's answer last.
pub(in crate::go) struct Row {
    file: &'static str,
    line: usize,
    fields: Vec<String>,
}

impl Row {
    /// All fields. Their number is fixed for each file.
    #[track_caller]
    pub(in crate::go) fn fields<const N: usize>(&self) -> [&str; N] {
        let fields: Vec<&str> = self.fields.iter().map(String::as_str).collect();
        fields
            .try_into()
            .unwrap_or_else(|_| panic!("{self}: expected {N} fields"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {:?}", self.file, self.line, self.fields)
    }
}

/// The cases of `tests/fixtures/go/FILE`.
pub(in crate::go) fn read(file: &'static str) -> Vec<Row> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/go/");
    let text = std::fs::read_to_string(format!("{folder}{file}")).unwrap();
    assert!(
        text.starts_with("# go1."),
        "{file} does not say which Go made it"
    );
    let rows: Vec<Row> = text
        .lines()
        .enumerate()
        .skip(1)
        .map(|(index, line)| Row {
            file,
            line: index + 1,
            fields: line
                .split('\t')
                .map(|field| serde_json::from_str(field).unwrap())
                .collect(),
        })
        .collect();
    assert!(!rows.is_empty(), "{file} is empty");
    rows
}
