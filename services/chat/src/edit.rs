//! The provider's body: the customer's bytes with the fewest edits, spliced by byte ranges. Pure; at most one copy.
//!
//! Messages, tools and everything unknown are never read back and written again: what the customer sent is what the provider
//! gets, to the byte.

use std::{borrow::Cow, ops::Range};

use bytes::{Bytes, BytesMut};
use domain::{Dialect, Thoughts};

use crate::request::{Request, Wanted};

/// What one provider needs changed.
pub(crate) struct Wishes<'a> {
    /// What the provider calls the model.
    pub(crate) model: &'a str,
    /// The most output of one choice, in tokens.
    pub(crate) max_output: u64,
    /// What the provider spells its own way.
    pub(crate) dialect: Dialect,
}

/// One edit: this range becomes that text.
type Cut<'a> = (Range<usize>, Cow<'a, str>);

/// The body for a provider.
pub(crate) fn provider_body(body: &Bytes, request: &Request, wishes: &Wishes<'_>) -> Bytes {
    let mut cuts: Vec<Cut<'_>> = Vec::with_capacity(4);
    let model = quoted(wishes.model);
    cuts.push(if request.spans.model.is_empty() {
        first_member(body, 0, &format!("\"model\":{model}"))
    } else {
        (request.spans.model.clone(), model.into())
    });
    output_limit(body, request, wishes, &mut cuts);
    if request.answer != Wanted::Whole {
        include_usage(body, request, &mut cuts);
    }
    // The customer's labels are for us: providers that do not know them, or want them for a purpose of their own, refuse them. So is
    // who shall answer.
    let spans = &request.spans;
    let ours = [&spans.metadata, &spans.models, &spans.provider];
    let mut left_out: Vec<_> = ours.into_iter().flatten().collect();
    if let Some(value) = &request.spans.include_thoughts {
        let effort = effort(body, request);
        match thoughts(request, wishes.dialect.thoughts, effort) {
            Some(config) => {
                cuts.push((name_start(body, value.start)..value.end, config.into()));
                left_out.extend(&request.spans.reasoning_effort);
            }
            None => left_out.push(value),
        }
    }
    cuts.extend(whole_members(body, left_out));
    cuts.retain(|(range, text)| body.get(range.clone()) != Some(text.as_bytes()));
    splice(body, cuts)
}

/// The body of a request for embeddings: the model as the provider calls it, and without labels.
pub(crate) fn embeddings_body(body: &Bytes, request: &Request, model: &str) -> Bytes {
    let mut cuts: Vec<Cut<'_>> = vec![(request.spans.model.clone(), quoted(model).into())];
    cuts.extend(whole_members(body, request.spans.metadata.iter().collect()));
    splice(body, cuts)
}

/// The limit goes into the field the customer used, else into the one the provider knows. A field that we used for a customer is none.
fn output_limit(body: &Bytes, request: &Request, wishes: &Wishes<'_>, cuts: &mut Vec<Cut<'_>>) {
    let limit = wishes.max_output.to_string();
    let field = wishes.dialect.output_limit.field();
    let spans = &request.spans;
    if let Some(value) = &spans.respelled {
        let member = format!("\"{field}\":{limit}");
        cuts.push((name_start(body, value.start)..value.end, member.into()));
        return;
    }
    let given: Vec<_> = [&spans.max_tokens, &spans.max_completion_tokens]
        .into_iter()
        .flatten()
        .collect();
    // A `null` beside a number stays: `null` means "not given" to both sides.
    let is_null = |range: &Range<usize>| body.get(range.clone()) == Some(b"null".as_slice());
    let numbers: Vec<_> = given.iter().filter(|range| !is_null(range)).collect();
    if !numbers.is_empty() {
        cuts.extend(
            numbers
                .into_iter()
                .map(|range| ((*range).clone(), Cow::Owned(limit.clone()))),
        );
    } else if let Some(null) = given.first() {
        cuts.push(((*null).clone(), Cow::Owned(limit)));
    } else {
        cuts.push(first_member(body, 0, &format!("\"{field}\":{limit}")));
    }
}

