//! Every answer they may give, over a real connection.

use upstream::Class;

use super::*;
use crate::providers::for_tests::{answering, client, shown, told};

/// As the documents have it.
const MADE: &str = r#"{"created":1790000000,"background":"opaque","output_format":"png","size":"1024x1024","quality":"medium",
    "data":[{"b64_json":"AAEC","revised_prompt":"a red fox"}],
    "usage":{"input_tokens":50,"output_tokens":1056,"total_tokens":1106,
        "input_tokens_details":{"text_tokens":10,"image_tokens":40},"output_tokens_details":{"image_tokens":1056,"text_tokens":0}}}"#;

fn order(parameters: &Map<String, Value>) -> Order<'_> {
    Order {
        model: "gpt-image-1.5",
        parameters,
        callback: Some("https://us.example/c/1"),
    }
}

fn parameters(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

async fn submit(access: &Access) -> Result<Started, Failure> {
    let parameters = parameters(json!({ "prompt": "a fox" }));
    OpenAi::new(client())
        .start(access, &order(&parameters))
        .await
}

#[tokio::test]
async fn a_picture_comes_inside_of_the_answer() {
    let (access, asked) = answering(200, MADE).await;
    let sent = parameters(json!({ "prompt": "a fox", "size": "1024x1024", "quality": "medium" }));
    let started = OpenAi::new(client())
        .start(&access, &order(&sent))
        .await
        .unwrap();
    assert_eq!(started.files, ["data:image/png;base64,AAEC"]);
    // 10 words, 40 of pictures, 1056 that came.
    let micro_usd = (10 * 5) + (40 * 8) + (1_056 * 32);
    assert_eq!(started.cost, Some(Cost { micro_usd }));
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/images/generations");
    assert_eq!(headers["authorization"], "Bearer k3y");
    let expected = json!({ "prompt": "a fox", "size": "1024x1024", "quality": "medium", "model": "gpt-image-1.5" });
    assert_eq!(body, expected);
    // There is no second place to get it from.
    let looked = OpenAi::new(client()).check(&access, &started.job).await;
    assert_eq!(shown(&looked), "wasted malformed");
}

#[tokio::test]
async fn a_picture_is_not_lost_for_what_stands_beside_it() {
    for beside in [
        r#""usage":null,"output_format":null"#,
        r#""usage":{"input_tokens":"many"},"output_format":7"#,
        r#""created":1"#,
    ] {
        let answer = format!(r#"{{"data":[{{"b64_json":"AAEC"}}],{beside}}}"#);
        let (access, _) = answering(200, &answer).await;
        let started = submit(&access).await.unwrap();
        assert_eq!(started.files, ["data:image/png;base64,AAEC"], "{beside}");
        assert_eq!(started.cost, None, "{beside}");
    }
}

#[tokio::test]
async fn pictures_are_edited_where_they_are() {
    let (access, asked) = answering(200, MADE).await;
    let urls = ["https://a.example/1", "data:image/png;base64,AAEC"];
    let sent = parameters(json!({ "prompt": "a fox", "images": urls }));
    OpenAi::new(client())
        .start(&access, &order(&sent))
        .await
        .unwrap();
    let (place, _, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/images/edits");
    let images = json!([{ "image_url": urls[0] }, { "image_url": urls[1] }]);
    assert_eq!(
        (&body["images"], &body["model"]),
        (&images, &json!("gpt-image-1.5"))
    );
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let blocked = r#"{"error":{"type":"image_generation_user_error","code":"moderation_blocked","param":null,
        "message":"Your request was rejected by the safety system. safety_violations=[sexual]","moderation_details":{"moderation_stage":"input","categories":["sexual"]}}}"#;
    for (status, body, expected) in [
        (
            400,
            blocked,
            "moderated: Your request was rejected by the safety system. safety_violations=[sexual]",
        ),
        (
            401,
            r#"{"error":{"message":"m","code":"invalid_api_key"}}"#,
            "auth",
        ),
        (
            429,
            r#"{"error":{"message":"m","type":"insufficient_quota"}}"#,
            "balance",
        ),
        (
            429,
            r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#,
            "rate_limited",
        ),
        (
            404,
            r#"{"error":{"message":"m","code":"model_not_found"}}"#,
            "gone",
        ),
        (500, "", "unknown"),
        (200, "{", "malformed"),
        (200, r#"{"data":[]}"#, "malformed"),
        (200, r#"{"data":[{"url":null}]}"#, "malformed"),
    ] {
        let (access, _) = answering(status, body).await;
        let failure = submit(&access).await.unwrap_err();
        assert_eq!(told(&failure), expected, "{body}");
    }
}

#[tokio::test]
async fn where_they_broke_the_job_has_failed_for_nothing() {
    let broken = r#"{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}"#;
    let (access, _) = answering(500, broken).await;
    let started = submit(&access).await.unwrap();
    assert!(started.files.is_empty());
    let looked = OpenAi::new(client()).check(&access, &started.job).await;
    assert_eq!(shown(&looked), "failed overloaded");
}

#[tokio::test]
async fn a_model_whose_prices_are_not_known_has_no_cost() {
    let made: Made = serde_json::from_str(MADE).unwrap();
    assert_eq!(made.usage.cost("gpt-image-2.6-sunburst"), None);
    assert_eq!(Usage::default().cost("gpt-image-1.5"), None);
    let (access, _) = answering(503, r#"{"error":{"message":"m","code":"slow_down"}}"#).await;
    assert_eq!(
        submit(&access).await.unwrap_err().class(),
        Class::Overloaded
    );
}
