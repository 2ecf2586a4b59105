//! Known counts, and the published tokenizer beside ours.

use std::sync::OnceLock;

use proptest::{prelude::*, strategy::ValueTree as _};

use super::*;

fn counted(text: &str) -> u64 {
    let mut counter = Counter::default();
    counter.push(text);
    counter.end_text();
    counter.tokens()
}

/// What a published implementation counts.
fn published(texts: &[String]) -> Vec<u64> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let counts = testkit::tokens_of(&texts).unwrap().into_iter();
    counts.map(|count| u64::try_from(count).unwrap()).collect()
}

#[test]
fn well_known_texts_have_their_well_known_counts() {
    for (text, tokens) in [
        ("", 0),
        ("a", 1),
        ("tiktoken is great!", 6),
        ("antidisestablishmentarianism", 6),
        ("2 + 2 = 4", 7),
        ("お誕生日おめでとう", 8),
        ("hello world", 2),
    ] {
        assert_eq!(counted(text), tokens, "{text}");
    }
}

/// The text of a long file, so that a test of ours need not bring one.
static PROSE: &str = include_str!("../../../../docs/api.md");
static CODE: &str = include_str!("../tokens.rs");

#[test]
fn long_texts_are_counted_as_the_published_tokenizer_does() {
    let mut texts = vec![PROSE.to_owned(), CODE.to_owned(), CODE.to_uppercase()];
    texts.extend(PROSE.lines().map(str::to_owned));
    texts.extend(CODE.lines().map(|line| format!("\t{line} \r\n")));
    let expected = published(&texts);
    for (text, expected) in texts.iter().zip(expected) {
        assert_eq!(counted(text), expected, "{text:?}");
    }
}

/// Characters of every kind that the cutting knows, among them the odd ones.
const ODD: &str = "[aA中ǅʰ\u{301}1²٣ \t\r\n\u{3000}\u{a0}'sSſtdm!/.,{}\u{200d}👩🏽éßЖжहि\u{94d}กิ\u{0}\u{7f}\u{e000}-]{0,60}";

#[test]
fn whatever_characters_there_are_the_count_is_the_published_one() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let any = prop_oneof![
        ODD.boxed(),
        "\\PC{0,60}".boxed(),
        "[ a-zA-Z'.\\n]{0,80}".boxed()
    ];
    let texts: Vec<String> = (0..1_500)
        .map(|_| any.new_tree(&mut runner).unwrap().current())
        .collect();
    let expected = published(&texts);
    for (text, expected) in texts.iter().zip(expected) {
        assert_eq!(counted(text), expected, "{text:?}");
    }
}

/// What is one long word to the tokenizer: ours cuts it, at a token more for each cut at most, or two.
#[test]
fn words_without_an_end_are_counted_in_pieces() {
    let long = |unit: &str| unit.repeat(40_000 / unit.len());
    let texts: Vec<String> = ["a", "A", " ", "\n", "!", "中", "xq", "e\u{301}", "👩🏽"]
        .map(long)
        .into();
    let expected = published(&texts);
    for (text, expected) in texts.iter().zip(expected) {
        let (ours, cuts) = (
            counted(text),
            u64::try_from(text.len() / LONGEST_PIECE).unwrap(),
        );
        let most = expected + 2 * (cuts + 1);
        assert!(
            (expected..=most).contains(&ours),
            "{ours} of {expected}: {text:.8}"
        );
    }
}

static TEXT: OnceLock<Vec<char>> = OnceLock::new();

proptest! {
    #[test]
    fn it_does_not_matter_in_how_many_parts_a_text_comes(cuts in proptest::collection::vec(1_usize..900, 1..60), from in 0_usize..10_000) {
        let text = TEXT.get_or_init(|| PROSE.chars().collect());
        let whole: String = text.iter().skip(from).take(cuts.iter().sum()).collect();
        let mut counter = Counter::default();
        let mut characters = whole.chars();
        for cut in cuts {
            counter.push(&characters.by_ref().take(cut).collect::<String>());
        }
        counter.end_text();
        prop_assert_eq!(counter.tokens(), counted(&whole));
    }

    #[test]
    fn a_text_has_no_more_tokens_than_bytes_and_two_have_those_of_both(one in ODD, other in "\\PC{0,60}") {
        prop_assert!(counted(&one) <= u64::try_from(one.len()).unwrap());
        prop_assert_eq!(counted(&one) == 0, one.is_empty());
        let mut counter = Counter::default();
        for text in [&one, &other] {
            counter.push(text);
            counter.end_text();
        }
        prop_assert_eq!(counter.tokens(), counted(&one) + counted(&other));
    }
}
