//! The file of the docs over a real connection, answer by answer; and files that do not hold together.

use http::HeaderName;
use serde_json::{Map, json};

use super::*;
use crate::providers::for_tests::{answering, client, shown, stopped, told};

/// The example of the docs.
const ACME: &str = include_str!("../../../../../docs/providers/acme.toml");

fn read(text: &str) -> Result<Declared, Mistakes> {
    let file = ("acme.toml".to_owned(), text.to_owned());
    Declared::read(&[file], Limits::default())
}

fn adapter(text: &str) -> Adapter {
    let declared = read(text).unwrap();
    let (name, adapter) = declared.adapters(&client()).remove(0);
    assert_eq!(name, "acme");
    adapter
}

fn parameters(value: &Json) -> Map<String, Json> {
    value.as_object().unwrap().clone()
}

async fn submit(adapter: &Adapter, access: &Access) -> Result<Started, Failure> {
    let parameters = parameters(&json!({ "prompt": "a \"fox\"", "n": 2 }));
    let order = Order {
        model: "maker/picture 1",
        parameters: &parameters,
        callback: None,
    };
    adapter.start(access, &order).await
}

/// The file with another line in the place of one.
fn with(line: &str, other: &str) -> String {
    assert!(ACME.contains(line), "{line}");
    ACME.replacen(line, other, 1)
}

#[tokio::test]
async fn what_is_sent_is_what_the_file_says() {
    let (access, asked) = answering(202, r#"{"id":"j 1/2"}"#).await;
    let acme = adapter(ACME);
    assert_eq!(submit(&acme, &access).await.unwrap().job, "j 1/2");
    acme.check(&access, "j 1/2").await.unwrap_err();
    acme.cancel(&access, "j 1/2").await.unwrap();
    let asked = asked.lock().unwrap().clone();
    let places: Vec<&str> = asked.iter().map(|(place, ..)| place.as_str()).collect();
    assert_eq!(
        places,
        [
            "POST /p/jobs",
            "GET /p/jobs/j%201%2F2",
            "DELETE /p/jobs/j%201%2F2"
        ]
    );
    let (_, headers, body) = &asked[0];
    assert_eq!(
        *body,
        json!({ "model": "maker/picture 1", "input": { "prompt": "a \"fox\"", "n": 2 } })
    );
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["x-client"], "aio");
    for (_, headers, body) in &asked {
        assert_eq!(headers["x-api-key"], "k3y");
        let mut others = headers.clone();
        others.remove("x-api-key");
        let shown = format!("{others:?} {body}");
        assert!(!shown.contains("k3y"), "the key stands in its header alone");
    }
}

