//! What is read out of a request, and what is said about a wrong one.

use bytes::Bytes;
use domain::{Dialect, OutputLimit};

use super::*;
use crate::edit::{Wishes, provider_body};

const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

fn read(body: &str) -> Request {
    parse(body.as_bytes(), 8).unwrap()
}

/// What is wrong with a body, in one text.
fn wrong(body: &str) -> String {
    match parse(body.as_bytes(), 8).unwrap_err() {
        Refusal::NotJson(why) => why,
        Refusal::Problems(problems) => {
            let lines: Vec<_> = problems
                .iter()
                .map(|p| format!("{}: {}", p.param, p.message))
                .collect();
            lines.join("\n")
        }
    }
}

#[test]
fn what_is_needed_is_found_and_the_rest_passes() {
    let body = format!(
        r#"{{"temperature":7,"model":"gem\u0069ni",{HI},"stream":true,"n":2,"max_tokens":50,
        "max_completion_tokens":40,"stream_options":{{"x":1,"include_usage":true}},"whatever":[{{}}]}}"#
    );
    let request = read(&body);
    assert_eq!(request.model, "gemini");
    assert_eq!(request.answer, Wanted::StreamWithUsage);
    assert_eq!((request.max_output, request.choices), (Some(40), 2));
    assert_eq!(request.text_bytes, body.len());
    assert_eq!(body.get(request.spans.max_tokens.unwrap()), Some("50"));
    assert_eq!(body.get(request.spans.include_usage.unwrap()), Some("true"));
    assert_eq!(body.get(request.spans.model), Some(r#""gem\u0069ni""#));
}

#[test]
fn labels_are_read_and_what_is_wrong_with_them_is_said() {
    let body = format!(r#"{{"model":"m",{HI},"user":"u-1","metadata":{{"te\u0061m":"red"}}}}"#);
    let request = read(&body);
    let labels: Vec<_> = request
        .tags
        .iter()
        .map(|tag| (tag.name, tag.value))
        .collect();
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        labels,
        [label("user", "u-1"), label("metadata.team", "red")]
    );
    let spans = request.spans;
    assert_eq!(
        body.get(spans.metadata.unwrap()),
        Some(r#"{"te\u0061m":"red"}"#)
    );
    assert!(
        read(&format!(r#"{{"model":"m",{HI},"user":null}}"#))
            .tags
            .is_empty()
    );
    assert_eq!(
        wrong(&format!(
            r#"{{"model":"m",{HI},"user":7,"metadata":{{"a":[]}}}}"#
        )),
        "user: user must be a text of 1 to 256 characters in one line\n\
         metadata.a: metadata.a must be a text of at most 512 characters in one line"
    );
}

#[test]
fn what_is_no_value_is_no_label() {
    for (labels, param) in [
        (r#""user":"\ud800""#, "user"),
        (r#""metadata":{"a":1e999}"#, "metadata"),
    ] {
        let said = wrong(&format!(r#"{{"model":"m",{HI},{labels}}}"#));
        assert!(said.starts_with(param), "{said}");
    }
}

#[test]
fn null_means_not_given() {
    let request = read(&format!(
        r#"{{"model":"m",{HI},"stream":null,"n":null,"max_tokens":null,"stream_options":null}}"#
    ));
    assert_eq!(
        (request.answer, request.choices, request.max_output),
        (Wanted::Whole, 1, None)
    );
    assert!(request.spans.max_tokens.is_some());
}

#[test]
fn media_counts_as_parts_and_an_unknown_type_as_both() {
    let image =
        r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAAAAAAAAAAAAAA"}}"#;
    let other = r#"{"type":"thing","text":"long"}"#;
    let text = r#"{"type":"text","text":"look"}"#;
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{text},{image},{other}]}}]}}"#
    );
    let request = read(&body);
    assert_eq!(request.media.parts, 2);
    assert_eq!(request.text_bytes, body.len() - image.len());
}

#[test]
fn what_is_not_a_json_object_is_told_without_quoting_it() {
    for (body, says) in [
        ("", "ends too early"),
        ("{\"model\":", "ends too early"),
        ("[1]", "one JSON object"),
        ("\"secret\"", "one JSON object"),
        ("{secret}", "not valid JSON at line 1 column 2"),
        ("{\"model\":\"a\"}{", "not valid JSON"),
        ("{\"model\":\"a\",\"model\":\"b\"}", "names a field twice"),
    ] {
        let told = wrong(body);
        assert!(
            told.contains(says) && !told.contains("secret"),
            "{body}: {told}"
        );
    }
    let told = parse(b"{\"a\":\"\xff\"}", 8).unwrap_err();
    assert!(matches!(told, Refusal::NotJson(why) if why.contains("UTF-8 at byte 6")));
}

#[test]
fn everything_wrong_is_told_at_once() {
    assert_eq!(
        wrong(
            r#"{"model":5,"messages":[],"stream":"yes","n":9,"max_tokens":0,"max_completion_tokens":1.5,
            "stream_options":7,"include_thoughts":1}"#
        ),
        "model: model must be a text, the name of a model\n\
         messages: messages must hold at least one message\n\
         stream_options: stream_options must be one object that names no field twice\n\
         max_tokens: max_tokens must be a whole number of at least 1\n\
         max_completion_tokens: max_completion_tokens must be a whole number of at least 1\n\
         stream: stream must be true or false\n\
         n: n must be a whole number from 1 to 8\n\
         include_thoughts: include_thoughts must be true or false"
    );
    assert_eq!(
        wrong("{}"),
        "model: model is required\nmessages: messages is required"
    );
}

