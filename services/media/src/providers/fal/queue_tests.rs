//! The adapter against a queue of a few lines: what it asks, and what it makes of the answers.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use upstream::{Failure, UpstreamConfig};

use super::{
    super::{Access, MediaProvider, Order, Progress},
    Fal,
    tests::told,
};

/// What the queue answers.
#[derive(Clone, Debug)]
enum Reply {
    Json(u16, Value),
    Text(&'static str),
    /// Nothing, and the connection drops.
    Vanish,
    /// Nothing, ever.
    Hang,
}

/// The queue: answers in order, and what it was asked.
#[derive(Clone, Default)]
struct Queue(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    replies: Vec<Reply>,
    asked: Vec<Asked>,
}

#[derive(Clone, Debug)]
struct Asked {
    line: String,
    headers: http::HeaderMap,
    body: Bytes,
}

/// A queue and the way to it.
struct House {
    queue: Queue,
    access: Access,
    fal: Fal,
}

// === impl House ===

impl House {
    async fn new(replies: Vec<Reply>) -> Self {
        let queue = Queue::default();
        queue.0.lock().unwrap().replies = replies;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/fal/", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(queue.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's server ends with the test"
        )]
        tokio::spawn(async move { axum::serve(listener, router).await });
        let limits = UpstreamConfig {
            first_byte_timeout: std::time::Duration::from_millis(200),
            ..UpstreamConfig::default()
        };
        Self {
            queue,
            access: Access {
                base_url: base.parse().unwrap(),
                key: Some(domain::Secret::new("k")),
                dialect: domain::Dialect::default(),
                headers: http::HeaderMap::new(),
                callback_secret: None,
            },
            fal: Fal::new(upstream::ProviderClient::new(&limits).unwrap()),
        }
    }

    async fn start(&self) -> Result<String, Failure> {
        let parameters = json!({"prompt": "a fox", "image_size": {"width": 64, "height": 64}});
        let order = Order {
            model: "fal-ai/topaz/upscale/image",
            parameters: parameters.as_object().unwrap(),
            callback: None,
        };
        let started = self.fal.start(&self.access, &order).await;
        started.map(|started| started.job)
    }

    async fn check(&self) -> Result<Progress, Failure> {
        let job = "fal-ai/topaz/requests/1/status fal-ai/topaz/requests/1";
        self.fal.check(&self.access, job).await
    }

    fn asked(&self) -> Vec<Asked> {
        self.queue.0.lock().unwrap().asked.clone()
    }

    fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

async fn answer(State(queue): State<Queue>, request: axum::extract::Request) -> Response {
    let (head, body) = request.into_parts();
    let asked = Asked {
        line: format!("{} {}", head.method, head.uri),
        headers: head.headers,
        body: axum::body::to_bytes(body, 1 << 20).await.unwrap(),
    };
    let reply = {
        let mut book = queue.0.lock().unwrap();
        book.asked.push(asked);
        book.replies.remove(0)
    };
    match reply {
        Reply::Json(status, body) => {
            let status = http::StatusCode::from_u16(status).unwrap();
            (status, Json(body)).into_response()
        }
        Reply::Text(text) => text.into_response(),
        Reply::Vanish => {
            let broken = futures::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("cut"))]);
            Body::from_stream(broken).into_response()
        }
        Reply::Hang => std::future::pending().await,
    }
}

#[tokio::test]
async fn a_submit_is_the_models_own_input_with_the_key_and_the_life_of_its_files() {
    let accepted = json!({"request_id": "1", "status": "IN_QUEUE"});
    let house = House::new(vec![Reply::Json(200, accepted)]).await;
    let job = house.start().await.unwrap();
    assert_eq!(
        job,
        "fal-ai/topaz/requests/1/status fal-ai/topaz/requests/1"
    );
    let [asked] = &house.asked()[..] else {
        panic!("a submit is made once");
    };
    assert_eq!(asked.line, "POST /fal/fal-ai/topaz/upscale/image");
    assert_eq!(asked.headers["authorization"], "Key k");
    assert_eq!(asked.headers["content-type"], "application/json");
    assert_eq!(
        asked.headers["x-fal-object-lifecycle-preference"],
        r#"{"expiration_duration_seconds":3600}"#
    );
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(
        body,
        json!({"prompt": "a fox", "image_size": {"width": 64, "height": 64}})
    );
}

#[tokio::test]
async fn where_to_call_stands_in_the_query() {
    let accepted = json!({"request_id": "1", "status": "IN_QUEUE"});
    let house = House::new(vec![Reply::Json(200, accepted)]).await;
    let parameters = serde_json::Map::new();
    let order = Order {
        model: "fal-ai/fox",
        parameters: &parameters,
        callback: Some("https://us.example/x?y=1"),
    };
    house.fal.start(&house.access, &order).await.unwrap();
    let line = "POST /fal/fal-ai/fox?fal_webhook=https%3A%2F%2Fus.example%2Fx%3Fy%3D1";
    assert_eq!(house.lines(), [line]);
}

