//! The adapter's reading of their words, as tables.

use serde_json::json;

use super::*;

const QUEUE: &str = "https://queue.fal.run/";

fn submitted(status_url: Option<&str>, response_url: Option<&str>) -> Submitted {
    Submitted {
        request_id: "1".to_owned(),
        status_url: status_url.map(str::to_owned),
        response_url: response_url.map(str::to_owned),
    }
}

fn standing(text: &Value) -> Standing {
    serde_json::from_value(text.clone()).unwrap()
}

/// What an answer of this status and body is taken for.
fn read(classify: Classify, status: u16, body: &str) -> (Class, Option<String>) {
    let answer = ProviderAnswer {
        status: http::StatusCode::from_u16(status).unwrap(),
        headers: &HeaderMap::new(),
        body: body.as_bytes(),
    };
    let failure = Failure::answered(&answer, classify);
    (failure.class(), failure.detail().map(str::to_owned))
}

pub(super) fn told(progress: &Result<Progress, Failure>) -> String {
    match progress {
        Ok(Progress::Running { percent, .. }) => format!("running {percent:?}"),
        Ok(Progress::Done { files, .. }) => format!("done {}", files.join(" ")),
        Ok(Progress::Told { text, .. }) => format!("told {text}"),
        Ok(Progress::Failed(failure)) => format!("failed {}", failure.class()),
        Ok(Progress::Wasted(failure, _)) => format!("wasted {}", failure.class()),
        Ok(Progress::Missing) => "missing".to_owned(),
        Err(failure) => format!("open {}", failure.class()),
    }
}

#[test]
fn what_is_said_in_a_recording_is_a_text() {
    let result = json!({
        "language_code": "eng", "language_probability": 0.98, "text": "Hi!",
        "words": [{"text": "Hi!", "start": 0.25, "end": 0.5, "type": "word", "speaker_id": "speaker_0"}],
    });
    let progress = done(
        &standing(&json!({"status": "COMPLETED"})),
        result.as_object().unwrap(),
    );
    let kept = json!({
        "text": "Hi!", "language": "eng",
        "words": [{"word": "Hi!", "start": 0.25, "end": 0.5, "speaker": "speaker_0"}],
        "segments": [{"id": 0, "start": 0.25, "end": 0.5, "text": "Hi!", "speaker": "speaker_0"}],
    });
    let told = told(&Ok(progress));
    let text = told.strip_prefix("told ").unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), kept);
}

#[test]
fn a_job_is_found_again_wherever_it_went() {
    let check = |base: &str, status: Option<&str>, response: Option<&str>, job: &str| {
        let base = Url::parse(base).unwrap();
        let submitted = submitted(status, response);
        let found = reference(&base, "fal-ai/topaz/upscale/image", &submitted);
        assert_eq!(found.as_deref(), Some(job));
    };
    check(
        QUEUE,
        Some("https://queue.fal.run/fal-ai/topaz/requests/1/status"),
        Some("https://queue.fal.run/fal-ai/topaz/requests/1"),
        "fal-ai/topaz/requests/1/status fal-ai/topaz/requests/1",
    );
    check(
        "http://127.0.0.1:1/fal/",
        Some("http://127.0.0.1:1/fal/fal-ai/topaz/requests/1/status"),
        Some("https://queue.fal.run/fal-ai/topaz/requests/a b"),
        "fal-ai/topaz/requests/1/status https://queue.fal.run/fal-ai/topaz/requests/a%20b",
    );
    check(
        "http://127.0.0.1:1/fal/",
        None,
        Some("http://["),
        "fal-ai/topaz/requests/1/status fal-ai/topaz/requests/1",
    );
}

#[test]
fn the_key_is_shown_to_them_alone() {
    for (url, shown) in [
        ("https://queue.fal.run/fal-ai/flux/requests/1", true),
        ("https://queue.falrun.com/fal-ai/flux/requests/1", true),
        ("http://queue.fal.run/fal-ai/flux/requests/1", false),
        ("https://queue.fal.run.evil.example/", false),
        ("https://evilfal.run/", false),
        ("https://evil.example/.fal.run", false),
        ("https://v3.fal.media/files/1.png", false),
        ("http://10.0.0.1:80/anything", true),
        ("http://10.0.0.1:81/anything", false),
    ] {
        let base = Url::parse("http://10.0.0.1/proxy/").unwrap();
        let url = Url::parse(url).unwrap();
        assert_eq!(may_see_the_key(&base, &url), shown, "{url}");
    }
}

