//! Every answer they may give, over a real connection.

use super::*;
use crate::providers::for_tests::{answering, client, shown, stopped, told};

const PICTURES: &str = "grok-imagine-image";
const MOVING: &str = "grok-imagine-video";

async fn submit(access: &Access, model: &str, sent: Value) -> Result<Started, Failure> {
    let parameters = sent.as_object().unwrap().clone();
    let order = Order {
        model,
        parameters: &parameters,
        callback: Some("https://us.example/c/1"),
    };
    Xai::new(client()).start(access, &order).await
}

async fn looked(status: u16, body: &str) -> String {
    let (access, _) = answering(status, body).await;
    shown(&Xai::new(client()).check(&access, "r-1").await)
}

#[tokio::test]
async fn a_picture_is_where_the_answer_says() {
    let answer = r#"{"data":[{"url":"https://imgen.x.ai/1.jpg","revised_prompt":"","mime_type":"image/jpeg"}],"usage":{"cost_in_usd_ticks":200000000}}"#;
    let (access, asked) = answering(200, answer).await;
    let sent = json!({ "prompt": "a fox", "aspect_ratio": "1:1", "n": 1 });
    let started = submit(&access, PICTURES, sent).await.unwrap();
    assert_eq!(started.files, ["https://imgen.x.ai/1.jpg"]);
    assert_eq!(started.cost, Some(Cost { micro_usd: 20_000 }));
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/images/generations");
    assert_eq!(headers["authorization"], "Bearer k3y");
    let expected = json!({ "prompt": "a fox", "aspect_ratio": "1:1", "n": 1, "model": PICTURES, "response_format": "url" });
    assert_eq!(body, expected);
    let xai = Xai::new(client());
    let found = xai.check(&access, &started.job).await;
    assert_eq!(shown(&found), "done https://imgen.x.ai/1.jpg");
    assert_eq!(
        stopped(&xai.cancel(&access, &started.job).await),
        "too late"
    );
    // One that is made larger is known by its job.
    let larger = json!({ "prompt": "the same", "image": started.job, "resolution": "2k" });
    submit(&access, PICTURES, larger).await.unwrap();
    let (place, _, body) = asked.lock().unwrap()[1].clone();
    assert_eq!(place, "POST /p/images/edits");
    assert_eq!(
        body["image"],
        json!({ "url": "https://imgen.x.ai/1.jpg", "type": "image_url" })
    );
}

#[tokio::test]
async fn a_picture_that_they_keep_no_longer_is_the_tasks_fault() {
    let gone = r#"{"code":"invalid-argument","error":"Failed to fetch the image"}"#;
    let (access, _) = answering(400, gone).await;
    let job = at_once::placed(vec!["https://imgen.x.ai/1.jpg".to_owned()], None).job;
    for (image, param) in [
        (job.as_str(), Some("task_id")),
        ("https://a.example/1", None),
    ] {
        let sent = json!({ "prompt": "the same", "image": image });
        let failure = submit(&access, PICTURES, sent).await.unwrap_err();
        assert_eq!(failure.class(), Class::Invalid);
        assert_eq!(failure.param(), param);
    }
}