#[test]
fn a_wrong_message_is_named_by_its_path() {
    for (messages, says) in [
        ("5", "messages: messages must be a list of messages"),
        ("{}", "messages: messages must be a list of messages"),
        (
            "[5]",
            "messages[0]: messages[0] must be one object that names no field twice",
        ),
        (
            r#"[["user","hi"]]"#,
            "messages[0]: messages[0] must be one object that names no field twice",
        ),
        (
            r#"[{"content":"hi"}]"#,
            "messages[0].role: messages[0].role is required",
        ),
        (
            r#"[{"role":"user","content":"hi"},{"role":"boss","content":"hi"}]"#,
            "messages[1].role: messages[1].role must be one of system, developer, user, assistant, tool, function",
        ),
        (
            r#"[{"role":"user"}]"#,
            "messages[0].content: messages[0].content is required",
        ),
        (
            r#"[{"role":"user","content":null}]"#,
            "messages[0].content: messages[0].content is required",
        ),
        (
            r#"[{"role":"user","content":7}]"#,
            "messages[0].content: messages[0].content must be a text or a list of parts",
        ),
        (
            r#"[{"role":"user","content":[{"text":"a"}]}]"#,
            "messages[0].content[0].type: messages[0].content[0].type is required",
        ),
        (
            r#"[{"role":"user","content":["a"]}]"#,
            "messages[0].content[0]: messages[0].content[0] must be one object that names no field twice",
        ),
        (
            r#"[{"role":"user","content":[{"type":"text"}]}]"#,
            "messages[0].content[0].text: messages[0].content[0].text must be a text",
        ),
        (
            r#"[{"role":"user","content":"a","content":"b"}]"#,
            "messages[0]: messages[0] must be one object that names no field twice",
        ),
    ] {
        assert_eq!(
            wrong(&format!(r#"{{"model":"m","messages":{messages}}}"#)),
            says
        );
    }
}

#[test]
fn an_assistant_may_hold_tool_calls_only() {
    read(
        r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[]},{"role":"assistant","content":null},
        {"role":"tool","tool_call_id":"c","content":"7"}]}"#,
    );
}

#[test]
fn a_limit_in_other_words_goes_where_the_provider_knows_it() {
    for (field, output_limit) in [
        ("max_tokens", OutputLimit::MaxTokens),
        ("max_completion_tokens", OutputLimit::MaxCompletionTokens),
    ] {
        let dialect = Dialect {
            output_limit,
            ..Dialect::default()
        };
        for ours in ["max_tokens", "max_completion_tokens"] {
            let body = Bytes::from(format!(r#"{{"model":"up",{HI},"{ours}": 9,"n":1}}"#));
            let mut request = parse(&body, 8).unwrap();
            request.spans.respell_limit();
            let wishes = Wishes {
                model: "up",
                max_output: 99,
                dialect,
            };
            assert_eq!(
                provider_body(&body, &request, &wishes),
                format!(r#"{{"model":"up",{HI},"{field}":99,"n":1}}"#)
            );
        }
    }
}

#[test]
fn urls_are_found_beside_the_parts_that_are_not_text() {
    let body = r#"{"model":"m","x":"https://a.example/","extra_body":{"google":{"fileUri":"https://b.example/"}},"metadata":{"url":"odd"},
        "tools":[{"type":"mcp","server_url":"https://c.example/"},
            {"type":"function","function":{"name":"f","parameters":{"examples":[{"url":"odd"}]}}}],
        "response_format":{"example":{"url":"odd"}},
        "messages":[{"role":"user","images":[{"url":"https://d.example/"},"https://d.example/"],
            "content":[{"type":"text","text":"https://odd.example/"},{"type":"text","text":"t","image_url":{"url":"https://e.example/"}}]},
            {"role":"assistant","annotations":[{"url":"odd"}],"content":"https://odd.example/"}]}"#;
    let request = read(body);
    let urls = request.media.urls.iter();
    let params: Vec<_> = urls.map(|url| url.param.as_str()).collect();
    assert_eq!(
        params,
        [
            "messages[0].images[0].url",
            "messages[0].images[1]",
            "messages[0].content[1].image_url.url",
            "tools[0].server_url",
            "extra_body.google.fileUri",
        ]
    );
}

#[test]
fn what_cannot_be_looked_at_is_refused_by_its_name() {
    let url = r#""image_url":{"url":"http://169.254.169.254/"}"#;
    let part = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"image_url","a":1e999,{url}}}]}}]}}"#
    );
    assert!(
        wrong(&part).starts_with("messages[0].content[0]: messages[0].content[0] must be plain")
    );
    let beside = format!(r#"{{"model":"m",{HI},"tools":[{{"a":"\ud800",{url}}}]}}"#);
    assert!(wrong(&beside).starts_with("tools: tools must be plain"));
    let message = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"hi","x":[1e999,{{{url}}}]}}]}}"#
    );
    assert!(wrong(&message).starts_with("messages[0].x: messages[0].x must be plain"));
    let images = |count: usize| vec![r#"{"url":"https://a.example/"}"#; count].join(",");
    let many = format!(
        r#"{{"model":"m","images":[{}],"messages":[{{"role":"user","content":"hi","images":[{}]}}]}}"#,
        images(200),
        images(57)
    );
    assert_eq!(
        wrong(&many),
        "messages: messages must name at most 256 URLs"
    );
}
