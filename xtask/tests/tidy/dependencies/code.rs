//! Which paths a source file names. It reads tokens, because paths are also in macros.

use proc_macro2::{Delimiter, Group, Ident, LexError, Punct, TokenStream, TokenTree};

/// The segments of `crate::problem::Task`.
pub(super) type Path = Vec<String>;

/// What one file says about other files, its tests aside.
#[derive(Default)]
pub(super) struct Code {
    /// Every path of two or more segments that the file names.
    pub paths: Vec<Path>,
    /// The names that `use` brings into scope, and what each one stands for.
    pub aliases: Vec<(String, Path)>,
    /// The files that exist only in tests, by the name in `mod name;`.
    pub test_modules: Vec<String>,
}

impl Code {
    pub(super) fn read(text: &str) -> Result<Self, LexError> {
        let mut code = Self::default();
        code.add_all(text.parse()?);
        Ok(code)
    }

    fn add_all(&mut self, tokens: TokenStream) {
        let mut rest = &tokens.into_iter().collect::<Vec<_>>()[..];
        while let Some((first, after)) = rest.split_first() {
            rest = match (first, after) {
                (TokenTree::Punct(hash), [TokenTree::Group(attribute), item @ ..])
                    if hash.as_char() == '#' && is_for_tests(attribute) =>
                {
                    self.skip_item(item)
                }
                (TokenTree::Ident(word), [next, ..]) if word == "use" && !is_punct(next, '<') => {
                    self.add_use(after)
                }
                // `pub(in crate::a)` says who uses this, not what this uses.
                (TokenTree::Ident(word), [TokenTree::Group(scope), after @ ..])
                    if word == "pub" && scope.delimiter() == Delimiter::Parenthesis =>
                {
                    after
                }
                // What follows a generic type, as in `<T as Trait>::Item`.
                (TokenTree::Punct(_), _) if is_separator(rest) => &rest[3.min(rest.len())..],
                (TokenTree::Ident(_), _) => {
                    let (path, after) = path(rest);
                    if path.len() > 1 {
                        self.paths.push(path);
                    }
                    after
                }
                (TokenTree::Group(group), _) => {
                    self.add_all(group.stream());
                    after
                }
                _ => after,
            };
        }
    }

    /// What follows an item: it ends with `;` or with a block.
    fn skip_item<'a>(&mut self, item: &'a [TokenTree]) -> &'a [TokenTree] {
        if let Some(name) = module(item) {
            self.test_modules.push(name);
        }
        let is_end = |token: &TokenTree| match token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        };
        let end = item.iter().position(is_end);
        end.map_or(&[], |end| &item[end + 1..])
    }

    /// Reads what follows `use`, up to its `;`.
    fn add_use<'a>(&mut self, tokens: &'a [TokenTree]) -> &'a [TokenTree] {
        let end = tokens.iter().position(|token| is_punct(token, ';'));
        let (tree, rest) = tokens.split_at(end.unwrap_or(tokens.len()));
        self.add_tree(&[], tree);
        rest
    }

    fn add_tree(&mut self, before: &[String], tree: &[TokenTree]) {
        let (below, rest) = path(tree);
        let mut whole = before.to_vec();
        whole.extend(below);
        if let Some(TokenTree::Group(group)) = rest.last() {
            let tokens: Vec<_> = group.stream().into_iter().collect();
            for tree in tokens.split(|token| is_punct(token, ',')) {
                if !tree.is_empty() {
                    self.add_tree(&whole, tree);
                }
            }
            return;
        }
        if whole.last().is_some_and(|last| last == "self") && whole.len() > 1 {
            whole.pop();
        }
        let renamed = match rest {
            [TokenTree::Ident(_as), TokenTree::Ident(name)] => Some(name.to_string()),
            _ => None,
        };
        let is_glob = rest.iter().any(|token| is_punct(token, '*'));
        if let Some(name) = renamed.or_else(|| whole.last().cloned())
            && !is_glob
        {
            self.aliases.push((name, whole.clone()));
        }
        self.paths.push(whole);
    }
}

/// `#[cfg(test)]`, also beside other reasons.
fn is_for_tests(attribute: &Group) -> bool {
    let mut tokens = attribute.stream().into_iter();
    let is_cfg = matches!(tokens.next(), Some(TokenTree::Ident(word)) if word == "cfg");
    let condition = tokens.next().map(|token| token.to_string());
    is_cfg && condition.is_some_and(|text| text.contains("test") && !text.contains("not"))
}

/// The name in `mod name;`, after attributes and visibility.
fn module(item: &[TokenTree]) -> Option<String> {
    let start = item.iter().position(|token| is_word(token, "mod"))?;
    match &item[start + 1..] {
        [TokenTree::Ident(name), end, ..] if is_punct(end, ';') => Some(name.to_string()),
        _ => None,
    }
}

/// The path that `tokens` start with, and what follows it.
fn path(tokens: &[TokenTree]) -> (Path, &[TokenTree]) {
    let mut path = Path::new();
    let mut rest = tokens;
    while let [TokenTree::Ident(segment), after @ ..] = rest {
        path.push(Ident::to_string(segment));
        rest = after;
        if !is_separator(rest) {
            break;
        }
        rest = &rest[2..];
    }
    (path, rest)
}

/// Whether `tokens` start with `::`.
fn is_separator(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [first, second, ..] if is_punct(first, ':') && is_punct(second, ':'))
}

fn is_punct(token: &TokenTree, expect: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if Punct::as_char(punct) == expect)
}

fn is_word(token: &TokenTree, expect: &str) -> bool {
    matches!(token, TokenTree::Ident(word) if word == expect)
}

#[test]
fn paths_are_found_in_groups_and_macros() {
    #[track_caller]
    fn check(text: &str, expect: &[&str]) {
        let mut paths: Vec<_> = Code::read(text)
            .unwrap()
            .paths
            .iter()
            .map(|p| p.join("::"))
            .collect();
        paths.sort();
        assert_eq!(paths, expect, "{text}");
    }
    check(
        "use crate::a::{self, b::C as D, e::*};",
        &["crate::a", "crate::a::b::C", "crate::a::e"],
    );
    check(
        "fn f(x: &crate::a::B<super::C>) {}",
        &["crate::a::B", "super::C"],
    );
    check(
        "select! { _ = tokio::time::sleep(x) => {} }",
        &["tokio::time::sleep"],
    );
    check("type A = <T as crate::B>::C; // crate::d::E", &["crate::B"]);
    check(
        "#[cfg(test)] mod tests { use crate::a::B; } use c::D;",
        &["c::D"],
    );
    check(
        "#[cfg(test)] #[derive(Debug)] struct A(crate::b::C); use c::D;",
        &["c::D"],
    );
    check("pub(in crate::a) struct B(crate::c::D);", &["crate::c::D"]);
    check("let a = b::<crate::c::D>();", &["crate::c::D"]);
}