/// The charge needs the usage, whether the customer wants to see it or not.
fn include_usage(body: &Bytes, request: &Request, cuts: &mut Vec<Cut<'_>>) {
    const OPTIONS: &str = r#"{"include_usage":true}"#;
    let spans = &request.spans;
    match (&spans.stream_options, &spans.include_usage) {
        (_, Some(value)) => cuts.push((value.clone(), Cow::Borrowed("true"))),
        (Some(options), None) if body.get(options.start) == Some(&b'{') => {
            cuts.push(first_member(body, options.start, "\"include_usage\":true"));
        }
        (Some(null), None) => cuts.push((null.clone(), Cow::Borrowed(OPTIONS))),
        (None, None) => cuts.push(first_member(
            body,
            0,
            &format!("\"stream_options\":{OPTIONS}"),
        )),
    }
}

/// The text of `reasoning_effort`, as it stands.
fn effort<'a>(body: &'a Bytes, request: &Request) -> Option<&'a [u8]> {
    let span = request.spans.reasoning_effort.clone()?;
    body.get(span).filter(|text| *text != b"null")
}

/// The member that says it the provider's way, an effort with it: Google takes only one of `reasoning_effort` and a configuration of
/// its own. `None`: the provider is told nothing, as where nothing is to be thought.
fn thoughts(request: &Request, spelling: Thoughts, effort: Option<&[u8]>) -> Option<String> {
    let wanted = request
        .thoughts
        .filter(|_| spelling == Thoughts::Google && request.spans.extra_body.is_none());
    let include = wanted?;
    let level = match effort {
        None => "",
        Some(b"\"minimal\"") => r#","thinking_level":"minimal""#,
        Some(b"\"low\"") => r#","thinking_level":"low""#,
        Some(b"\"medium\"") => r#","thinking_level":"medium""#,
        Some(b"\"high\"" | b"\"xhigh\"" | b"\"max\"") => r#","thinking_level":"high""#,
        Some(_) => return None,
    };
    Some(format!(
        r#""extra_body":{{"google":{{"thinking_config":{{"include_thoughts":{include}{level}}}}}}}"#
    ))
}

/// Puts a member in front of all others of the first object at or behind `from`.
fn first_member<'a>(body: &Bytes, from: usize, member: &str) -> Cut<'a> {
    let rest = body.get(from..).unwrap_or_default();
    let open = memchr::memchr(b'{', rest).unwrap_or(0);
    let inside = from.saturating_add(open).saturating_add(1);
    let empty = next(body, inside).is_none_or(|(_, byte)| byte == b'}');
    let comma = if empty { "" } else { "," };
    (inside..inside, Cow::Owned(format!("{member}{comma}")))
}

/// Members that are left out, by their values, with the commas that would be left over. Neighbours go together.
fn whole_members<'a>(body: &Bytes, mut values: Vec<&Range<usize>>) -> Vec<Cut<'a>> {
    values.sort_by_key(|value| value.start);
    let mut runs: Vec<Range<usize>> = Vec::new();
    for value in values {
        let start = name_start(body, value.start);
        match runs.last_mut() {
            Some(run) if follows(body, run.end, start) => run.end = value.end,
            _ => runs.push(start..value.end),
        }
    }
    let cuts = runs.into_iter().map(|run| with_comma(body, run));
    cuts.map(|range| (range, Cow::Borrowed(""))).collect()
}

/// Whether the member that begins at `start` is the next one behind `end`.
fn follows(body: &Bytes, end: usize, start: usize) -> bool {
    let Some((comma, b',')) = next(body, end) else {
        return false;
    };
    next(body, comma.saturating_add(1)).is_some_and(|(place, _)| place == start)
}

fn with_comma(body: &Bytes, members: Range<usize>) -> Range<usize> {
    match next(body, members.end) {
        Some((comma, b',')) => members.start..comma.saturating_add(1),
        Some(_) | None => match previous(body, members.start) {
            Some((comma, b',')) => comma..members.end,
            Some(_) | None => members,
        },
    }
}

