//! What templates become, and what is told of those that cannot.

use serde_json::json;

use super::*;

const LIMITS: Limits = Limits {
    template_bytes: 400,
    template_fuel: 2_000,
    body_bytes: 300,
    answer_bytes: 1_000,
    files: 4,
};

/// What a template becomes, or what is wrong with it, or why it becomes nothing.
fn becomes(text: &str, kind: Kind, about: About, values: &Json) -> String {
    let (mut templates, notes) = (Templates::new(LIMITS), Notes::default());
    let template = templates.add(("x", text), kind, about, &notes);
    let problems = notes.into_list();
    if !problems.is_empty() {
        return problems.join("; ");
    }
    match templates.render(&template.unwrap(), &Value::from_serialize(values)) {
        Ok(text) => text,
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn order(parameters: &Json) -> Json {
    json!({ "model": "m/1", "parameters": parameters, "callback_url": null })
}

#[test]
fn a_value_cannot_leave_its_place_in_a_body() {
    let text = r#"{"model": {{ model }}, "n": {{ parameters.n }}, "all": {{ parameters }}
        {%- if callback_url %}, "notify": {{ callback_url }}{% endif %}}"#;
    let parameters = json!({ "n": 3, "prompt": "\", \"free\": true, \"x\": \"<&'\u{2028}" });
    let body = becomes(text, Kind::Body, About::Order, &order(&parameters));
    let body: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(body, json!({ "model": "m/1", "n": 3, "all": parameters }));
}

#[test]
fn a_value_cannot_leave_its_place_in_a_path() {
    let path =
        |text: &str, job: &str| becomes(text, Kind::Path, About::Job, &json!({ "job": job }));
    assert_eq!(
        path("jobs/{{ job }}?full=1", "a/b ?#%é"),
        "jobs/a%2Fb%20%3F%23%25%C3%A9?full=1"
    );
    assert_eq!(path("jobs/{{ job | segments }}", "a/b ?"), "jobs/a/b%20%3F");
    let list = json!({ "job": ["a"] });
    assert_eq!(
        becomes("{{ job }}", Kind::Path, About::Job, &list),
        "BadSerialization"
    );
}

#[test]
fn a_path_stays_below_its_address() {
    for path in [
        "/jobs",
        "a//b",
        "a\\b",
        "../x",
        "a/%2E%2e/b",
        ".",
        "https:x/y",
        "a#b",
    ] {
        assert!(check_path(path).is_err(), "{path}");
    }
    for path in ["", "jobs", "v1/jobs/a:b", "jobs/...", "jobs?a=../b&c=d:e"] {
        assert!(check_path(path).is_ok(), "{path}");
    }
}

#[test]
fn what_is_wrong_is_told_when_a_file_is_read() {
    for (kind, about, text, expected) in [
        (
            Kind::Body,
            About::Order,
            "{{ promt }}{{ model }}",
            "x: there is no variable promt; the variables are model, parameters, callback_url",
        ),
        (
            Kind::Path,
            About::Job,
            "jobs/{{ model }}",
            "x: there is no variable model; the variables are job",
        ),
        (Kind::Body, About::Order, "{{ model", "x: syntax error: "),
        (
            Kind::Body,
            About::Order,
            r#"{"model": "{{ model }}"}"#,
            "x: it does not become JSON",
        ),
        (
            Kind::Body,
            About::Order,
            "{% set x = 1 %}{{ model }}",
            "x: there is no statement set",
        ),
        (
            Kind::Path,
            About::Job,
            "/jobs/{{ job }}",
            "x: a path begins without a slash",
        ),
        (
            Kind::Path,
            About::Job,
            "../{{ job }}",
            "x: a path has no . and ..",
        ),
        (
            Kind::Header,
            About::Job,
            "a\nb",
            "x: it cannot stand in a header",
        ),
    ] {
        let told = becomes(text, kind, about, &json!({}));
        assert!(told.starts_with(expected), "{text}: {told}");
    }
    let long = "x".repeat(401);
    assert!(becomes(&long, Kind::Path, About::Job, &json!({})).contains("at most 400 bytes"));
}

#[test]
fn what_fails_with_any_value_is_told_when_a_file_is_read() {
    for (kind, about, text, expected) in [
        // What a template of a job does with it, it does with any.
        (
            Kind::Path,
            About::Job,
            "jobs/{{ job.id }}",
            "x: undefined value: ",
        ),
        (
            Kind::Path,
            About::Job,
            "jobs/{{ job - 1 }}",
            "x: invalid operation: ",
        ),
        (
            Kind::Path,
            About::Job,
            "jobs/{{ [job] }}",
            "x: could not serialize to value: a sequence cannot stand in a path or a header (line 1)",
        ),
        (
            Kind::Header,
            About::Order,
            "{{ parameters.n | upper(7) }}",
            "x: too many arguments: ",
        ),
        (
            Kind::Header,
            About::Order,
            "{{ {'n': parameters.n} }}",
            "x: could not serialize to value: ",
        ),
    ] {
        let told = becomes(text, kind, about, &json!({}));
        assert!(told.starts_with(expected), "{text}: {told}");
    }
}

#[test]
fn what_a_sample_is_not_shows_nothing() {
    // A parameter may be a number, a list or an object, and a sample is neither.
    for (text, parameters, expected) in [
        ("{{ parameters.n + 1 }}", json!({ "n": 2 }), "3"),
        (
            "{{ parameters.lines[0].text }}",
            json!({ "lines": [{ "text": "a" }] }),
            "\"a\"",
        ),
        (
            "[{% for a, b in parameters.pairs %}{{ a }},{{ b }}{% endfor %}]",
            json!({ "pairs": [[1, 2]] }),
            "[1,2]",
        ),
    ] {
        let became = becomes(text, Kind::Body, About::Order, &order(&parameters));
        assert_eq!(became, expected, "{text}");
    }
}

#[test]
fn a_name_may_be_a_number() {
    for (kind, about, text, values, expected) in [
        (
            Kind::Path,
            About::Job,
            "jobs/{{ job | int }}",
            json!({ "job": "7" }),
            "jobs/7",
        ),
        (
            Kind::Body,
            About::Order,
            r#"{"model": {{ model | int }}}"#,
            json!({ "model": "7" }),
            r#"{"model": 7}"#,
        ),
        (
            Kind::Path,
            About::Job,
            "jobs/{{ job[4:] }}",
            json!({ "job": "job-7" }),
            "jobs/7",
        ),
    ] {
        assert_eq!(becomes(text, kind, about, &values), expected, "{text}");
    }
}

#[test]
fn what_is_not_there_when_it_is_used_is_an_error() {
    let text = "{{ parameters.seed }}";
    let none = order(&json!({}));
    assert_eq!(
        becomes(text, Kind::Body, About::Order, &none),
        "UndefinedError"
    );
    let text = "{{ parameters.seed | default(7) }}";
    assert_eq!(becomes(text, Kind::Body, About::Order, &none), "7");
    let text = "{% if parameters.seed is defined %}1{% else %}2{% endif %}";
    assert_eq!(becomes(text, Kind::Body, About::Order, &none), "2");
}

#[test]
fn what_a_template_costs_is_bounded() {
    let urls: Vec<u32> = (0..100).collect();
    let many = order(&json!({ "urls": urls, "long": "x".repeat(301) }));
    let nested =
        "{% for a in parameters.urls %}{% for b in parameters.urls %}{% endfor %}{% endfor %}1";
    assert_eq!(
        becomes(nested, Kind::Body, About::Order, &many),
        "OutOfFuel"
    );
    let text = "{{ parameters.long }}";
    assert_eq!(
        becomes(text, Kind::Body, About::Order, &many),
        "WriteFailure"
    );
}
