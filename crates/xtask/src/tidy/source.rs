//! One Rust file as the rules see it: its text, its syntax tree, and its words (tokens) outside tests. Words rather than
//! lines, so that neither a comment nor a string is ever taken for code, and macros' insides are seen as well.

use super::Finding;
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use std::ops::RangeInclusive;
use syn::{Attribute, ImplItem, Item, visit::Visit};

/// A parsed file.
pub(crate) struct Source {
    /// Path from the root of the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tree: syn::File,
    words: Vec<Word>,
    tests: Vec<RangeInclusive<usize>>,
}

/// One token.
struct Word {
    text: String,
    line: usize,
    /// What a string literal says.
    string: Option<String>,
}

// === impl Source ===

impl Source {
    /// Parses `text`. A file that does not parse is a finding itself: the compiler will say more.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, Finding> {
        let broken = |e: &dyn std::fmt::Display| {
            Finding::new(path, 0, format!("does not parse: {e}"), "Rust")
        };
        let tree = syn::parse_file(text).map_err(|e| broken(&e))?;
        let tokens: TokenStream = text.parse().map_err(|e| broken(&e))?;
        let mut tests = Tests::default();
        tests.visit_file(&tree);
        let mut source = Self {
            path: path.to_owned(),
            text: text.to_owned(),
            tree,
            words: Vec::new(),
            tests: tests.ranges,
        };
        let mut words = Vec::new();
        flatten(tokens, &mut words);
        words.retain(|word| !source.in_test(word.line));
        source.words = words;
        Ok(source)
    }

    /// Whether the line belongs to a test: an item under `#[cfg(test)]` or `#[test]`, or any line of a test's own file.
    pub(crate) fn in_test(&self, line: usize) -> bool {
        let test_file = ["/tests/", "/benches/", "/tests.rs", "_tests.rs"];
        test_file.iter().any(|part| self.path.contains(part))
            || self.tests.iter().any(|range| range.contains(&line))
    }

    /// Whether the path begins with one of `places`.
    pub(crate) fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// The lines outside tests where `pattern` stands, word by word. The last word of a path is also found inside the
    /// braces of a grouped import: `a :: b` finds `a::{c, b}`.
    pub(crate) fn lines_with(&self, pattern: &[&str]) -> Vec<usize> {
        let starts = 0..self.words.len();
        starts
            .filter_map(|start| {
                let words = self.words.get(start..)?;
                let (first, found) = (
                    words.first()?,
                    stands(words, pattern) || grouped(words, pattern),
                );
                found.then_some(first.line)
            })
            .collect()
    }

    /// The string literals outside tests, with their lines.
    pub(crate) fn strings(&self) -> impl Iterator<Item = (usize, &str)> {
        let strings = self.words.iter();
        strings.filter_map(|word| Some((word.line, word.string.as_deref()?)))
    }
}

fn stands(words: &[Word], pattern: &[&str]) -> bool {
    let texts = words.iter().map(|word| word.text.as_str());
    words.len() >= pattern.len() && texts.zip(pattern).all(|(word, wanted)| word == *wanted)
}

fn grouped(words: &[Word], pattern: &[&str]) -> bool {
    let Some((last, [path @ .., "::"])) = pattern.split_last() else {
        return false;
    };
    let Some(rest) = words.get(path.len()..) else {
        return false;
    };
    let group = rest.iter().skip(2);
    stands(words, path)
        && stands(rest, &["::", "{"])
        && group
            .take_while(|word| word.text != "}")
            .any(|word| word.text == *last)
}

fn flatten(tokens: TokenStream, words: &mut Vec<Word>) {
    let mut push = |text: String, line, string| words.push(Word { text, line, string });
    let mut half_path = false;
    for token in tokens {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => {
                let (open, close) = brackets(group.delimiter());
                push(open.to_owned(), line, None);
                let mut inner = Vec::new();
                flatten(group.stream(), &mut inner);
                for word in inner {
                    push(word.text, word.line, word.string);
                }
                push(close.to_owned(), group.span_close().start().line, None);
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => match (half_path, punct.spacing())
            {
                (false, Spacing::Joint) => half_path = true,
                (true, _) => {
                    half_path = false;
                    push("::".to_owned(), line, None);
                }
                (false, Spacing::Alone) => push(":".to_owned(), line, None),
            },
            TokenTree::Literal(literal) => {
                let string = syn::parse_str::<syn::LitStr>(&literal.to_string());
                push(literal.to_string(), line, string.ok().map(|s| s.value()));
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) => push(token.to_string(), line, None),
        }
    }
}

fn brackets(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

/// Collects the lines of the items that only a test build has.
#[derive(Default)]
struct Tests {
    ranges: Vec<RangeInclusive<usize>>,
}

// === impl Tests ===

impl Tests {
    fn note(&mut self, attributes: &[Attribute], item: &impl syn::spanned::Spanned) -> bool {
        let test = attributes.iter().any(is_test);
        if test {
            let span = item.span();
            self.ranges.push(span.start().line..=span.end().line);
        }
        test
    }
}

impl<'a> Visit<'a> for Tests {
    fn visit_item(&mut self, item: &'a Item) {
        if !self.note(attributes(item), item) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        if let ImplItem::Fn(function) = item {
            self.note(&function.attrs, item);
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "syn's enum is open, and the other items cannot hold code"
)]
fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Fn(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Const(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        _ => &[],
    }
}

fn is_test(attribute: &Attribute) -> bool {
    let name = attribute.path().segments.last();
    let name = name.map(|segment| segment.ident.to_string());
    match (name.as_deref(), &attribute.meta) {
        (Some("test"), _) => true,
        (Some("cfg"), syn::Meta::List(list)) => {
            let tokens = list.tokens.to_string();
            let mut words = tokens.split(|c: char| !c.is_alphanumeric());
            words.any(|word| word == "test") && !tokens.contains("not")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn words_of_tests_and_comments_and_strings_are_no_code() {
        let text = "//! A.\nfn f() { g(\"a::b\") } // a::b\n#[cfg(test)]\nmod t { fn h() { a::b() } }\n#[tokio::test]\nfn i() { a::b() }\n";
        let source = Source::parse("crates/x/src/a.rs", text).unwrap();
        assert!(source.lines_with(&["a", "::", "b"]).is_empty());
        assert_eq!(
            source.strings().collect::<Vec<_>>(),
            [(1, " A."), (2, "a::b")]
        );
    }

    #[test]
    fn paths_are_found_in_macros_and_in_grouped_imports() {
        let text = "//! A.\nuse a::{c, b};\nfn f() { m!(x, a::b) }\n#[cfg(not(test))]\nfn g() { a::b() }\n";
        let source = Source::parse("crates/x/src/a.rs", text).unwrap();
        assert_eq!(source.lines_with(&["a", "::", "b"]), [2, 3, 5]);
    }

    #[test]
    fn a_file_of_tests_has_no_words() {
        let source =
            Source::parse("crates/x/tests/it/a.rs", "//! A.\nfn f() { a::b() }\n").unwrap();
        assert!(source.in_test(2) && source.lines_with(&["a", "::", "b"]).is_empty());
    }
}