/// What a cancel that is answered so is taken for.
#[tokio::test]
async fn cancels_are_read() {
    let told = |status: u16, word: &str| Reply::Json(status, json!({ "status": word }));
    let table = [
        (told(202, "CANCELLATION_REQUESTED"), "Asked"),
        (told(400, "ALREADY_COMPLETED"), "TooLate"),
        (told(409, "ALREADY_COMPLETED"), "TooLate"),
        (told(404, "NOT_FOUND"), "TooLate"),
        (
            Reply::Json(404, json!({"message": "no route"})),
            "open unknown",
        ),
        (Reply::Json(401, json!({"detail": "no key"})), "open auth"),
        (Reply::Json(502, json!({"detail": "oops"})), "open unknown"),
        (Reply::Vanish, "open unknown"),
        (Reply::Hang, "open unknown"),
    ];
    for (reply, expected) in table {
        let house = House::new(vec![reply]).await;
        let job = "fal-ai/topaz/requests/1/status fal-ai/topaz/requests/1";
        let told = match house.fal.cancel(&house.access, job).await {
            Ok(cancelled) => format!("{cancelled:?}"),
            Err(failure) => format!("open {}", failure.class()),
        };
        let line = "PUT /fal/fal-ai/topaz/requests/1/cancel";
        assert_eq!(
            (told.as_str(), house.lines()),
            (expected, vec![line.to_owned()])
        );
    }
}

/// What a submit that is not accepted is taken for, and whether it is certain that nothing was.
#[tokio::test]
async fn submits_that_are_not_accepted() {
    let table = [
        (
            Reply::Json(429, json!({"detail": "queue full"})),
            "rate_limited",
            true,
        ),
        (
            Reply::Json(
                403,
                json!({"detail": "User is locked. Reason: Exhausted balance."}),
            ),
            "balance",
            true,
        ),
        (Reply::Json(401, json!({"detail": "no"})), "auth", true),
        (Reply::Json(404, json!({"detail": "no"})), "gone", true),
        (
            Reply::Json(422, json!({"detail": [{"msg": "no", "type": "missing"}]})),
            "invalid",
            true,
        ),
        (
            Reply::Json(503, json!({"detail": "no"})),
            "overloaded",
            true,
        ),
        (Reply::Json(500, json!({"detail": "no"})), "unknown", false),
        (Reply::Json(504, json!({"detail": "no"})), "unknown", false),
        (Reply::Text("{\"request_id\": \"1"), "malformed", false),
        (
            Reply::Json(200, json!({"status": "IN_QUEUE"})),
            "malformed",
            false,
        ),
        (Reply::Vanish, "unknown", false),
        (Reply::Hang, "unknown", false),
    ];
    for (reply, class, known) in table {
        let what = format!("{reply:?}");
        let house = House::new(vec![reply]).await;
        let failure = house.start().await.unwrap_err();
        assert_eq!(failure.class().as_str(), class, "{what}");
        assert_eq!(failure.outcome_known(), known, "{what}");
    }
}

/// The answers to one look, and what becomes of the job.
async fn looks(replies: Vec<Reply>, expected: &str) {
    let what = format!("{replies:?}");
    let asks = replies.len();
    let house = House::new(replies).await;
    assert_eq!(told(&house.check().await), expected, "{what}");
    let lines = [
        "GET /fal/fal-ai/topaz/requests/1/status",
        "GET /fal/fal-ai/topaz/requests/1",
    ];
    assert_eq!(house.lines(), lines[..asks], "{what}");
    for asked in house.asked() {
        assert_eq!(asked.headers["authorization"], "Key k");
    }
}

fn completed() -> Reply {
    Reply::Json(200, json!({"status": "COMPLETED"}))
}

fn failed() -> Reply {
    let body = json!({"status": "COMPLETED", "error": "x", "error_type": "y"});
    Reply::Json(200, body)
}

#[tokio::test]
async fn a_job_is_looked_at_and_its_result_fetched_when_it_is_there() {
    let result = || Reply::Json(200, json!({"image": {"url": "https://v3.fal.media/a"}}));
    let refusal = |status, kind: &str| {
        let item = json!({"loc": ["body"], "msg": "no", "type": kind});
        Reply::Json(status, json!({"detail": [item]}))
    };
    for state in ["IN_QUEUE", "IN_PROGRESS"] {
        let running = Reply::Json(202, json!({ "status": state }));
        looks(vec![running], "running None").await;
    }
    looks(vec![completed(), result()], "done https://v3.fal.media/a").await;
    looks(vec![failed(), result()], "failed overloaded").await;
    let policy = refusal(422, "content_policy_violation");
    looks(vec![completed(), policy], "failed moderated").await;
    let small = refusal(422, "image_too_small");
    looks(vec![failed(), small], "failed invalid").await;
    let broken = refusal(500, "internal_server_error");
    looks(vec![failed(), broken], "failed overloaded").await;
}

#[tokio::test]
async fn a_look_that_tells_nothing_ends_nothing() {
    let refusal = |status| Reply::Json(status, json!({"detail": "x"}));
    looks(vec![refusal(404)], "missing").await;
    looks(vec![completed(), refusal(404)], "missing").await;
    looks(vec![refusal(429)], "open rate_limited").await;
    looks(vec![Reply::Text("{\"status\": ")], "open malformed").await;
    let garbled = Reply::Text("{\"image\": ");
    looks(vec![completed(), garbled], "open malformed").await;
    looks(vec![Reply::Vanish], "open unknown").await;
    looks(vec![Reply::Hang], "open unknown").await;
    looks(vec![completed(), Reply::Vanish], "open unknown").await;
    looks(vec![failed(), Reply::Vanish], "open unknown").await;
}

#[tokio::test]
async fn a_stranger_who_is_asked_about_a_job_is_shown_no_key() {
    let queue = House::new(vec![]).await;
    let stranger = House::new(vec![Reply::Json(202, json!({"status": "IN_QUEUE"}))]).await;
    let place = stranger.access.base_url.join("requests/1").unwrap();
    let job = format!("{place}/status {place}");
    let progress = queue.fal.check(&queue.access, &job).await;
    assert_eq!(told(&progress), "running None");
    let asked = stranger.asked();
    assert_eq!(asked.len(), 1);
    assert!(!asked[0].headers.contains_key("authorization"));
}
