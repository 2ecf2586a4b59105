//! The bill: every accepted request is on it, and one that is made twice shows.

use serde_json::{Value, json};

use crate::App;

async fn image(app: &App, prompt: &str) -> Value {
    let request = app.post("/bfl/v1/flux-2-flex").header("x-key", "any");
    let response = request
        .json(&json!({ "prompt": prompt }))
        .send()
        .await
        .unwrap();
    response.json().await.unwrap()
}

async fn chat(app: &App, provider: &str) {
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "12345678" }], "max_tokens": 3 });
    let path = format!("/{provider}/v1/chat/completions");
    let response = app
        .post(&path)
        .bearer_auth("any")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_job_is_on_the_bill_before_its_submit_is_answered() {
    let app = App::start().await;
    assert_eq!(
        app.json("/bill").await,
        json!({ "jobs": 0, "billed": 0, "by_provider": {} })
    );
    let job = image(&app, "a cat").await;
    image(&app, "a cat").await;
    image(&app, "a dog").await;
    image(&app, "a bird [sandbox outcome=fail]").await;
    let bfl = json!({ "jobs": 4, "billed": 150_000, "repeated": 1 });
    let bill = app.json("/bill").await;
    assert_eq!(
        bill,
        json!({ "jobs": 4, "billed": 150_000, "by_provider": { "bfl": bfl } })
    );
    let jobs = app.json("/bill/jobs?provider=bfl").await["jobs"].clone();
    assert_eq!(jobs.as_array().unwrap().len(), 4);
    assert_eq!(
        (&jobs[0]["id"], &jobs[0]["model"]),
        (&job["id"], &json!("flux-2-flex"))
    );
    assert_eq!(
        (&jobs[0]["kind"], &jobs[0]["billed"]),
        (&json!("image"), &json!(50_000))
    );
    assert_eq!(jobs[0]["prompt_hash"], jobs[1]["prompt_hash"]);
    assert_ne!(jobs[0]["prompt_hash"], jobs[2]["prompt_hash"]);
    assert_eq!(jobs[3]["billed"], 0);
    assert!(!jobs.to_string().contains("a cat"));
}

#[tokio::test]
async fn chat_is_on_the_bill_by_provider() {
    let app = App::start().await;
    chat(&app, "gemini").await;
    chat(&app, "gemini").await;
    chat(&app, "openai").await;
    image(&app, "a cat").await;
    let bill = app.bill_when(|bill| bill["jobs"] == 4).await;
    // Two tokens of the prompt and three of the answer: (2 + 3 × 6) / 2.
    assert_eq!(
        bill["by_provider"]["gemini"],
        json!({ "jobs": 2, "billed": 20, "repeated": 1 })
    );
    assert_eq!(
        bill["by_provider"]["openai"],
        json!({ "jobs": 1, "billed": 10, "repeated": 0 })
    );
    assert_eq!(bill["by_provider"]["bfl"]["jobs"], 1);
    let jobs = app.json("/bill/jobs?provider=openai").await["jobs"].clone();
    assert_eq!(
        (&jobs[0]["kind"], jobs.as_array().unwrap().len()),
        (&json!("chat"), 1)
    );
    assert_eq!(
        app.json("/bill/jobs").await["jobs"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    assert_eq!(
        app.json("/bill/jobs?limit=2").await["jobs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}
