//! Placeholder.
/// Quotes.
pub fn quote(text: &str) -> String {
    format!("{text:?}")
}
/// Escapes.
pub fn escape_html(text: &str) -> String {
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}
