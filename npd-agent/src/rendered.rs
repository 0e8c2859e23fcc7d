//! The page of `/metrics`: the families of the registry, and families that are already rendered.
//!
//! The crate `prometheus` formats the registry, and would format every series at each scrape. So large
//! families are rendered here when they change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::{Registry, TextEncoder};

/// Families that are rendered when they change and not at each scrape. A scrape of tens of thousands of
/// series is then only a copy. Clones show the same.
#[derive(Clone, Debug, Default)]
pub struct RenderedFamilies(Arc<Mutex<BTreeMap<String, String>>>);

impl RenderedFamilies {
    /// Renders the family `name` again. `print` gets an empty text with capacity. If it stays empty, the
    /// family is not shown.
    pub fn print(&self, name: &str, print: impl FnOnce(&mut String)) {
        let mut families = self.lock();
        if !families.contains_key(name) {
            families.insert(name.to_owned(), String::new());
        }
        if let Some(text) = families.get_mut(name) {
            text.clear();
            print(text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        // If a thread panicked while it held the lock, at most one family is wrong. Show the others.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The families of `registry` and the rendered ones, sorted by name as in NPD.
pub fn render(registry: &Registry, rendered: &RenderedFamilies) -> prometheus::Result<String> {
    let rendered = rendered.lock();
    let mut page = String::with_capacity(rendered.values().map(String::len).sum());
    let mut rendered = rendered.iter().peekable();
    for family in registry.gather() {
        while let Some((_, text)) = rendered.next_if(|(name, _)| &***name < family.name()) {
            page.push_str(text);
        }
        TextEncoder::new().encode_utf8(&[family], &mut page)?;
    }
    page.extend(rendered.map(|(_, text)| &**text));
    Ok(page)
}

#[cfg(test)]
mod tests {
    use prometheus::IntGauge;

    use super::*;

    #[test]
    fn families_are_sorted_whoever_prints_them() {
        let (registry, rendered) = (Registry::new(), RenderedFamilies::default());
        let gauge = IntGauge::new("m", "Help.").unwrap();
        registry.register(Box::new(gauge)).unwrap();
        for text in ["z 1\n", "b 2\n", "n 3\n", "o 4\n"] {
            rendered.print(&text[..1], |page| page.push_str(text));
        }
        rendered.print("n", |_| ());
        rendered.print("b", |page| page.push_str("b 5\n"));
        let expected = "b 5\n# HELP m Help.\n# TYPE m gauge\nm 0\no 4\nz 1\n";
        assert_eq!(render(&registry, &rendered).unwrap(), expected);
    }
}
