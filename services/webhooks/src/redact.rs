//! What of an endpoint's answer is kept: its beginning, as text, without anything that opens something. Pure.

/// What stands in the place of something secret.
const HIDDEN: &str = "[hidden]";
/// How secrets begin that an endpoint may say back: what signs, and keys of this API.
const SECRETS: [&str; 4] = ["whsec_", "whsk_", "aio_test_", "aio_"];
/// How credentials are introduced, in lower case.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];

/// What is shorter is no secret of its own, and would be found in any text: of header values, paths and queries; and of a part of a path, which
/// is more often a word.
const SHORTEST: usize = 4;
const SHORTEST_SEGMENT: usize = 8;

/// The beginning of a body as text: what is no text becomes signs that say so, and `own`, what of the request must not be said back
/// ([`of_headers`], [`of_url`]), and whatever looks like a secret is hidden. `None`: there is none.
pub(crate) fn response(body: &[u8], max_bytes: usize, own: &[String]) -> Option<String> {
    // Found before it is cut: what begins within the limit may end beyond it.
    let longest = own.iter().map(String::len).max().unwrap_or_default();
    let text = beginning(body, max_bytes.saturating_add(longest));
    let end = beginning(body, max_bytes).len();
    let (mut kept, mut at) = (String::new(), 0);
    for (from, to) in hidden(&text, own) {
        if from >= end {
            break;
        }
        kept.push_str(text.get(at..from).unwrap_or_default());
        kept.push_str(HIDDEN);
        at = to;
    }
    kept.push_str(text.get(at..end).unwrap_or_default());
    (!kept.is_empty()).then_some(kept)
}

/// What of a request's own headers may be a credential: the values, and their last words, as in `Token …`.
pub(crate) fn of_headers<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let both = values
        .into_iter()
        .flat_map(|value| [Some(value), value.split_whitespace().last()]);
    long_enough(both.flatten().map(str::to_owned), SHORTEST)
}

/// What of a URL may be a capability, as it was sent and as a server reads it: its path and query, each value of the query, and each long part
/// of the path.
pub(crate) fn of_url(path: &str, query: Option<&str>) -> Vec<String> {
    let query = query.unwrap_or_default();
    let values = query.split('&').map(|pair| match pair.split_once('=') {
        Some((_, value)) => value,
        None => pair,
    });
    let whole = [path, query].into_iter().chain(values).flat_map(readings);
    let mut own = long_enough(whole, SHORTEST);
    // As some write JSON.
    own.extend(long_enough([path.replace('/', "\\/")], SHORTEST));
    let parts = path.split('/').flat_map(readings);
    own.extend(long_enough(parts, SHORTEST_SEGMENT));
    own
}

fn long_enough(texts: impl IntoIterator<Item = String>, shortest: usize) -> Vec<String> {
    let long = texts.into_iter().filter(|text| text.len() >= shortest);
    long.map(|text| text.chars().map(printable).collect())
        .collect()
}

/// A part of a URL as it stands there, and decoded, as paths are and as forms are.
fn readings(part: &str) -> [String; 3] {
    [
        part.to_owned(),
        decoded(part),
        decoded(&part.replace('+', " ")),
    ]
}

fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let coded = (*first == b'%').then(|| hex(others.get(..2)?)).flatten();
        bytes.push(coded.unwrap_or(*first));
        rest = match coded {
            Some(_) => others.get(2..).unwrap_or_default(),
            None => others,
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digits: &[u8]) -> Option<u8> {
    // No sign stands before it.
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// How a body begins, as text.
fn beginning(body: &[u8], max_bytes: usize) -> String {
    let beginning = body.get(..max_bytes).unwrap_or(body);
    let text = String::from_utf8_lossy(beginning);
    // The sign for a character that was cut in two says nothing.
    let text = match body.len() > max_bytes {
        true => text.trim_end_matches('\u{fffd}'),
        false => &text,
    };
    text.chars().map(printable).collect()
}

/// From where to where something is to be hidden, in order and apart from one another.
fn hidden(text: &str, own: &[String]) -> Vec<(usize, usize)> {
    let own = own.iter().filter(|value| !value.is_empty());
    let own = own.flat_map(|value| {
        let found = text.match_indices(value.as_str());
        found.map(|(from, value)| (from, from.saturating_add(value.len())))
    });
    let secrets = text.char_indices().filter_map(|(at, _)| {
        let (shown, hidden) = secret_at(text.get(at..)?)?;
        let from = at.saturating_add(shown);
        Some((from, from.saturating_add(hidden)))
    });
    let mut found: Vec<(usize, usize)> = own.chain(secrets).collect();
    found.sort_unstable();
    let mut apart: Vec<(usize, usize)> = Vec::with_capacity(found.len());
    for (from, to) in found {
        match apart.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            Some(_) | None => apart.push((from, to)),
        }
    }
    apart
}

