//! The adapter against answers as they come, good and bad.

use super::*;

fn base() -> Url {
    Url::parse("https://api.bfl.ai/").unwrap()
}

fn submitted(polling_url: Option<&str>) -> Submitted {
    Submitted {
        id: "a b".into(),
        polling_url: polling_url.map(str::to_owned),
        cost: Value::Null,
    }
}

#[test]
fn a_job_is_found_again_wherever_it_went() {
    let check = |base: &str, polling: Option<&str>, job: &str| {
        assert_eq!(
            reference(&Url::parse(base).unwrap(), submitted(polling)),
            job
        );
    };
    check(
        "https://api.bfl.ai/",
        Some("https://api.eu2.bfl.ai/v1/get_result?id=1"),
        "https://api.eu2.bfl.ai/v1/get_result?id=1",
    );
    check(
        "http://127.0.0.1:1/bfl/",
        Some("http://127.0.0.1:1/bfl/v1/get_result?id=1"),
        "v1/get_result?id=1",
    );
    check("https://api.bfl.ai/", None, "v1/get_result?id=a b");
}

#[test]
fn a_webhook_is_asked_for_only_where_the_job_is_found_without_a_url() {
    for (base, asked_for) in [
        ("https://api.bfl.ai/", false),
        ("https://api.eu.bfl.ai/", true),
        ("http://127.0.0.1:1/bfl/", true),
    ] {
        assert_eq!(
            polls_without_a_url(&Url::parse(base).unwrap()),
            asked_for,
            "{base}"
        );
    }
}

#[tokio::test]
async fn a_callback_is_theirs_by_its_signature() {
    let bfl = Bfl::new(ProviderClient::new(&upstream::UpstreamConfig::default()).unwrap());
    let mut access = Access {
        base_url: base(),
        key: None,
        dialect: domain::Dialect::default(),
        headers: HeaderMap::new(),
        callback_secret: None,
    };
    let heard = async |access: &Access, body: &[u8], signature: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-bfl-signature", signature.parse().unwrap());
        let callback = Callback {
            job: "v1/get_result?id=1",
            path: "/c/1",
            headers: &headers,
            body,
            now: 0,
        };
        bfl.hears(access, &callback).await
    };
    let signature = "sha256=adbde1ce40c89c14215687d5d762a47df6dfaefcfad61e2e86718ffc8498571b";
    assert_eq!(heard(&access, b"{}", "").await, Heard::Unsigned);
    access.callback_secret = Some(Secret::new("s3cret"));
    for (body, signature, expected) in [
        (&b"{}"[..], signature, Heard::Signed),
        (b"{ }", signature, Heard::Forged),
        (b"{}", "", Heard::Forged),
        (b"{}", "sha256=", Heard::Forged),
        (b"{}", "sha256=zz", Heard::Forged),
    ] {
        assert_eq!(
            heard(&access, body, signature).await,
            expected,
            "{signature}"
        );
    }
}

#[test]
fn the_key_is_shown_to_them_alone() {
    for (url, shown) in [
        ("https://api.bfl.ai/v1/get_result", true),
        ("https://api.eu2.bfl.ai/v1/get_result", true),
        ("http://api.eu2.bfl.ai/v1/get_result", false),
        ("https://api.bfl.ai.evil.example/v1", false),
        ("https://evilbfl.ai/v1", false),
        ("https://evil.example/.bfl.ai", false),
    ] {
        assert_eq!(
            may_see_the_key(&base(), &Url::parse(url).unwrap()),
            shown,
            "{url}"
        );
    }
}

#[test]
fn parameters_take_their_names() {
    let ours = json!({
        "prompt": "a fox", "aspect_ratio": "16:9", "resolution": "2K", "type": "pro", "seed": 7,
        "output_format": "png", "input_urls": ["https://a.example/1", "https://a.example/2"],
    });
    assert_eq!(
        body(ours.as_object().unwrap()),
        json!({
            "prompt": "a fox", "width": 2720, "height": 1536, "seed": 7, "output_format": "png",
            "input_image": "https://a.example/1", "input_image_2": "https://a.example/2",
        })
    );
}

#[test]
fn every_size_is_one_they_take() {
    for (_, width, height) in SIZES {
        assert_eq!((width % 16, height % 16), (0, 0));
        assert!(
            width * height * 4 <= 4 * 1024 * 1100,
            "{width}×{height} at 2K"
        );
    }
}

#[test]
fn states_are_read() {
    let check = |text: &str, expected: &str| {
        let outcome = progress(serde_json::from_str(text).unwrap());
        let told = match outcome {
            Ok(Progress::Running { percent, .. }) => format!("running {percent:?}"),
            Ok(Progress::Done { files, .. }) => format!("done {files:?}"),
            Ok(Progress::Told { text, .. }) => format!("told {text}"),
            Ok(Progress::Failed(failure)) => format!("failed {}", failure.class()),
            Ok(Progress::Wasted(failure, _)) => format!("wasted {}", failure.class()),
            Ok(Progress::Missing) => "missing".to_owned(),
            Err(failure) => failure.class().to_string(),
        };
        assert_eq!(told, expected);
    };
    check(
        r#"{"id":"1","status":"Pending","progress":0.25}"#,
        "running Some(25)",
    );
    check(
        r#"{"id":"1","status":"Pending","progress":null}"#,
        "running None",
    );
    check(r#"{"id":"1","state":"Something new"}"#, "running None");
    check(
        r#"{"id":"1","status":"Ready","result":{"sample":"https://x/1.png","seed":1}}"#,
        r#"done ["https://x/1.png"]"#,
    );
    check(r#"{"id":"1","status":"Ready","result":null}"#, "malformed");
    check(
        r#"{"id":"1","status":"Request Moderated"}"#,
        "failed moderated",
    );
    check(
        r#"{"id":"1","status":"Content Moderated","details":{"Moderation Reasons":["x"]}}"#,
        "failed moderated",
    );
    check(r#"{"id":"1","status":"Error"}"#, "failed overloaded");
    check(r#"{"id":"1","status":"Task not found"}"#, "missing");
}

#[test]
fn refusals_are_read() {
    let check = |status: u16, body: &str, class: Class, detail: Option<&str>| {
        let answer = ProviderAnswer {
            status: http::StatusCode::from_u16(status).unwrap(),
            headers: &HeaderMap::new(),
            body: body.as_bytes(),
        };
        let failure = Failure::answered(&answer, classify);
        assert_eq!((failure.class(), failure.detail()), (class, detail));
    };
    check(
        422,
        r#"{"detail":[{"loc":["body","width"],"msg":"too small","type":"x"}]}"#,
        Class::Invalid,
        Some("too small"),
    );
    check(
        400,
        r#"{"detail":"no prompt"}"#,
        Class::Invalid,
        Some("no prompt"),
    );
    check(
        402,
        r#"{"detail":"Insufficient credits"}"#,
        Class::Balance,
        None,
    );
    check(403, r#"{"detail":"Not authenticated"}"#, Class::Auth, None);
    check(
        429,
        r#"{"detail":"24 active tasks"}"#,
        Class::RateLimited,
        None,
    );
    check(500, "oops", Class::Overloaded, None);
}
