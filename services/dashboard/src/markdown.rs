//! Markdown: read for its sections and links, and made into HTML with anchors, as GitHub names them.

use std::collections::HashMap;

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// A heading that can be linked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heading {
    /// Whether it is of the second level, as the contents of a page list them.
    pub(crate) is_listed: bool,
    pub(crate) id: String,
    pub(crate) text: String,
}

/// What is done to a route.
const VERBS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// What wide tables stand in: they are scrolled, and the page is not. Who has no mouse gets there by the keyboard, and hears which it is.
fn scrolled(number: usize) -> String {
    format!("<div class=\"scroll\" role=\"region\" aria-label=\"Table {number}\" tabindex=\"0\">")
}

/// Markdown as HTML, and its headings. What is HTML in it already is shown as it is written, and never becomes a part of the page.
pub(crate) fn render(text: &str) -> (String, Vec<Heading>) {
    let parser = Parser::new_ext(text, Options::ENABLE_TABLES);
    let mut events: Vec<Event<'_>> = parser.map(tamed).collect();
    let headings = name_headings(&mut events);
    let mut wrapped = Vec::with_capacity(events.len());
    let mut tables: usize = 0;
    for event in events {
        if matches!(event, Event::Start(Tag::Table(_))) {
            tables = tables.saturating_add(1);
            wrapped.push(Event::Html(scrolled(tables).into()));
            // Aligned columns would be inline styles.
            wrapped.push(Event::Start(Tag::Table(Vec::new())));
            continue;
        }
        if matches!(event, Event::Start(Tag::CodeBlock(_))) {
            wrapped.push(Event::Html("<div class=\"code\">".into()));
        }
        let is_wrapped = matches!(event, Event::End(TagEnd::Table | TagEnd::CodeBlock));
        wrapped.push(dressed(event));
        if is_wrapped {
            wrapped.push(Event::Html("</div>\n".into()));
        }
    }
    let mut out = String::with_capacity(text.len().saturating_mul(2));
    html::push_html(&mut out, wrapped.into_iter());
    // A block of code that is wider than the page is scrolled as well.
    let out = out.replace("<pre><code", "<pre tabindex=\"0\"><code");
    (out, headings)
}

/// The same, where HTML is text.
fn tamed(event: Event<'_>) -> Event<'_> {
    if let Event::Html(text) | Event::InlineHtml(text) = event {
        Event::Text(text)
    } else {
        event
    }
}

/// The same, where the verb of a route stands out, and its path may go on in another line behind a slash.
fn dressed(event: Event<'_>) -> Event<'_> {
    let Event::Code(text) = &event else {
        return event;
    };
    let Some((verb, path)) = text.split_once(' ') else {
        return event;
    };
    if !VERBS.contains(&verb) || !path.starts_with('/') {
        return event;
    }
    let mut code = format!(
        "<code class=\"route\"><b class=\"{}\">{verb}</b> ",
        verb.to_lowercase()
    );
    for letter in path.chars() {
        match letter {
            '/' => code.push_str("/<wbr>"),
            '&' => code.push_str("&amp;"),
            '<' => code.push_str("&lt;"),
            '>' => code.push_str("&gt;"),
            letter => code.push(letter),
        }
    }
    code.push_str("</code>");
    Event::InlineHtml(code.into())
}

/// Gives every heading its anchor.
fn name_headings(events: &mut [Event<'_>]) -> Vec<Heading> {
    let (mut headings, mut taken) = (Vec::new(), HashMap::<String, usize>::new());
    let mut open: Option<(usize, HeadingLevel, String)> = None;
    let mut named = Vec::new();
    for (index, event) in events.iter().enumerate() {
        match (event, &mut open) {
            (Event::Start(Tag::Heading { level, .. }), _) => {
                open = Some((index, *level, String::new()));
            }
            (Event::Text(text) | Event::Code(text), Some((.., words))) => words.push_str(text),
            (Event::End(TagEnd::Heading(_)), _) => {
                let Some((start, level, text)) = open.take() else {
                    continue;
                };
                let plain = anchor(&text);
                let times = taken.entry(plain.clone()).or_default();
                let id = match *times {
                    0 => plain,
                    times => format!("{plain}-{times}"),
                };
                *times = times.saturating_add(1);
                named.push((start, id.clone()));
                headings.push(Heading {
                    is_listed: level == HeadingLevel::H2,
                    id,
                    text,
                });
            }
            _ => {}
        }
    }
    for (index, name) in named {
        if let Some(Event::Start(Tag::Heading { id, .. })) = events.get_mut(index) {
            *id = Some(CowStr::from(name));
        }
    }
    headings
}

/// The anchor of a heading: small letters, digits, - and _, blanks as -.
pub(crate) fn anchor(text: &str) -> String {
    let kept = text.trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter if letter.is_alphanumeric() => Some(letter),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

/// What stands below a heading of the second level, up to the next one.
pub(crate) fn section<'t>(text: &'t str, title: &str) -> Option<&'t str> {
    let heading = format!("\n## {title}\n");
    let (_, rest) = text.split_once(&heading)?;
    Some(rest.split("\n## ").next().unwrap_or(rest).trim())
}

/// The same with other targets of links: what `target` makes of each. One that leads nowhere becomes its text.
pub(crate) fn with_links(text: &str, target: impl Fn(&str) -> Option<String>) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("](") {
        let Some((old, behind)) = after.split_once(')') else {
            break;
        };
        match (target(old), before.rsplit_once('[')) {
            (Some(new), _) => {
                out.push_str(before);
                out.push_str("](");
                out.push_str(&new);
                out.push(')');
            }
            (None, Some((head, words))) => {
                out.push_str(head);
                out.push_str(words);
            }
            (None, None) => out.push_str(before),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_have_anchors_and_html_is_text() {
        let (html, headings) =
            render("# A\n\n## `POST /x` and more!\n\n## A\n\n<script>1</script>\n");
        let ids: Vec<&str> = headings.iter().map(|heading| heading.id.as_str()).collect();
        assert_eq!(ids, ["a", "post-x-and-more", "a-1"]);
        assert!(html.contains("<h2 id=\"post-x-and-more\">"), "{html}");
        assert!(!html.contains("<script>"), "{html}");
    }

    #[test]
    fn the_verb_of_a_route_stands_out() {
        let (html, _) = render("`GET /a/{id}?b<c` and `GET it`, `POST`\n");
        let route =
            "<code class=\"route\"><b class=\"get\">GET</b> /<wbr>a/<wbr>{id}?b&lt;c</code>";
        assert!(html.contains(route), "{html}");
        assert!(html.contains("<code>GET it</code>") && html.contains("<code>POST</code>"));
    }

    #[test]
    fn a_table_is_scrolled_and_has_no_style() {
        let (html, _) = render("| a | b |\n| --: | :-: |\n| 1 | 2 |\n");
        assert!(
            html.contains(&scrolled(1)) && !html.contains("style="),
            "{html}"
        );
    }

    #[test]
    fn links_change_and_dead_ones_are_text() {
        let text = "See [one](a.md) and [two](b.md), `x[0](y)`.";
        let changed = with_links(text, |old| (old != "b.md").then(|| format!("/{old}")));
        assert_eq!(changed, "See [one](/a.md) and two, `x[0](/y)`.");
    }

    #[test]
    fn a_section_ends_before_the_next() {
        let text = "# T\n\n## A\n\none\n\n### a\n\n## B\n\ntwo\n";
        assert_eq!(section(text, "A"), Some("one\n\n### a"));
        assert_eq!(section(text, "B"), Some("two"));
        assert_eq!(section(text, "C"), None);
    }
}