/// Nothing that steers a terminal.
fn printable(character: char) -> char {
    match character {
        '\n' | '\t' => character,
        other if other.is_control() => '\u{fffd}',
        other => other,
    }
}

/// Where a secret begins here: how many bytes introduce it, and how long it is.
fn secret_at(text: &str) -> Option<(usize, usize)> {
    let behind = |shown: usize| {
        let rest = text.get(shown..)?;
        let hidden = rest.find(|c: char| !is_of_secret(c)).unwrap_or(rest.len());
        (hidden > 0).then_some((shown, hidden))
    };
    let known = SECRETS.iter().find(|known| text.starts_with(**known));
    let introduced = SCHEMES.iter().find(|scheme| {
        let there = text.get(..scheme.len());
        there.is_some_and(|there| there.eq_ignore_ascii_case(scheme))
    });
    known.or(introduced).and_then(|known| behind(known.len()))
}

const fn is_of_secret(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '=' | '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_something_is_hidden() {
        let own = of_headers(["my-token", "x", "Token abcd"]);
        for (body, kept) in [
            ("", None),
            ("ok", Some("ok")),
            ("bad whsec_MfKQ9r8GKYqr==!", Some("bad whsec_[hidden]!")),
            (
                "{\"k\":\"aio_test_abc\"}",
                Some("{\"k\":\"aio_test_[hidden]\"}"),
            ),
            (
                "Authorization: BEARER ey.j-x y",
                Some("Authorization: BEARER [hidden] y"),
            ),
            ("you sent my-token, x", Some("you sent [hidden], x")),
            (
                "Bearer my-token; Token abcd or abcd",
                Some("Bearer [hidden]; [hidden] or [hidden]"),
            ),
            ("a\u{1b}[31m\r\nb", Some("a\u{fffd}[31m\u{fffd}\nb")),
            ("whsec_", Some("whsec_")),
        ] {
            assert_eq!(
                response(body.as_bytes(), 100, &own).as_deref(),
                kept,
                "{body}"
            );
        }
    }

    #[test]
    fn only_the_beginning_is_kept_and_no_half_of_a_character() {
        assert_eq!(response("aää".as_bytes(), 4, &[]).as_deref(), Some("aä"));
        assert_eq!(
            response(&[0xff, b'a'], 4, &[]).as_deref(),
            Some("\u{fffd}a")
        );
        assert_eq!(response(b"abcdef", 4, &[]).as_deref(), Some("abcd"));
    }

    #[test]
    fn what_a_url_gives_away_is_hidden_however_it_is_said_back() {
        let own = of_url(
            "/hooks/s%C3%A9cret%2Bone/x",
            Some("a=T0%4B3N&b=1&c=p+q%20r"),
        );
        for (body, kept) in [
            (
                "Cannot POST /hooks/s%C3%A9cret%2Bone/x",
                "Cannot POST [hidden]",
            ),
            ("no /hooks/sécret+one/x here", "no [hidden] here"),
            (
                r#"{"path":"\/hooks\/s%C3%A9cret%2Bone\/x"}"#,
                r#"{"path":"[hidden]"}"#,
            ),
            ("part sécret+one of /hooks", "part [hidden] of /hooks"),
            ("a=T0%4B3N&amp;b=1", "a=[hidden]&amp;b=1"),
            ("a: T0K3N, b: 1, c: p q r", "a: [hidden], b: 1, c: [hidden]"),
            ("?a=T0%4B3N&b=1&c=p+q%20r!", "?[hidden]!"),
            ("nothing of it", "nothing of it"),
        ] {
            assert_eq!(response(body.as_bytes(), 100, &own).as_deref(), Some(kept));
        }
        assert_eq!(of_url("/", None), Vec::<String>::new());
        let bare = of_url("/a", Some("T0K3N"));
        assert_eq!(response(b"T0K3N", 100, &bare).as_deref(), Some("[hidden]"));
        assert_eq!(decoded("%zz%+1%4"), "%zz%+1%4");
    }

    #[test]
    fn what_begins_before_the_cut_is_hidden_and_nothing_comes_from_behind_it() {
        let own = of_headers(["0123456789"]);
        for (body, kept) in [
            ("ab0123456789", "ab[hidden]"),
            ("abc 01234567890123456789", "abc [hidden]"),
            // What is hidden makes no room for more.
            ("0123456789 0123456789", "[hidden]"),
            ("abcde 0123456789", "abcde "),
            ("ab whsec_0123", "ab whs"),
        ] {
            assert_eq!(response(body.as_bytes(), 6, &own).as_deref(), Some(kept));
        }
    }
}