/// Where the name of the member with this value begins. The names that are edited hold no quotation mark, however written.
pub(crate) fn name_start(body: &Bytes, value: usize) -> usize {
    let before = body.get(..value).unwrap_or_default();
    let closing = memchr::memrchr(b'"', before).unwrap_or(0);
    let name = before.get(..closing).unwrap_or_default();
    memchr::memrchr(b'"', name).unwrap_or(closing)
}

/// The first byte at or behind `at` that is not white space, with its place.
fn next(body: &Bytes, at: usize) -> Option<(usize, u8)> {
    let rest = body.get(at..)?;
    let skipped = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let place = at.saturating_add(skipped);
    body.get(place).map(|byte| (place, *byte))
}

/// The last byte before `at` that is not white space, with its place.
fn previous(body: &Bytes, at: usize) -> Option<(usize, u8)> {
    let place = body
        .get(..at)?
        .iter()
        .rposition(|byte| !byte.is_ascii_whitespace())?;
    body.get(place).map(|byte| (place, *byte))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The body with its edits. The ranges do not overlap: each is the inside of a member of its own.
fn splice(body: &Bytes, mut cuts: Vec<Cut<'_>>) -> Bytes {
    if cuts.is_empty() {
        return body.clone();
    }
    cuts.sort_by_key(|(range, _)| range.start);
    let added: usize = cuts.iter().map(|(_, text)| text.len()).sum();
    let mut edited = BytesMut::with_capacity(body.len().saturating_add(added));
    let mut at = 0;
    for (range, text) in &cuts {
        edited.extend_from_slice(body.get(at..range.start).unwrap_or_default());
        edited.extend_from_slice(text.as_bytes());
        at = range.end;
    }
    edited.extend_from_slice(body.get(at..).unwrap_or_default());
    edited.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::request;

    const HI: &str = r#""messages": [ {"role":"user","content":"h\u00efi, \"max_tokens\": 7"} ]"#;

    fn edited(body: &str, thoughts: Thoughts) -> String {
        let dialect = Dialect {
            thoughts,
            ..Dialect::default()
        };
        edited_for(body, dialect)
    }

    fn edited_for(body: &str, dialect: Dialect) -> String {
        let body = Bytes::from(body.to_owned());
        let request = request::parse(&body, 8).unwrap();
        let wishes = Wishes {
            model: "up",
            max_output: 99,
            dialect,
        };
        String::from_utf8(provider_body(&body, &request, &wishes).to_vec()).unwrap()
    }

    #[test]
    fn a_body_that_needs_nothing_is_not_copied() {
        let body = Bytes::from(format!(r#"{{"model":"up",{HI},"max_tokens":99}}"#));
        let request = request::parse(&body, 8).unwrap();
        let wishes = Wishes {
            model: "up",
            max_output: 99,
            dialect: Dialect::default(),
        };
        assert_eq!(
            provider_body(&body, &request, &wishes).as_ptr(),
            body.as_ptr()
        );
    }

    #[test]
    fn only_the_intended_bytes_change() {
        for (body, expected) in [
            (
                format!(r#" {{ {HI} , "model" : "gemini" }} "#),
                format!(r#" {{"max_tokens":99, {HI} , "model" : "up" }} "#),
            ),
            (
                format!(
                    r#"{{"model":"gemini",{HI},"max_completion_tokens":5000,"max_tokens":null}}"#
                ),
                format!(r#"{{"model":"up",{HI},"max_completion_tokens":99,"max_tokens":null}}"#),
            ),
            (
                format!(
                    r#"{{"model":"gemini",{HI},"max_tokens":null,"stream":true,"stream_options":null}}"#
                ),
                format!(
                    r#"{{"model":"up",{HI},"max_tokens":99,"stream":true,"stream_options":{{"include_usage":true}}}}"#
                ),
            ),
            (
                format!(
                    r#"{{"model":"gemini",{HI},"max_tokens":9,"stream":true,"stream_options":{{ }}}}"#
                ),
                format!(
                    r#"{{"model":"up",{HI},"max_tokens":99,"stream":true,"stream_options":{{"include_usage":true }}}}"#
                ),
            ),
            (
                format!(
                    r#"{{"model":"gemini",{HI},"max_tokens":9,"stream":true,"stream_options":{{"x":1,"include_usage":false}}}}"#
                ),
                format!(
                    r#"{{"model":"up",{HI},"max_tokens":99,"stream":true,"stream_options":{{"x":1,"include_usage":true}}}}"#
                ),
            ),
            (
                format!(r#"{{"model":"gemini",{HI},"stream":true}}"#),
                format!(
                    r#"{{"max_tokens":99,"stream_options":{{"include_usage":true}},"model":"up",{HI},"stream":true}}"#
                ),
            ),
        ] {
            assert_eq!(edited(&body, Thoughts::Unknown), expected);
        }
    }

    #[test]
    fn a_limit_the_customer_did_not_name_goes_where_the_provider_knows_it() {
        let openai = Dialect {
            output_limit: domain::OutputLimit::MaxCompletionTokens,
            ..Dialect::default()
        };
        for (body, expected) in [
            (
                format!(r#"{{"model":"up",{HI}}}"#),
                format!(r#"{{"max_completion_tokens":99,"model":"up",{HI}}}"#),
            ),
            (
                format!(r#"{{"model":"up",{HI},"max_tokens":9}}"#),
                format!(r#"{{"model":"up",{HI},"max_tokens":99}}"#),
            ),
        ] {
            assert_eq!(edited_for(&body, openai), expected);
        }
    }

    #[test]
    fn our_own_extra_is_spelled_for_google_and_dropped_for_others() {
        let google = r#""extra_body":{"google":{"thinking_config":{"include_thoughts":true}}}"#;
        let high = r#""extra_body":{"google":{"thinking_config":{"include_thoughts":true,"thinking_level":"high"}}}"#;
        for (body, for_google, for_others) in [
            (
                format!(
                    r#"{{"include_thoughts":true,"reasoning_effort":"xhigh","model":"up",{HI},"max_tokens":99}}"#
                ),
                format!(r#"{{{high},"model":"up",{HI},"max_tokens":99}}"#),
                format!(r#"{{"reasoning_effort":"xhigh","model":"up",{HI},"max_tokens":99}}"#),
            ),
            (
                format!(
                    r#"{{"model":"up",{HI},"max_tokens":99,"include_thoughts":true,"reasoning_effort":"none"}}"#
                ),
                format!(r#"{{"model":"up",{HI},"max_tokens":99,"reasoning_effort":"none"}}"#),
                format!(r#"{{"model":"up",{HI},"max_tokens":99,"reasoning_effort":"none"}}"#),
            ),
            (
                format!(r#"{{"include_thoughts" : true , "model":"up",{HI},"max_tokens":99}}"#),
                format!(r#"{{{google} , "model":"up",{HI},"max_tokens":99}}"#),
                format!(r#"{{ "model":"up",{HI},"max_tokens":99}}"#),
            ),
            (
                format!(r#"{{"model":"up",{HI},"max_tokens":99 , "incl\u0075de_thoughts":true }}"#),
                format!(r#"{{"model":"up",{HI},"max_tokens":99 , {google} }}"#),
                format!(r#"{{"model":"up",{HI},"max_tokens":99  }}"#),
            ),
            (
                format!(
                    r#"{{"model":"up","include_thoughts":true,"extra_body":{{}},{HI},"max_tokens":99}}"#
                ),
                format!(r#"{{"model":"up","extra_body":{{}},{HI},"max_tokens":99}}"#),
                format!(r#"{{"model":"up","extra_body":{{}},{HI},"max_tokens":99}}"#),
            ),
        ] {
            assert_eq!(edited(&body, Thoughts::Google), for_google);
            assert_eq!(edited(&body, Thoughts::Unknown), for_others);
        }
    }

    #[test]
    fn labels_stay_with_us_wherever_they_stand() {
        let (tag, think) = (r#""metadata" : {"a":"b"}"#, r#""include_thoughts":true"#);
        let bare = format!(r#""model":"up",{HI},"max_tokens":99"#);
        for (body, expected) in [
            (format!("{{{tag},{bare}}}"), format!("{{{bare}}}")),
            (format!("{{{bare}, {tag} }}"), format!("{{{bare} }}")),
            (
                format!("{{{bare} ,{think} , {tag}}}"),
                format!("{{{bare} }}"),
            ),
            (format!("{{{tag},{think}, {bare}}}"), format!("{{ {bare}}}")),
            (
                format!(r#"{{{think},"model":"up",{tag},{HI},"max_tokens":99}}"#),
                format!("{{{bare}}}"),
            ),
            (
                format!(r#"{{{tag},"model":"gemini",{HI},"user":"u"}}"#),
                format!(r#"{{"max_tokens":99,"model":"up",{HI},"user":"u"}}"#),
            ),
        ] {
            assert_eq!(edited(&body, Thoughts::Unknown), expected, "{body}");
        }
    }

    /// A JSON value of moderate size.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~äß\\n\\t{}\",:]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"{},]{0,6}", inner, 0..3)
                    .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    fn body() -> impl Strategy<Value = Map<String, Value>> {
        let options = prop_oneof![
            Just(json!(null)),
            Just(json!({})),
            Just(json!({"include_usage": false})),
            Just(json!({"a": [1], "include_usage": null}))
        ];
        (
            prop::collection::btree_map("x_[a-z\"{},]{0,6}", value(), 0..4),
            "[ -~äß\\n]{0,20}",
            prop::option::of(1_u64..100),
            prop::option::of(prop::option::of(1_u64..100)),
            prop::option::of(any::<bool>()),
            prop::option::of(options),
            prop::option::of(any::<bool>()),
            prop::option::of(prop::collection::btree_map(
                "[a-z\"{},]{1,6}",
                "[ -~]{0,6}",
                0..3,
            )),
        )
            .prop_map(
                |(extras, text, tokens, completion, stream, options, thoughts, labels)| {
                    let mut body: Map<_, _> = extras.into_iter().collect();
                    body.insert("model".into(), json!("gemini"));
                    body.insert(
                        "messages".into(),
                        json!([{"role": "user", "content": text}]),
                    );
                    let mut put = |name: &str, value: Option<Value>| {
                        value.map(|value| body.insert(name.into(), value));
                    };
                    put("max_tokens", tokens.map(Value::from));
                    put("max_completion_tokens", completion.map(Value::from));
                    put("stream", stream.map(Value::from));
                    put("stream_options", options);
                    put("include_thoughts", thoughts.map(Value::from));
                    put("metadata", labels.map(|labels| json!(labels)));
                    body
                },
            )
    }

    proptest! {
        #[test]
        fn the_edited_body_differs_only_in_the_intended_fields(sent in body(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&sent) } else { serde_json::to_string(&sent) }.unwrap();
            let got: Map<String, Value> = serde_json::from_str(&edited(&text, Thoughts::Unknown)).unwrap();
            let mut expected = sent.clone();
            expected.insert("model".into(), json!("up"));
            expected.remove("include_thoughts");
            expected.remove("metadata");
            let number = |name: &str| sent.get(name).is_some_and(Value::is_number);
            if number("max_tokens") || !number("max_completion_tokens") && !sent.contains_key("max_completion_tokens") {
                expected.insert("max_tokens".into(), json!(99));
            }
            if number("max_completion_tokens") || !number("max_tokens") && sent.contains_key("max_completion_tokens") {
                expected.insert("max_completion_tokens".into(), json!(99));
            }
            if sent.get("stream") == Some(&json!(true)) {
                let mut options = sent.get("stream_options").and_then(Value::as_object).cloned().unwrap_or_default();
                options.insert("include_usage".into(), json!(true));
                expected.insert("stream_options".into(), options.into());
            }
            prop_assert_eq!(got, expected);
        }
    }
}
