//! Words for the customer: one line, not too long, and of a provider's without links. Pure.

/// The longest, in characters.
const MAX_CHARS: usize = 300;
/// What is in a link behind the name of its scheme: plain, as JSON may write it, and as it stands within another link.
const MARKS: [&str; 3] = ["://", ":\\/\\/", "%3a%2f%2f"];
/// What stands in the place of one.
const LINK: &str = "[link]";

/// A line of a provider's words. A link in them may be the one that it was given for a file, which opens that file: none is told.
pub(super) fn theirs(text: &str) -> Option<Box<str>> {
    if !MARKS.iter().any(|mark| find(text, mark).is_some()) {
        return line(text);
    }
    let words = text.split_whitespace().map(without_link);
    line(&words.collect::<Vec<String>>().join(" "))
}

/// A word up to the link in it, if there is one.
fn without_link(word: &str) -> String {
    let marks = MARKS.iter().filter_map(|mark| find(word, mark));
    let Some((before, _)) = marks.min().and_then(|at| word.split_at_checked(at)) else {
        return word.to_owned();
    };
    let is_of_scheme = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
    let before = before.trim_end_matches(is_of_scheme);
    format!("{before}{LINK}")
}

/// Where this is, in whichever letters.
fn find(text: &str, mark: &str) -> Option<usize> {
    let mut places = text.as_bytes().windows(mark.len());
    places.position(|part| part.eq_ignore_ascii_case(mark.as_bytes()))
}

/// One line of at most [`MAX_CHARS`] printable characters, or nothing.
pub(super) fn line(text: &str) -> Option<Box<str>> {
    let mut line = String::with_capacity(text.len().min(MAX_CHARS));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if let Some((cut, _)) = line.char_indices().nth(MAX_CHARS) {
        line.truncate(cut);
    }
    (!line.is_empty()).then(|| line.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_told() {
        for (text, told) in [
            ("no face, at all", "no face, at all"),
            (
                "cannot load https://us.example/api/v1/files/f?sig=s now",
                "cannot load [link] now",
            ),
            ("HTTPS://us.example/f", "[link]"),
            ("(\"http://us.example/f\")", "(\"[link]"),
            ("image_url=https://us.example/f,", "image_url=[link]"),
            (r#"{"url":"https:\/\/us.example\/f"}"#, r#"{"url":"[link]"#),
            ("of ?u=https%3A%2F%2Fus.example%2Ff é", "of ?u=[link] é"),
            ("a\nhttps://a/1 https://a/2", "a [link] [link]"),
            ("é://é", "é[link]"),
            ("16:9 is 16 : 9 // so", "16:9 is 16 : 9 // so"),
        ] {
            assert_eq!(theirs(text).as_deref(), Some(told), "{text}");
        }
        assert_eq!(theirs(" \n"), None);
    }
}
