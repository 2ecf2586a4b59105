//! What of a request is text that a model reads: for counting it, where the provider did not. Pure.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer as _,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::{Deserializer, value::RawValue};

use super::{
    given,
    messages::{Each, Found},
    pick::Pick,
};
use crate::text::Text;

/// Tokens around each message, its role among them, by OpenAI's own rule of counting.
const AROUND_MESSAGE: u64 = 4;
/// Tokens behind all of them, which begin the answer, by the same rule.
const BEFORE_ANSWER: u64 = 3;
/// What of a request the model is shown: the messages, and the schemas as JSON.
const SHOWN: [&str; 4] = ["messages", "tools", "functions", "response_format"];

/// The texts of a request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts<'a> {
    /// Each of them.
    pub(crate) texts: Vec<Text<'a>>,
    /// Tokens that are there without a text.
    pub(crate) tokens: u64,
}

// === impl Texts ===

impl<'a> Texts<'a> {
    /// Those of a chat: of messages what is said and which tools are called with what, and the schemas. Media are no text.
    pub(crate) fn of_chat(body: &'a str) -> Self {
        let Ok([messages, schemas @ ..]) = Pick(SHOWN).read(body) else {
            return Self::as_written(body);
        };
        let mut texts = Self::default();
        let names = ["content", "refusal", "name", "tool_calls", "function_call"];
        let each = Each {
            pick: Pick(names),
            at: 0,
            take: |_, found: Found<'_, 'a, 5>| {
                let Found::Picked([content, refusal, name, calls, call]) = found else {
                    return;
                };
                texts.add_tokens(AROUND_MESSAGE);
                texts.content(content);
                texts.strings([refusal, name]);
                elements(calls, |call: &'a RawValue| {
                    if let Ok([function]) = Pick(["function"]).read(call.get()) {
                        texts.call(function);
                    }
                });
                texts.call(call);
            },
        };
        let messages = messages.map(RawValue::get).unwrap_or_default();
        if each.read(messages).is_err() {
            texts = Self::as_written(messages);
        }
        texts.add_tokens(BEFORE_ANSWER);
        let schemas = schemas.into_iter().filter_map(given);
        texts
            .texts
            .extend(schemas.map(|raw| Text::Plain(raw.get())));
        texts
    }

    /// What cannot be taken apart, such as an object that names a field twice, which a provider may take.
    fn as_written(json: &'a str) -> Self {
        Self {
            texts: vec![Text::Plain(json)],
            tokens: 0,
        }
    }

    /// Those of a request for embeddings, where tokens may be given as numbers.
    pub(crate) fn of_embeddings(body: &'a str) -> Self {
        let mut texts = Self::default();
        if let Ok([Some(input)]) = Pick(["input"]).read(body) {
            texts.strings([Some(input)]);
            elements(Some(input), |one| texts.input(one));
        }
        texts
    }

    /// A text, a token, or the tokens of a text. What is nested deeper is no input: whatever it is, it is one thing that is not looked into.
    fn input(&mut self, input: &'a RawValue) {
        match input.get().as_bytes().first() {
            Some(b'[') => elements(Some(input), |_: IgnoredAny| self.add_tokens(1)),
            Some(b'"') => self.strings([Some(input)]),
            Some(_) | None => self.add_tokens(1),
        }
    }

    fn content(&mut self, content: Option<&'a RawValue>) {
        self.strings([content]);
        elements(content, |part: &'a RawValue| {
            if let Ok(said) = Pick(["text", "refusal"]).read(part.get()) {
                self.strings(said);
            }
        });
    }

    fn call(&mut self, function: Option<&'a RawValue>) {
        let Some(function) = function else {
            return;
        };
        if let Ok(said) = Pick(["name", "arguments"]).read(function.get()) {
            self.strings(said);
        }
    }

    /// Takes those that are texts.
    fn strings<const N: usize>(&mut self, values: [Option<&'a RawValue>; N]) {
        for value in values.into_iter().flatten() {
            let inside = value.get().strip_prefix('"');
            let inside = inside.and_then(|inside| inside.strip_suffix('"'));
            self.texts.extend(inside.map(Text::Quoted));
        }
    }

    const fn add_tokens(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }
}

