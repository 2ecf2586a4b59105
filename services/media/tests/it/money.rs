//! What a submit costs, what a refusal leaves, and what a repeat does.

use proto::code;
use serde_json::json;

use crate::{
    fakes::Holds,
    house::{House, eventually},
};

#[tokio::test]
async fn a_refused_hold_leaves_no_task_and_frees_the_key() {
    let house = House::new(vec![]).await;
    let running = house.start().await;
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    house.billing.answer_holds(Holds::Refuse);
    let fault = running.submit(&body, "k1").await.unwrap_err();
    assert_eq!(
        (fault.code, fault.message.as_str()),
        (
            code::INSUFFICIENT_CREDITS,
            "this needs 5 credits; 0 are available"
        )
    );

    house.billing.answer_holds(Holds::Grant);
    let accepted = running.submit(&body, "k1").await.unwrap();
    assert!(!accepted.replayed);
    assert_eq!(
        house.billing.settlements(),
        0,
        "nothing was held, so nothing is released"
    );
}

#[tokio::test]
async fn with_billing_away_the_hold_is_released_in_case_it_stands() {
    let house = House::new(vec![]).await;
    let running = house.start().await;
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    house.billing.answer_holds(Holds::Away);
    let fault = running.submit(&body, "k1").await.unwrap_err();
    assert_eq!(fault.code, code::BILLING_UNAVAILABLE);
    assert!(fault.retry_after.is_some());
    eventually("released", async || house.billing.settlements() == 1).await;

    house.billing.answer_holds(Holds::Grant);
    assert!(
        !running.submit(&body, "k1").await.unwrap().replayed,
        "the key is free"
    );
}

#[tokio::test]
async fn fifty_submits_with_one_key_are_one_task() {
    let house = House::new(vec![]).await;
    let running = house.start().await;
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    let submits = futures::future::join_all((0..50).map(|_| running.submit(&body, "k1"))).await;
    let mut tasks = Vec::new();
    for submit in submits {
        match submit {
            Ok(reply) => tasks.push(reply.task_id),
            Err(fault) => assert_eq!(fault.code, code::IDEMPOTENCY_IN_PROGRESS),
        }
    }
    tasks.dedup();
    assert_eq!(
        tasks.len(),
        1,
        "one task, and at least one answer that names it"
    );

    let other = json!({"model": "flux-2", "prompt": "a cat"});
    assert_eq!(
        running.submit(&other, "k1").await.unwrap_err().code,
        code::IDEMPOTENCY_MISMATCH
    );
    assert!(running.submit(&body, "k1").await.unwrap().replayed);
    assert!(
        !running
            .stranger()
            .submit(&body, "k1")
            .await
            .unwrap()
            .replayed,
        "a key guards its account alone"
    );
}

#[tokio::test]
async fn a_key_is_guarded_for_its_time_only() {
    let house = House::new(vec![]).await.with_media("idempotency = '1ms'");
    let running = house.start().await;
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    let first = running.submit(&body, "k1").await.unwrap();
    eventually("guarded no longer", async || {
        let again = running.submit(&body, "k1").await.unwrap();
        !again.replayed && again.task_id != first.task_id
    })
    .await;
}

#[tokio::test]
async fn bad_requests_name_what_is_wrong() {
    let house = House::new(vec![]).await;
    let running = house.start().await;
    for (body, code, param) in [
        (json!([1]), code::INVALID_JSON, None),
        (
            json!({"prompt": "a fox"}),
            code::MISSING_PARAMETER,
            Some("model"),
        ),
        (json!({"model": 3}), code::INVALID_PARAMETER, Some("model")),
        (
            json!({"model": "flux-3", "prompt": "a fox"}),
            code::UNKNOWN_MODEL,
            Some("model"),
        ),
        (
            json!({"model": "gemini", "prompt": "a fox"}),
            code::UNKNOWN_MODEL,
            Some("model"),
        ),
        (
            json!({"model": "flux-2"}),
            code::MISSING_PARAMETER,
            Some("prompt"),
        ),
        (
            json!({"model": "flux-2", "prompt": 5}),
            code::INVALID_PARAMETER,
            Some("prompt"),
        ),
        (
            json!({"model": "flux-2", "prompt": "a fox", "size": 1}),
            code::UNKNOWN_PARAMETER,
            Some("size"),
        ),
        (
            json!({"model": "flux-2", "prompt": "a fox", "callback_url": 1}),
            code::INVALID_PARAMETER,
            Some("callback_url"),
        ),
        (
            json!({"model": "flux-2", "prompt": "a fox", "callback_url": "http://169.254.169.254/"}),
            code::FORBIDDEN_URL,
            Some("callback_url"),
        ),
        (
            json!({"model": "flux-2", "prompt": "a fox", "input_urls": ["https://10.0.0.1/x.png"]}),
            code::FORBIDDEN_URL,
            Some("input_urls[0]"),
        ),
    ] {
        let fault = running.submit(&body, "").await.unwrap_err();
        assert_eq!(
            (fault.code, fault.param.as_deref()),
            (code, param),
            "{body}: {}",
            fault.message
        );
    }
    assert_eq!(house.provider.submits().len(), 0);
}
