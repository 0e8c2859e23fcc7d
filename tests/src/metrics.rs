//! A page of metrics in Prometheus' text format.

use std::collections::BTreeMap;

use anyhow::Context as _;

/// What a page says.
#[derive(Debug)]
pub struct Page {
    /// As it came.
    pub text: String,
    /// Each series, with its labels as they are printed, and its value.
    pub series: BTreeMap<String, f64>,
}

impl Page {
    /// Reads a page.
    pub fn read(text: String) -> anyhow::Result<Self> {
        let mut series = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            let value = value.parse().with_context(|| line.to_owned())?;
            let before = series.insert(name.to_owned(), value);
            anyhow::ensure!(before.is_none(), "{name} is there twice");
        }
        Ok(Self { text, series })
    }

    /// The value of a series.
    pub fn value(&self, series: &str) -> anyhow::Result<f64> {
        let value = self.series.get(series).copied();
        value.with_context(|| format!("{series} is not in\n{}", self.text))
    }

    /// The values of one label, in the series of one family.
    pub fn labels<'a>(&'a self, family: &str, label: &str) -> Vec<&'a str> {
        let (family, label) = (format!("{family}{{"), format!("{label}=\""));
        let series = self.series.keys();
        let series = series.filter_map(|series| series.strip_prefix(&family));
        let value = |series: &'a str| Some(series.split_once(&label)?.1.split_once('"')?.0);
        series.filter_map(value).collect()
    }
}
