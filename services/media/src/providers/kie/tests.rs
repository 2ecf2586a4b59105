//! Every answer they may give, over a real connection; then the simulator, from the first submit to the file's link.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::Request, http::StatusCode, response::IntoResponse as _};
use domain::{Dialect, Secret};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use serde_json::{Map, json};
use upstream::UpstreamConfig;

use super::*;

/// What the provider was asked: method and path with query, the credential, the body.
type Asked = Arc<Mutex<Vec<(String, String, Value)>>>;

fn adapter(settings: UpstreamConfig) -> Kie {
    Kie::new(ProviderClient::new(&settings).unwrap())
}

fn access(origin: &str) -> Access {
    Access {
        base_url: Url::parse(origin).unwrap(),
        key: Some(Secret::new("k")),
        dialect: Dialect::default(),
        callback_secret: None,
        headers: HeaderMap::new(),
    }
}

/// A server on a free port.
async fn serve(router: Router, path: &str) -> Access {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}{path}", listener.local_addr().unwrap());
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's server ends with the test"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    access(&origin)
}

/// A provider that answers everything so.
async fn answering(status: u16, body: &str) -> (Access, Asked) {
    let asked = Asked::default();
    let (noted, body) = (asked.clone(), body.to_owned());
    let status = StatusCode::from_u16(status).unwrap();
    let answer = move |request: Request| async move {
        let place = format!("{} {}", request.method(), request.uri());
        let key = request.headers().get(AUTHORIZATION);
        let key = key.map_or("", |key| key.to_str().unwrap()).to_owned();
        let sent = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        let sent = serde_json::from_slice(&sent.unwrap()).unwrap_or_default();
        noted.lock().unwrap().push((place, key, sent));
        (status, body).into_response()
    };
    let router = Router::new().fallback(answer);
    (serve(router, "/kie/").await, asked)
}

fn input() -> Map<String, Value> {
    let input =
        json!({ "prompt": "a fox", "image_urls": ["https://a.example/1"], "upscale_factor": "2" });
    input.as_object().unwrap().clone()
}

async fn submit(access: &Access, parameters: &Map<String, Value>) -> Result<Started, Failure> {
    let model = "topaz/image-upscale";
    let order = Order {
        model,
        parameters,
        callback: None,
    };
    adapter(UpstreamConfig::default())
        .start(access, &order)
        .await
}

fn told(failure: &Failure) -> String {
    match failure.detail() {
        Some(detail) => format!("{}: {detail}", failure.class()),
        None => failure.class().to_string(),
    }
}

fn shown(outcome: &Result<Progress, Failure>) -> String {
    match outcome {
        Ok(Progress::Running { percent: None, .. }) => "running".to_owned(),
        Ok(Progress::Running {
            percent: Some(percent),
            ..
        }) => format!("running {percent}"),
        Ok(Progress::Done { files, .. }) => format!("done {}", files.join(" ")),
        Ok(Progress::Told { text, .. }) => format!("told {text}"),
        Ok(Progress::Failed(failure)) => format!("failed {}", told(failure)),
        Ok(Progress::Wasted(failure, cost)) => {
            let cost = cost.map_or_else(String::new, |cost| format!(" {}", cost.micro_usd));
            format!("wasted{cost} {}", told(failure))
        }
        Ok(Progress::Missing) => "missing".to_owned(),
        Err(failure) => told(failure),
    }
}

#[tokio::test]
async fn a_callback_is_theirs_by_its_signature() {
    let mut access = access("http://127.0.0.1:1/kie/");
    let kie = adapter(UpstreamConfig::default());
    // openssl: HMAC-SHA256 of "task-1.1700000000" with the key "s3cret".
    let signature = "B4hsHGiKZN18ymsJbvZ15G//6z8pWctF2C7wHFUOXRI=";
    let heard = async |access: &Access, job: &str, now: i64, signed: &str| {
        let headers = [
            ("x-webhook-timestamp", "1700000000"),
            ("x-webhook-signature", signed),
        ];
        let headers = headers.map(|(name, value)| {
            (
                http::HeaderName::from_static(name),
                value.parse::<HeaderValue>().unwrap(),
            )
        });
        let callback = Callback {
            job,
            path: "/c/1",
            headers: &headers.into_iter().collect(),
            body: b"{}",
            now,
        };
        kie.hears(access, &callback).await
    };
    assert_eq!(
        heard(&access, "task-1", 1_700_000_000, "").await,
        Heard::Unsigned
    );
    access.callback_secret = Some(Secret::new("s3cret"));
    for (job, now, signed, expected) in [
        ("task-1", 1_700_000_000, signature, Heard::Signed),
        ("task-1", 1_700_000_300, signature, Heard::Signed),
        ("task-1", 1_700_000_301, signature, Heard::Forged),
        ("task-1", 1_699_999_000, signature, Heard::Forged),
        ("task-2", 1_700_000_000, signature, Heard::Forged),
        ("task-1", 1_700_000_000, "", Heard::Forged),
        ("task-1", 1_700_000_000, "bm90IHRoaXM=", Heard::Forged),
    ] {
        assert_eq!(
            heard(&access, job, now, signed).await,
            expected,
            "{job} {now} {signed}"
        );
    }
}

