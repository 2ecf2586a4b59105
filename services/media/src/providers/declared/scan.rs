//! What a template may be made of. The engine would tell an unknown filter only where it comes to it, and would let a template grow a text
//! without bound: so everything that stands in tags is looked at when the file is read. Pure.

/// What tags may begin with.
const STATEMENTS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];
/// Filters.
const FILTERS: [&str; 10] = [
    "default", "first", "float", "int", "last", "length", "lower", "segments", "string", "upper",
];
/// Tests behind `is`.
const TESTS: [&str; 6] = ["defined", "mapping", "none", "number", "sequence", "string"];
/// Words that may stand before a bracket.
const WORDS: [&str; 8] = ["and", "else", "if", "elif", "in", "is", "not", "or"];

/// What a tag does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Expression,
    Statement,
}

/// A piece of what stands in a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Mark(char),
    /// A text or a number.
    Other,
}

/// Everything in a template's tags that is not allowed.
pub(super) fn problems(template: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let tag = rest.get(start..).unwrap_or_default();
        let (does, end) = match tag.get(..2) {
            Some("{{") => (Tag::Expression, "}}"),
            Some("{%") => (Tag::Statement, "%}"),
            Some("{#") => {
                rest = tag.split_once("#}").map_or("", |(_, rest)| rest);
                continue;
            }
            _ => {
                rest = tag.get(1..).unwrap_or_default();
                continue;
            }
        };
        let (inside, behind) = tokens(tag.get(2..).unwrap_or_default(), end);
        rest = behind;
        look(&inside, does, &mut problems);
    }
    problems
}

/// The tokens up to `end`, and what is behind it. Within brackets nothing ends a tag, as the engine reads it.
fn tokens<'t>(mut text: &'t str, end: &str) -> (Vec<Token<'t>>, &'t str) {
    let (mut tokens, mut open) = (Vec::new(), 0_i64);
    loop {
        if let Some(behind) = text.strip_prefix(end).filter(|_| open == 0) {
            return (tokens, behind);
        }
        let Some(first) = text.chars().next() else {
            return (tokens, "");
        };
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            '\'' | '"' => quoted(text, first),
            c if is_word(c) => text.find(|c| !is_word(c)).unwrap_or(text.len()),
            c => c.len_utf8(),
        };
        let (token, behind) = text.split_at_checked(length).unwrap_or((text, ""));
        text = behind;
        match first {
            '(' | '[' | '{' => open = open.saturating_add(1),
            ')' | ']' | '}' => open = open.saturating_sub(1),
            _ => {}
        }
        match first {
            c if c.is_whitespace() => {}
            '\'' | '"' => tokens.push(Token::Other),
            c if c.is_ascii_digit() => tokens.push(Token::Other),
            c if is_word(c) => tokens.push(Token::Word(token)),
            c => tokens.push(Token::Mark(c)),
        }
    }
}

/// How long a text in quotes is.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return place.saturating_add(1),
            _ => {}
        }
    }
    text.len()
}

fn look(tokens: &[Token<'_>], does: Tag, problems: &mut Vec<String>) {
    let signs = [Token::Mark('-'), Token::Mark('+')];
    let first = tokens.iter().find(|token| !signs.contains(token));
    if does == Tag::Statement
        && let Some(Token::Word(word)) = first
    {
        among("statement", word, &STATEMENTS, problems);
    }
    let none = [Token::Other; 2];
    let before = none.iter().chain(tokens);
    let last = before.clone().skip(1);
    for ((before, last), token) in before.zip(last).zip(tokens) {
        match (before, last, token) {
            (_, Token::Mark('|'), Token::Word(word)) => among("filter", word, &FILTERS, problems),
            (_, Token::Word("is"), Token::Word("not")) => {}
            (_, Token::Word("is"), Token::Word(word))
            | (Token::Word("is"), Token::Word("not"), Token::Word(word)) => {
                among("test", word, &TESTS, problems);
            }
            (Token::Mark('|'), Token::Word(_), Token::Mark('(')) => {}
            (_, Token::Word(word), Token::Mark('(')) if !WORDS.contains(word) => {
                problems.push(format!("nothing can be called, as {word}() is"));
            }
            (_, _, Token::Mark('*')) => problems.push("there is no *".to_owned()),
            _ => {}
        }
    }
}

fn among(what: &str, word: &str, known: &[&str], problems: &mut Vec<String>) {
    if !known.contains(&word) {
        let known = known.join(", ");
        problems.push(format!(
            "there is no {what} {word}; the {what}s are {known}"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_passes() {
        for template in [
            "",
            "no tags, { one brace } and {",
            "{{ model }}/{{ parameters.prompt | default('a * {% set %}') }}",
            "{%- if not (a or b) and c is not defined -%}x{% elif d in (1, 2) %}y{% else %}z{% endif %}",
            "{% for url in parameters['image_urls'] %}{{ url | segments }}{{ '' if loop.last else ',' }}{% endfor %}",
            "{# {% set x = 1 %} {{ f() }} #}{{ x is none }}{{ 'it\\'s * ' ~ x }}",
            "{{ {'a': {'b': 1}} }} * {{ {'a': '}}'} | length }}",
            "{% if x in [{'a': {}}] %}{{ x }}{% endif %}",
        ] {
            assert_eq!(problems(template), Vec::<String>::new(), "{template}");
        }
    }

    #[test]
    fn what_is_not_is_told_wherever_it_stands() {
        for (template, told) in [
            (
                "{% set x = 1 %}",
                "there is no statement set; the statements are if,",
            ),
            ("{%- include 'x' %}", "there is no statement include"),
            (
                "{% if false %}{{ x | indent(9) }}{% endif %}",
                "there is no filter indent; the filters are default,",
            ),
            ("{{ x | safe }}", "there is no filter safe"),
            (
                "{{ x is odd }}",
                "there is no test odd; the tests are defined,",
            ),
            ("{{ x is not odd }}", "there is no test odd"),
            ("{{ range(9) }}", "nothing can be called, as range() is"),
            ("{{ x.items() }}", "nothing can be called, as items() is"),
            ("{{ 'x' * 9 }}", "there is no *"),
            ("{{ x | upper }}{{ y | nope }", "there is no filter nope"),
            // What looks like the end of a tag and is within brackets.
            ("{{ {'a': {'b': 1}} | nope }}", "there is no filter nope"),
            (
                "{{ {'a': {}}.items() }}",
                "nothing can be called, as items() is",
            ),
            (
                "{% if {'a': {}} is odd %}{% endif %}",
                "there is no test odd",
            ),
        ] {
            let found = problems(template);
            assert_eq!(found.len(), 1, "{template}: {found:?}");
            assert!(found[0].starts_with(told), "{template}: {found:?}");
        }
        assert_eq!(problems("{{ a | b | c }}{% d %}").len(), 3);
    }
}