#[tokio::test]
async fn a_callback_is_named_and_the_operators_headers_win() {
    let (mut access, asked) = answering(202, r#"{"id":"j"}"#).await;
    let own = HeaderName::from_static("x-api-key");
    access.headers.insert(own, HeaderValue::from_static("own"));
    let parameters = parameters(&json!({}));
    let order = Order {
        model: "m",
        parameters: &parameters,
        callback: Some("https://us.example/c"),
    };
    adapter(ACME).start(&access, &order).await.unwrap();
    let (_, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(body["notify"], "https://us.example/c");
    assert_eq!(headers["x-api-key"], "own");
}

#[tokio::test]
async fn no_template_knows_the_credential() {
    for name in ["key", "api_key", "credential", "access"] {
        let text = with(
            "\"model\": {{ model }}",
            &format!("\"model\": {{{{ {name} }}}}"),
        );
        let told = read(&text).unwrap_err().to_string();
        assert!(
            told.contains(&format!("submit.body: there is no variable {name}")),
            "{told}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_not_sent() {
    let text = with(
        "\"model\": {{ model }}",
        "\"model\": {{ parameters.colour }}",
    );
    let (access, asked) = answering(202, r#"{"id":"j"}"#).await;
    let failure = submit(&adapter(&text), &access).await.unwrap_err();
    assert!(failure.outcome_known() && failure.another_may_serve() && !failure.retryable());
    let dots = adapter(ACME).check(&access, "..").await.unwrap_err();
    assert_eq!(dots.class(), Class::Malformed);
    assert!(asked.lock().unwrap().is_empty());
}

/// Answers to a submit, and what is read: the id, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (202, r#"{"id":"j1"}"#, "j1"),
    (200, r#"{"id":17}"#, "17"),
    (200, r#"{"id":""}"#, "malformed"),
    (200, r#"{"id":{}}"#, "malformed"),
    (200, "oops", "malformed"),
    // An error under a status that says all is well.
    (200, r#"{"problem":{"code":"no_funds"}}"#, "balance"),
    (
        402,
        r#"{"problem":{"code":"no_funds","text":"Top up."}}"#,
        "balance",
    ),
    (400, r#"{"problem":{"code":"unpaid"}}"#, "balance"),
    (
        422,
        r#"{"problem":{"code":"bad_input","text":"n must be 1"}}"#,
        "invalid: n must be 1",
    ),
    (
        422,
        r#"{"problem":{"text":"Against our POLICY"}}"#,
        "moderated: Against our POLICY",
    ),
    (
        400,
        r#"{"problem":{"text":"Against our policy"}}"#,
        "invalid: Against our policy",
    ),
    (401, r#"{"problem":{"text":"who are you?"}}"#, "auth"),
    (404, r#"{"problem":{"code":"no_model"}}"#, "gone"),
    (429, "", "rate_limited"),
    (500, "", "unknown"),
    (502, "", "unknown"),
    (503, "", "overloaded"),
];

#[tokio::test]
async fn answers_to_a_submit_are_read() {
    for &(status, body, expected) in SUBMITS {
        let (access, asked) = answering(status, body).await;
        let read = match submit(&adapter(ACME), &access).await {
            Ok(started) => started.job,
            Err(failure) => told(&failure),
        };
        assert_eq!(read, expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap().len(), 1, "a submit is made once");
    }
}

/// Answers to a look, and what is read.
const LOOKS: &[(u16, &str, &str)] = &[
    (200, r#"{"phase":"waiting","ahead":3}"#, "running 3 before"),
    (200, r#"{"phase":"working","done":0.42}"#, "running 42%"),
    (
        200,
        r#"{"phase":"something new","ahead":-1,"done":"soon"}"#,
        "running",
    ),
    (
        200,
        r#"{"phase":"finished","files":[{"href":"https://x/1.png"},{"href":"/2.png"},{"href":"https://x/1.png"},{"href":"data:,"}],"spent":{"micro_usd":20000}}"#,
        "done https://x/1.png http://HOST/2.png 20000",
    ),
    (
        200,
        r#"{"phase":"finished","files":[]}"#,
        "failed malformed",
    ),
    (200, r#"{"phase":"finished"}"#, "failed malformed"),
    (
        200,
        r#"{"phase":"broken","problem":{"code":"engine","text":"oops"}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"phase":"broken","problem":{"code":"no_funds"}}"#,
        "failed balance",
    ),
    (
        200,
        r#"{"phase":"rejected","problem":{"text":"The result was rejected."}}"#,
        "failed moderated: The result was rejected.",
    ),
    (
        200,
        r#"{"phase":"rejected"}"#,
        "failed moderated: the provider's content policy refused the request or its result",
    ),
    (200, r#"{"problem":{"code":"no_job"}}"#, "missing"),
    (200, r#"{"problem":{"code":"no_funds"}}"#, "balance"),
    (200, r#"{"phase":null}"#, "malformed"),
    (200, "oops", "malformed"),
    (404, r#"{"problem":{"code":"no_job"}}"#, "missing"),
    // Something in between says nothing about a job that is paid.
    (404, "<h1>Not Found</h1>", "unknown"),
    (401, "", "auth"),
    (503, "", "overloaded"),
];

#[tokio::test]
async fn answers_to_a_look_are_read() {
    for &(status, body, expected) in LOOKS {
        let (access, _) = answering(status, body).await;
        let outcome = adapter(ACME).check(&access, "j").await;
        let host = access.base_url.authority();
        assert_eq!(
            shown(&outcome),
            expected.replace("HOST", host),
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn a_job_is_stopped_as_the_file_says() {
    let without: String = {
        let (before, rest) = ACME.split_once("[cancel]").unwrap();
        let (_, after) = rest.split_once("[states]").unwrap();
        format!("{before}[states]{after}")
    };
    let friendly = with("too_late = [404, 409, 410]", "too_late = [200, 208, 404]");
    for (text, status, expected, calls) in [
        (&*friendly, 200, "too late", 1),
        (&friendly, 208, "too late", 1),
        (&friendly, 202, "stopped", 1),
        (&friendly, 404, "too late", 1),
        (ACME, 200, "stopped", 1),
        (ACME, 204, "stopped", 1),
        (ACME, 409, "too late", 1),
        (ACME, 503, "overloaded", 1),
        (&without, 204, "impossible", 0),
    ] {
        let (access, asked) = answering(status, "").await;
        let outcome = adapter(text).cancel(&access, "j").await;
        assert_eq!(stopped(&outcome), expected);
        assert_eq!(asked.lock().unwrap().len(), calls);
    }
}

#[tokio::test]
async fn what_an_answer_may_be_is_bounded() {
    let file = ("acme.toml".to_owned(), ACME.to_owned());
    let limits = Limits {
        answer_bytes: 200,
        files: 2,
        ..Limits::default()
    };
    let declared = Declared::read(&[file], limits).unwrap();
    let (_, adapter) = declared.adapters(&client()).remove(0);
    for (files, expected) in [(2, "done"), (3, "failed malformed"), (50, "malformed")] {
        let links: Vec<Json> = (0..files)
            .map(|n| json!({ "href": format!("http://x/{n}") }))
            .collect();
        let body = json!({ "phase": "finished", "files": links }).to_string();
        let (access, _) = answering(200, &body).await;
        let outcome = shown(&adapter.check(&access, "j").await);
        assert!(outcome.starts_with(expected), "{files}: {outcome}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = r#"
        name = "Acme"
        sandbox = "acme"
        colour = "red"
        [credential]
        header = "host"
        [submit]
        method = "SEND"
        path = "/jobs/{{ modle }}"
        body = '{"model": "{{ model }}"}'
        headers = { "a b" = "x", Host = "x", X-N = 7 }
        cost = "$.cost"
        [check]
        path = "jobs/{{ job }"
        body = "{}"
        state = "phase"
        progress_whole = 10
        files = []
        [states]
        finished = "ended"
        [poll]
        first = "soon"
        often = "yes"
        [[errors.rules]]
        status = [99]
        codes = ["x"]
        class = "bad"
        [[errors.rules]]
        class = "auth"
    "#;
    let told = read(text).unwrap_err().to_string();
    for line in [
        "name: must be small letters, digits and -, 64 at most",
        "sandbox: acme is none of bfl, fal, kie, replicate, rest",
        "colour: there is no such field; the fields are name, sandbox,",
        "credential.header: is not the name of a header that can be set",
        "submit.method: SEND is none of GET, POST, PUT, PATCH, DELETE",
        "submit.path: there is no variable modle; the variables are model, parameters, callback_url",
        "submit.body: it does not become JSON",
        "submit.headers.a b: is not the name of a header",
        "submit.headers.Host: is a header that only we can set",
        "submit.headers.X-N: must be a text",
        "submit.job: is missing",
        "submit.cost: cost_micro_usd is missing",
        "check.path: syntax error",
        "check.body: a GET has none",
        "check.state: not a JSON path",
        "check.progress_whole: must be 1 or 100",
        "check.files: must be a text, or a list of texts",
        "states.finished: ended is none of running, done, failed, moderated, missing",
        "states.*: no state means done",
        "poll.first: must be a time above 0",
        "poll.often: there is no such field; the fields are first, longest",
        "errors.rules[0].status: must be an HTTP status",
        "errors.rules[0].codes: errors.code is missing",
        "errors.rules[0].class: bad is none of auth, balance,",
        "errors.rules[1].class: without status, codes and words every error would be of it",
    ] {
        let line = format!("acme.toml: {line}");
        assert!(
            told.lines().any(|found| found.starts_with(&line)),
            "{line}\n\n{told}"
        );
    }
}

#[test]
fn a_file_alone_is_told_what_it_lacks() {
    for (text, told) in [
        (
            "",
            "name: is missing\nacme.toml: submit: is missing\nacme.toml: check: is missing\nacme.toml: states: is missing",
        ),
        ("name = ", "not TOML: "),
    ] {
        let found = read(text).unwrap_err().to_string();
        assert!(found.starts_with(&format!("acme.toml: {told}")), "{found}");
    }
    let taken = with("name = \"acme\"", "name = \"fal\"");
    let found = read(&taken).unwrap_err().to_string();
    assert_eq!(found, "acme.toml: name: fal is an adapter that is built in");
    let key = with("X-Client = \"aio\"", "x-api-key = \"mine\"");
    let found = read(&key).unwrap_err().to_string();
    assert!(
        found.contains("submit.headers.x-api-key: is the header of the credential"),
        "{found}"
    );
    let twice = ["a.toml", "b.toml"].map(|name| (name.to_owned(), ACME.to_owned()));
    let found = Declared::read(&twice, Limits::default()).unwrap_err();
    assert_eq!(found.to_string(), "b.toml: name: acme has a file already");
}

#[test]
fn the_example_has_every_field_there_is() {
    let declared = read(ACME).unwrap();
    assert_eq!(declared.names().collect::<Vec<_>>(), ["acme"]);
    assert_eq!(declared.wire("acme"), Some(Some("rest")));
    assert_eq!((declared.wire("bfl"), declared.poll("bfl")), (None, None));
    let longest = declared.poll("acme").and_then(|poll| poll.longest);
    assert_eq!(longest, Some(std::time::Duration::from_secs(5)));
    let table: toml::Table = ACME.parse().unwrap();
    let keys = |section: &str| {
        let table = match section {
            "" => Some(&table),
            "rules" => table["errors"]["rules"][1].as_table(),
            section => table[section].as_table(),
        };
        let mut keys: Vec<String> = table.unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    // A field that nobody knows makes the reader list those it knows.
    for (section, line) in [
        ("", "name = \"acme\""),
        ("credential", "header = \"X-Api-Key\""),
        ("submit", "job = \"$.id\""),
        ("check", "state = \"$.phase\""),
        ("cancel", "too_late = [404, 409, 410]"),
        ("poll", "first = \"500ms\""),
        ("errors", "code = \"$.problem.code\""),
        ("rules", "status = 422"),
    ] {
        let text = with(line, &format!("{line}\nnobody_knows_me = 1"));
        let told = read(&text).unwrap_err().to_string();
        let (_, known) = told.split_once("the fields are ").unwrap();
        let shown = keys(section);
        for field in known.split(", ") {
            // What the example shows in another section, or only tells of.
            let is_elsewhere = [
                "submit.cost",
                "credential.prefix",
                "cancel.body",
                "cancel.headers",
                "check.method",
                "check.headers",
                "check.body",
                "rules.codes",
            ];
            let place = format!("{section}.{field}");
            let is_shown = shown.contains(&field.to_owned());
            assert!(is_shown || is_elsewhere.contains(&&*place), "{place}");
        }
    }
}