#[tokio::test]
async fn where_to_call_goes_out_beside_the_input() {
    let answer = r#"{"code":200,"msg":"success","data":{"taskId":"1"}}"#;
    let (access, asked) = answering(200, answer).await;
    let parameters = input();
    let order = Order {
        model: "topaz/image-upscale",
        parameters: &parameters,
        callback: Some("https://us.example/api/v1/callbacks/x"),
    };
    let started = adapter(UpstreamConfig::default())
        .start(&access, &order)
        .await;
    assert_eq!(started.unwrap().job, "1");
    let sent = asked.lock().unwrap()[0].2.clone();
    assert_eq!(sent["callBackUrl"], "https://us.example/api/v1/callbacks/x");
    assert_eq!(sent["input"], Value::Object(parameters));
}

#[tokio::test]
async fn the_input_goes_out_as_it_is() {
    let answer = r#"{"code":200,"msg":"success","data":{"taskId":"a b&c"}}"#;
    let (access, asked) = answering(200, answer).await;
    let started = submit(&access, &input()).await.unwrap();
    assert_eq!(started.job, "a b&c");
    let adapter = adapter(UpstreamConfig::default());
    adapter.check(&access, &started.job).await.unwrap_err();
    let asked = asked.lock().unwrap().clone();
    let body = json!({ "model": "topaz/image-upscale", "input": input() });
    let key = "Bearer k".to_owned();
    assert_eq!(
        asked,
        [
            (
                "POST /kie/api/v1/jobs/createTask".to_owned(),
                key.clone(),
                body
            ),
            (
                "GET /kie/api/v1/jobs/recordInfo?taskId=a+b%26c".to_owned(),
                key,
                Value::Null
            ),
        ]
    );
}

