//! Reads the pages of `docs/`.

/// A row of a table.
pub(crate) struct Row<'a> {
    /// The headings of the table's columns.
    pub(crate) headings: Vec<&'a str>,
    /// The row's cells.
    pub(crate) cells: Vec<&'a str>,
}

impl<'a> Row<'a> {
    /// The cell below `heading`; empty if the table has no such column.
    pub(crate) fn cell(&self, heading: &str) -> &'a str {
        let column = self.headings.iter().position(|known| *known == heading);
        let cell = column.and_then(|column| self.cells.get(column));
        cell.copied().unwrap_or_default()
    }
}

/// The rows of all tables of a page.
pub(crate) fn rows(page: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let mut headings = Vec::new();
    for line in page.lines() {
        let Some(cells) = line.strip_prefix('|') else {
            headings.clear();
            continue;
        };
        let cells: Vec<_> = cells.split('|').map(str::trim).collect();
        if headings.is_empty() {
            headings = cells;
        } else if !line.starts_with("| ---") {
            let headings = headings.clone();
            rows.push(Row { headings, cells });
        }
    }
    rows
}

/// The words in backquotes.
pub(crate) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