#[test]
fn the_key_stands_in_their_own_scheme_unless_the_operator_says_otherwise() {
    let mut access = Access {
        base_url: Url::parse(QUEUE).unwrap(),
        key: Some(Secret::new("a:b")),
        dialect: domain::Dialect::default(),
        headers: HeaderMap::new(),
        callback_secret: None,
    };
    let headers = authorised(&access);
    assert_eq!(headers["authorization"], "Key a:b");
    assert!(headers["authorization"].is_sensitive());
    let theirs = HeaderValue::from_static("Bearer c");
    access.headers.insert("authorization", theirs);
    assert_eq!(authorised(&access)["authorization"], "Bearer c");
}

#[test]
fn files_are_found_wherever_a_model_puts_them() {
    let check = |output: Value, found: &[&str]| {
        assert_eq!(files(output.as_object().unwrap()), found, "{output}");
    };
    let file = |name: &str| json!({"url": format!("https://v3.fal.media/{name}"), "file_size": 1});
    let (a, b) = ("https://v3.fal.media/a", "https://v3.fal.media/b");
    check(
        json!({"images": [file("a"), file("b")], "seed": 1}),
        &[a, b],
    );
    for place in ["image", "video", "audio", "audio_file"] {
        check(json!({place: file("a"), "prompt": "x"}), &[a]);
        check(json!({place: a}), &[a]);
    }
    check(json!({"videos": [b, file("a")]}), &[b, a]);
    // One model of theirs has several under the name of one.
    check(json!({"video": [file("a"), file("b")]}), &[a, b]);
    // The same file under two names is one file.
    check(json!({"image": file("a"), "images": [file("a")]}), &[a]);
    let data = "data:image/png;base64,AAAA";
    check(json!({"images": [{"url": data}], "image": data}), &[]);
    check(
        json!({"image": null, "video": {"url": 1}, "audio": {}, "mask_image": file("a")}),
        &[],
    );
    check(json!({"images": [{"url": "file:///etc/passwd"}, "a"]}), &[]);
}

#[test]
fn results_are_read() {
    let check = |state: Value, output: Value, expected: &str| {
        let progress = done(&standing(&state), output.as_object().unwrap());
        assert_eq!(told(&Ok(progress)), expected, "{state} {output}");
    };
    let completed = || json!({"status": "COMPLETED", "error": null});
    let image = json!({"url": "https://v3.fal.media/a"});
    check(
        completed(),
        json!({"images": [image], "has_nsfw_concepts": [false]}),
        "done https://v3.fal.media/a",
    );
    for flags in [json!([false, true]), json!(true)] {
        check(
            completed(),
            json!({"images": [image], "has_nsfw_concepts": flags}),
            "failed moderated",
        );
    }
    check(completed(), json!({"images": []}), "failed malformed");
    check(
        json!({"status": "COMPLETED", "error": "", "error_type": null}),
        json!({"images": [image]}),
        "done https://v3.fal.media/a",
    );
    check(
        json!({"status": "COMPLETED", "error": "it broke"}),
        json!({"images": [image]}),
        "failed overloaded",
    );
    check(
        json!({"status": "COMPLETED", "error_type": "content_policy_violation"}),
        json!({"images": [image]}),
        "failed moderated",
    );
}

