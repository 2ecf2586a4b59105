//! What of an endpoint's answer is kept: its beginning, as text, without anything that opens something. Pure.

/// What stands in the place of something secret.
const HIDDEN: &str = "[hidden]";
/// How secrets begin that an endpoint may say back: what signs, and keys of this API.
const SECRETS: [&str; 4] = ["whsec_", "whsk_", "aio_test_", "aio_"];
/// How credentials are introduced, in lower case.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];

/// The beginning of a body as text: what is no text becomes signs that say so, and `own`, the values of the endpoint's own headers, and
/// whatever looks like a secret is hidden. `None`: there is none.
pub(crate) fn response(body: &[u8], max_bytes: usize, own: &[String]) -> Option<String> {
    let beginning = body.get(..max_bytes).unwrap_or(body);
    let text = String::from_utf8_lossy(beginning);
    // The sign for a character that was cut in two says nothing.
    let text = match body.len() > max_bytes {
        true => text.trim_end_matches('\u{fffd}'),
        false => &text,
    };
    let mut text: String = text.chars().map(printable).collect();
    // Each value is long enough to be told from a word, or is left.
    for value in own.iter().filter(|value| value.len() >= 4) {
        text = text.replace(value.as_str(), HIDDEN);
    }
    let text = without_secrets(&text);
    (!text.is_empty()).then_some(text)
}

/// Nothing that steers a terminal.
fn printable(character: char) -> char {
    match character {
        '\n' | '\t' => character,
        other if other.is_control() => '\u{fffd}',
        other => other,
    }
}

fn without_secrets(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match secret_at(rest) {
            Some((shown, hidden)) => {
                kept.push_str(rest.get(..shown).unwrap_or_default());
                kept.push_str(HIDDEN);
                rest = rest.get(shown.saturating_add(hidden)..).unwrap_or_default();
            }
            None => {
                kept.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    kept
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
        let own = ["my-token".to_owned(), "x".to_owned()];
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
}