/// The elements of a list, one after another.
struct Elements<T, F> {
    take: F,
    of: PhantomData<T>,
}

/// Takes the elements of a list, none of which is kept; none of what is no list.
fn elements<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>, take: impl FnMut(T)) {
    let Some(list) = raw.filter(|raw| raw.get().starts_with('[')) else {
        return;
    };
    let of = PhantomData;
    // The request is JSON as a whole: it was read before.
    let _ = Deserializer::from_str(list.get()).deserialize_seq(Elements { take, of });
}

// === impl Elements ===

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Elements<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while let Some(one) = list.next_element()? {
            (self.take)(one);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_chat_what_is_said_counts_and_media_do_not() {
        let body = r#"{"model":"m","max_tokens":9,"tools": [{"a":"b"}],"response_format":null,"messages":[
            {"role":"system","content":"be \"brief\"","name":"n"},
            {"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
                {"type":"file","file":{"file_data":"BBBB","filename":"c.pdf"}},{"type":"new","text":"d"}]},
            {"role":"assistant","content":null,"reasoning_details":[{"signature":"EEEE"}],
                "tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},
            {"role":"assistant","refusal":"no","function_call":{"arguments":"x","name":"g"}},
            {"role":"tool","tool_call_id":"call_1","content":"done"}]}"#;
        let Texts { texts, tokens } = Texts::of_chat(body);
        let expected = [
            r#"be \"brief\""#,
            "n",
            "look",
            "d",
            "f",
            "{}",
            "no",
            "g",
            "x",
            "done",
        ];
        let expected = expected.map(Text::Quoted);
        let schema = [Text::Plain(r#"[{"a":"b"}]"#)];
        assert_eq!(texts, [&expected[..], &schema].concat());
        assert_eq!(tokens, 5 * AROUND_MESSAGE + BEFORE_ANSWER);
    }

    #[test]
    fn what_names_a_field_twice_counts_as_it_is_written() {
        let messages = r#"[{"role":"user","content":"a","name":"b","name":"c"}]"#;
        let body = format!(r#"{{"messages":{messages}}}"#);
        let found = Texts::of_chat(&body);
        assert_eq!(found.texts, [Text::Plain(messages)]);
        let body = r#"{"messages":[],"tools":[],"tools":[]}"#;
        assert_eq!(Texts::of_chat(body), Texts::as_written(body));
    }

    #[test]
    fn of_embeddings_texts_and_tokens_count() {
        for (input, texts, tokens) in [
            (r#""a\n""#, &[r"a\n"][..], 0),
            (r#"["a","b"]"#, &["a", "b"], 0),
            ("[1,2,3]", &[], 3),
            ("[[1,2],[3]]", &[], 3),
        ] {
            let body = format!(r#"{{"model":"m","input":{input}}}"#);
            let found = Texts::of_embeddings(&body);
            let texts = texts.iter().copied().map(Text::Quoted).collect();
            assert_eq!(found, Texts { texts, tokens }, "{input}");
        }
        assert_eq!(Texts::of_embeddings("[]"), Texts::default());
    }

    #[test]
    fn however_deep_an_input_is_it_costs_no_more_than_its_length() {
        let deep = format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let body = format!(r#"{{"model":"m","input":{deep}}}"#);
        assert_eq!(Texts::of_embeddings(&body).tokens, 1);
        let messages =
            format!(r#"{{"messages":[{{"role":"user","content":{deep},"tool_calls":{deep}}}]}}"#);
        let found = Texts::of_chat(&messages);
        assert_eq!(
            (found.texts, found.tokens),
            (Vec::new(), AROUND_MESSAGE + BEFORE_ANSWER)
        );
    }
}