#[tokio::test]
async fn the_operators_headers_stand_in_the_place_of_ours() {
    let (mut access, asked) = answering(200, r#"{"code":401}"#).await;
    let own = HeaderValue::from_static("Token own");
    access.headers.insert(AUTHORIZATION, own);
    submit(&access, &Map::new()).await.unwrap_err();
    assert_eq!(asked.lock().unwrap()[0].1, "Token own");
}

/// Answers to a submit: the status, the body, and what is read: the task's id, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (
        200,
        r#"{"code":200,"msg":"success","data":{"taskId":"t1","recordId":"r"}}"#,
        "t1",
    ),
    (
        200,
        r#"{"code":200,"msg":"success","data":{"taskId":""}}"#,
        "malformed",
    ),
    (
        200,
        r#"{"code":200,"msg":"success","data":{}}"#,
        "malformed",
    ),
    (
        200,
        r#"{"code":200,"msg":"success","data":null}"#,
        "malformed",
    ),
    (200, r#"{"code":200}"#, "malformed"),
    (
        200,
        r#"{"msg":"success","data":{"taskId":"t1"}}"#,
        "malformed",
    ),
    (200, "<h1>Sorry</h1>", "malformed"),
    (200, "", "malformed"),
    (200, r#"{"code":299,"msg":"new"}"#, "malformed"),
    // The envelope's code counts, whatever the status is.
    (200, r#"{"code":400,"msg":"no input"}"#, "invalid: no input"),
    (
        200,
        r#"{"code":401,"msg":"You do not have access"}"#,
        "auth",
    ),
    (
        200,
        r#"{"code":402,"msg":"Credits insufficient"}"#,
        "balance",
    ),
    (200, r#"{"code":403,"msg":"no"}"#, "auth"),
    (200, r#"{"code":404,"msg":"no such model"}"#, "gone"),
    (200, r#"{"code":408,"msg":"took too long"}"#, "unknown"),
    (200, r#"{"code":409,"msg":"already exists"}"#, "unknown"),
    (
        200,
        r#"{"code":422,"msg":"prompt is required","data":null}"#,
        "invalid: prompt is required",
    ),
    (200, r#"{"code":422,"msg":null}"#, "invalid"),
    (
        200,
        r#"{"code":422,"message":"no prompt"}"#,
        "invalid: no prompt",
    ),
    (
        200,
        r#"{"code":422,"msg":"no prompt","message":"wrong"}"#,
        "invalid: no prompt",
    ),
    (200, r#"{"code":429,"msg":"slow down"}"#, "rate_limited"),
    (
        200,
        r#"{"code":451,"msg":"the input image cannot be fetched"}"#,
        "invalid: the input image cannot be fetched",
    ),
    (200, r#"{"code":455,"msg":"maintenance"}"#, "overloaded"),
    (200, r#"{"code":500,"msg":"oops"}"#, "unknown"),
    (
        200,
        r#"{"code":501,"msg":"generation failed"}"#,
        "overloaded",
    ),
    (200, r#"{"code":505,"msg":"switched off"}"#, "gone"),
    (401, r#"{"code":401,"msg":"no key"}"#, "auth"),
    (402, r#"{"code":402,"msg":"empty"}"#, "balance"),
    (
        451,
        r#"{"code":451,"msg":"not fetched"}"#,
        "invalid: not fetched",
    ),
    (500, r#"{"code":455,"msg":"maintenance"}"#, "overloaded"),
    (
        500,
        r#"{"code":422,"msg":"no prompt"}"#,
        "invalid: no prompt",
    ),
    // Content policy has words and no code.
    (
        200,
        r#"{"code":422,"msg":"Your prompt was FLAGGED"}"#,
        "moderated: Your prompt was FLAGGED",
    ),
    (
        200,
        r#"{"code":500,"msg":"CONTENT_POLICY_VIOLATION"}"#,
        "moderated: CONTENT_POLICY_VIOLATION",
    ),
    (
        200,
        r#"{"code":501,"msg":"nsfw content"}"#,
        "moderated: nsfw content",
    ),
    (
        200,
        r#"{"code":429,"msg":"flagged as too fast"}"#,
        "rate_limited",
    ),
    // Without an envelope the status is all there is.
    (401, "", "auth"),
    (404, "<h1>Not Found</h1>", "gone"),
    (429, "slow down", "rate_limited"),
    (500, "oops", "unknown"),
    (502, "<h1>Bad Gateway</h1>", "unknown"),
    (503, "oops", "overloaded"),
    (
        503,
        r#"{"code":200,"msg":"success","data":{"taskId":"t1"}}"#,
        "overloaded",
    ),
    (503, r#"{"code":299,"msg":"new"}"#, "overloaded"),
];

#[tokio::test]
async fn answers_to_a_submit_are_read() {
    for &(status, body, expected) in SUBMITS {
        let (access, asked) = answering(status, body).await;
        let read = match submit(&access, &input()).await {
            Ok(started) => started.job,
            Err(failure) => told(&failure),
        };
        assert_eq!(read, expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap().len(), 1, "a submit is made once");
    }
}

/// The data of a record, and what is read.
const STATES: &[(&str, &str)] = &[
    (
        r#"{"taskId":"t","state":"waiting","resultJson":"","failCode":"","failMsg":""}"#,
        "running",
    ),
    (
        r#"{"state":"queuing","resultJson":null,"failCode":null,"failMsg":null,"progress":null}"#,
        "running",
    ),
    (r#"{"state":"generating","progress":42}"#, "running 42"),
    (r#"{"state":"generating","progress":"42%"}"#, "running 42"),
    (r#"{"state":"generating","progress":99.9}"#, "running 99"),
    (r#"{"state":"generating","progress":100}"#, "running 100"),
    (r#"{"state":"generating","progress":101}"#, "running"),
    (r#"{"state":"generating","progress":-1}"#, "running"),
    (r#"{"state":"generating","progress":"soon"}"#, "running"),
    (r#"{"state":"generating","progress":[1]}"#, "running"),
    (r#"{"state":"something new"}"#, "running"),
    (
        r#"{"state":"success","resultJson":"{\"resultUrls\":[\"https://x/1.png\",\"https://x/2.png\"]}"}"#,
        "done https://x/1.png https://x/2.png",
    ),
    (
        r#"{"state":"success","resultJson":"{\"resultUrls\":[]}"}"#,
        "malformed",
    ),
    (
        r#"{"state":"success","resultJson":"{\"resultUrls\":[7]}"}"#,
        "malformed",
    ),
    (
        r#"{"state":"success","resultJson":"{\"resultObject\":{}}"}"#,
        "malformed",
    ),
    (
        r#"{"state":"success","resultJson":"{\"resultUrls\":"}"#,
        "malformed",
    ),
    (r#"{"state":"success","resultJson":""}"#, "malformed"),
    (r#"{"state":"success"}"#, "malformed"),
    (r#"{"state":7}"#, "malformed"),
    ("{}", "malformed"),
    ("null", "malformed"),
    (
        r#"{"state":"fail","failCode":"500","failMsg":"Internal Error"}"#,
        "failed overloaded",
    ),
    (
        r#"{"state":"fail","failCode":422,"failMsg":"no such voice"}"#,
        "failed overloaded",
    ),
    (r#"{"state":"fail"}"#, "failed overloaded"),
    (
        r#"{"state":"fail","creditsConsumed":0}"#,
        "failed overloaded",
    ),
    // Another provider would be paid for it as well.
    (
        r#"{"state":"fail","creditsConsumed":18}"#,
        "wasted 90000 overloaded",
    ),
    (
        r#"{"state":"fail","failCode":"400","failMsg":"The input was flagged as sensitive."}"#,
        "failed moderated: The input was flagged as sensitive.",
    ),
    (
        r#"{"state":"fail","failCode":"500","failMsg":"It goes against our Content Policies"}"#,
        "failed moderated: It goes against our Content Policies",
    ),
    (
        r#"{"state":"fail","failCode":"CONTENT-POLICY","failMsg":""}"#,
        "failed moderated: the provider's content policy refused the request or its result",
    ),
];

#[tokio::test]
async fn states_are_read() {
    for &(data, expected) in STATES {
        let body = format!(r#"{{"code":200,"msg":"success","data":{data}}}"#);
        let (access, _) = answering(200, &body).await;
        let outcome = adapter(UpstreamConfig::default()).check(&access, "t").await;
        assert_eq!(shown(&outcome), expected, "{data}");
    }
}

#[tokio::test]
async fn a_look_that_fails_is_no_end_of_the_task() {
    let failed = r#"{"code":501,"msg":"failed","data":{"state":"fail","failMsg":"a moderation refused it"}}"#;
    let goes_on = r#"{"code":505,"msg":"failed","data":{"state":"generating","progress":5}}"#;
    let table = [
        (
            200,
            r#"{"code":404,"msg":"no such task","data":null}"#,
            "missing",
        ),
        (
            200,
            r#"{"code":422,"msg":"recordInfo is null","data":null}"#,
            "missing",
        ),
        (404, r#"{"code":404,"msg":"no such task"}"#, "missing"),
        (422, r#"{"code":422,"msg":"recordInfo is null"}"#, "missing"),
        (404, "<h1>Not Found</h1>", "overloaded"),
        (410, "", "overloaded"),
        (200, r#"{"code":505,"msg":"switched off"}"#, "gone"),
        (500, r#"{"code":505,"msg":"switched off"}"#, "overloaded"),
        (200, failed, "failed moderated: a moderation refused it"),
        (200, goes_on, "running 5"),
        (200, r#"{"code":501,"msg":"failed"}"#, "failed overloaded"),
        (
            200,
            r#"{"code":501,"msg":"NSFW"}"#,
            "failed moderated: NSFW",
        ),
        (200, r#"{"code":401,"msg":"no key"}"#, "auth"),
        (200, r#"{"code":429,"msg":"slow down"}"#, "rate_limited"),
        (200, r#"{"code":455,"msg":"maintenance"}"#, "overloaded"),
        (200, r#"{"code":500,"msg":"oops"}"#, "unknown"),
        (200, r#"{"code":299,"msg":"new"}"#, "malformed"),
        (200, "oops", "malformed"),
        (401, "", "auth"),
        (429, "", "rate_limited"),
        (503, "", "overloaded"),
    ];
    for (status, body, expected) in table {
        let (access, _) = answering(status, body).await;
        let outcome = adapter(UpstreamConfig::default()).check(&access, "t").await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
    }
}

#[test]
fn content_policy_is_told_from_other_failures() {
    for (words, expected) in [
        ("The input or output was flagged as sensitive", true),
        ("Your prompt was blocked by the SAFETY system", true),
        ("this may violate the maker's content policies", true),
        ("it goes against a Prohibited_Use-Policy", true),
        ("the lyrics are copyrighted", true),
        ("the guardrails stopped it", true),
        ("", false),
        ("Internal Error, Please try again later.", false),
        ("the image is larger than 10 MB", false),
        ("no access by the policy of the host", false),
        ("a constraint is violated", false),
    ] {
        assert_eq!(policy::tells(words), expected, "{words}");
    }
}