#[tokio::test]
async fn a_film_is_a_job() {
    let (access, asked) = answering(200, r#"{"request_id":"r-1"}"#).await;
    let image = json!({ "prompt": "it runs", "image": "https://a.example/1", "duration": 6, "resolution": "480p" });
    assert_eq!(submit(&access, MOVING, image).await.unwrap().job, "r-1");
    let several = json!({ "prompt": "it runs", "reference_images": ["https://a.example/1", "https://a.example/2"] });
    submit(&access, MOVING, several).await.unwrap();
    let asked = asked.lock().unwrap();
    let bodies = asked.iter().map(|(place, _, body)| (place.as_str(), body));
    let place = "POST /p/videos/generations";
    let expected = [
        json!({ "prompt": "it runs", "image": { "url": "https://a.example/1" }, "duration": 6, "resolution": "480p", "model": MOVING }),
        json!({ "prompt": "it runs", "reference_images": [{ "url": "https://a.example/1" }, { "url": "https://a.example/2" }], "model": MOVING }),
    ];
    assert!(bodies.eq(expected.iter().map(|body| (place, body))));
}

#[tokio::test]
async fn a_film_stands_as_they_say() {
    for (status, body, expected) in [
        (202, r#"{"status":"pending","progress":40}"#, "running 40%"),
        (200, r#"{"status":"queued_somewhere"}"#, "running"),
        (
            200,
            r#"{"status":"done","video":{"url":"https://v.x.ai/1.mp4","duration":6,"respect_moderation":true},"model":"grok-imagine-video","usage":{"cost_in_usd_ticks":3000000000}}"#,
            "done https://v.x.ai/1.mp4 300000",
        ),
        (
            200,
            r#"{"status":"done","video":{"url":"https://v.x.ai/1.mp4","respect_moderation":null},"usage":null,"error":null,"progress":null}"#,
            "done https://v.x.ai/1.mp4",
        ),
        (
            200,
            r#"{"status":"pending","video":null,"usage":null}"#,
            "running",
        ),
        (
            200,
            r#"{"status":"done","video":{"url":"https://v.x.ai/1.mp4"},"usage":{"cost_in_usd_ticks":"10000"}}"#,
            "done https://v.x.ai/1.mp4 1",
        ),
        (
            200,
            r#"{"video":{"url":"https://v.x.ai/1.mp4"}}"#,
            "done https://v.x.ai/1.mp4",
        ),
        (
            200,
            r#"{"status":"done","video":{"url":"","respect_moderation":false}}"#,
            "failed moderated: the provider's content policy refused the result",
        ),
        (
            200,
            r#"{"status":"done","video":{"url":"https://v.x.ai/1.mp4","respect_moderation":false},"usage":{"cost_in_usd_ticks":10000}}"#,
            "wasted 1 moderated: the provider's content policy refused the result",
        ),
        (200, r#"{"status":"done"}"#, "done nothing"),
        (
            200,
            r#"{"status":"failed","error":{"code":"x","message":"Rejected by content moderation"}}"#,
            "failed moderated: Rejected by content moderation",
        ),
        (
            200,
            r#"{"status":"failed","error":{"code":"content_moderation","message":"no"}}"#,
            "failed moderated: the provider's content policy refused the result",
        ),
        (
            200,
            r#"{"status":"failed","error":{"code":"permission-denied","message":"Content violates usage guidelines. Team: t-1, API key ID: k-1"}}"#,
            "failed moderated: the provider's content policy refused the request or its result",
        ),
        (200, r#"{"status":"failed"}"#, "failed overloaded"),
        (200, r#"{"status":"expired"}"#, "failed overloaded"),
        (
            404,
            r#"{"code":"not-found","error":"no such request"}"#,
            "missing",
        ),
        (404, "<html>", "unknown"),
        (200, "[", "malformed"),
        (429, "", "rate_limited"),
    ] {
        assert_eq!(looked(status, body).await, expected, "{body}");
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, body, expected) in [
        (
            400,
            r#"{"code":"invalid-argument","error":"prompt is too long"}"#,
            "invalid: prompt is too long",
        ),
        (
            400,
            r#"{"error":{"message":"rejected by content moderation","type":"x","code":null}}"#,
            "moderated: rejected by content moderation",
        ),
        (
            401,
            r#"{"code":"unauthenticated","error":"bad key"}"#,
            "auth",
        ),
        (
            403,
            r#"{"code":"x","error":"Your team has either used all available credits or reached its monthly spending limit."}"#,
            "balance",
        ),
        // What content is refused with, too, and not the key.
        (
            403,
            r#"{"code":"The caller does not have permission to execute the specified operation","error":"Content violates usage guidelines. Team: t-1, API key ID: k-1, Model: m, Failed check: SAFETY_CHECK_TYPE_BIO"}"#,
            "moderated: the provider's content policy refused the request or its result",
        ),
        (
            403,
            r#"{"code":"permission-denied","error":"Your key may not do this"}"#,
            "auth",
        ),
        (
            429,
            r#"{"code":"x","error":"Too many requests"}"#,
            "rate_limited",
        ),
        (
            503,
            r#"{"code":"x","error":"The model is at capacity"}"#,
            "overloaded",
        ),
        (500, "", "unknown"),
        (200, r#"{"data":[]}"#, "malformed"),
        (
            200,
            r#"{"data":[{"respect_moderation":false}]}"#,
            "moderated: the provider's content policy refused the result",
        ),
    ] {
        let (access, _) = answering(status, body).await;
        let failure = submit(&access, PICTURES, json!({ "prompt": "x" }))
            .await
            .unwrap_err();
        assert_eq!(told(&failure), expected, "{body}");
    }
}

#[tokio::test]
async fn who_breaks_may_have_taken_a_film_and_made_no_picture() {
    let (access, _) = answering(500, r#"{"code":"internal","error":"oops"}"#).await;
    let started = submit(&access, PICTURES, json!({ "prompt": "x" }))
        .await
        .unwrap();
    let looked = Xai::new(client()).check(&access, &started.job).await;
    assert_eq!(shown(&looked), "failed overloaded");
    let failure = submit(&access, MOVING, json!({ "prompt": "x" }))
        .await
        .unwrap_err();
    // A job may have been taken.
    assert_eq!(failure.class(), Class::Unknown);
    let (access, _) = answering(200, r#"{"request_id":""}"#).await;
    let failure = submit(&access, MOVING, json!({ "prompt": "x" }))
        .await
        .unwrap_err();
    assert_eq!(told(&failure), "malformed");
    assert_eq!(
        stopped(&Xai::new(client()).cancel(&access, "r-1").await),
        "impossible"
    );
}