#[test]
fn refusals_are_read() {
    let check = |status: u16, body: &str, class: Class, detail: Option<&str>| {
        let detail = detail.map(str::to_owned);
        assert_eq!(read(classify, status, body), (class, detail), "{body}");
    };
    check(
        422,
        r#"{"detail":[{"loc":["body","prompt"],"msg":"Field required","type":"missing","input":{"a":"secret"}},
            {"loc":["body","seed"],"msg":"too large","type":"less_than"}]}"#,
        Class::Invalid,
        Some("Field required; too large"),
    );
    check(
        400,
        r#"{"detail":"no such path","error_type":"bad_request"}"#,
        Class::Invalid,
        Some("no such path"),
    );
    for kind in ["content_policy_violation", "no_media_generated"] {
        let items = format!(r#"{{"detail":[{{"loc":["body"],"msg":"flagged","type":"{kind}"}}]}}"#);
        check(422, &items, Class::Moderated, Some("flagged"));
        let words = format!(r#"{{"detail":"flagged","error_type":"{kind}"}}"#);
        check(422, &words, Class::Moderated, Some("flagged"));
    }
    check(401, r#"{"detail":"bad key"}"#, Class::Auth, None);
    check(403, r#"{"detail":"Access denied"}"#, Class::Auth, None);
    for words in [
        "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.",
        "User is locked. Reason: Admin lock.",
        "EXHAUSTED BALANCE",
    ] {
        let body = format!(r#"{{"detail":"{words}"}}"#);
        check(403, &body, Class::Balance, None);
    }
    check(402, "{}", Class::Balance, None);
    check(404, r#"{"detail":"Not found"}"#, Class::Gone, None);
    check(429, r#"{"detail":"queue full"}"#, Class::RateLimited, None);
    check(503, r#"{"detail":"x"}"#, Class::Overloaded, None);
    check(502, "<html>", Class::Unknown, None);
    check(422, r#"{"detail":{"a":1}}"#, Class::Invalid, None);
    check(422, "oops", Class::Invalid, None);
}

/// The answer in the place of a result, and what becomes of a job that had no error before, and of one that had.
#[test]
fn an_error_of_the_model_ends_the_job_and_no_other() {
    let check = |status: u16, body: &str, without: &str, with: &str| {
        for (error, expected) in [(Value::Null, without), (json!("it broke"), with)] {
            let state = standing(&json!({"status": "COMPLETED", "error": error}));
            let answer = ProviderAnswer {
                status: http::StatusCode::from_u16(status).unwrap(),
                headers: &HeaderMap::new(),
                body: body.as_bytes(),
            };
            let failure = Failure::answered(&answer, classify_result);
            let progress = without_result(&state, failure);
            assert_eq!(told(&progress), expected, "{status} {body} {error}");
        }
    };
    let policy = r#"{"detail":[{"msg":"flagged","type":"content_policy_violation"}]}"#;
    check(422, policy, "failed moderated", "failed moderated");
    let size = r#"{"detail":[{"msg":"too small","type":"image_too_small"}]}"#;
    check(422, size, "failed invalid", "failed invalid");
    for status in [500, 502, 503, 504] {
        let theirs = r#"{"detail":[{"msg":"x","type":"internal_server_error"}]}"#;
        check(status, theirs, "failed overloaded", "failed overloaded");
        check(status, "<html>", "open unknown", "failed overloaded");
    }
    let cancelled = r#"{"detail":"cancelled","error_type":"client_cancelled"}"#;
    check(499, cancelled, "failed overloaded", "failed overloaded");
    let early = r#"{"detail":"Request is still in progress"}"#;
    check(400, early, "open unknown", "failed overloaded");
    check(400, "<html>", "open unknown", "failed overloaded");
    let words = r#"{"detail":"x"}"#;
    check(401, words, "open auth", "failed overloaded");
    check(404, words, "missing", "failed overloaded");
    check(429, words, "open rate_limited", "failed overloaded");
    let empty = r#"{"detail":"User is locked."}"#;
    check(403, empty, "open balance", "failed overloaded");
}

#[test]
fn what_is_no_answer_leaves_the_job_open() {
    for error in [Value::Null, json!("it broke")] {
        let state = standing(&json!({"status": "COMPLETED", "error": error}));
        let silent = without_result(&state, Failure::timed_out(upstream::Wait::FirstByte));
        assert_eq!(told(&silent), "open unknown");
        let garbled = without_result(&state, Failure::malformed("x"));
        assert_eq!(told(&garbled), "open malformed");
    }
}
