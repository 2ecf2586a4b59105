//! What a submit costs, what a refusal leaves, and what a repeat does.

use std::collections::HashSet;

use db::Engine;
use domain::TaskId;
use proto::code;
use serde_json::json;

use crate::{
    database::on_both_engines,
    fakes::Holds,
    house::{House, eventually},
};

const PRICE: i64 = 5_000_000;

on_both_engines!(
    a_refused_hold_leaves_no_task_and_frees_the_key,
    a_refusal_after_a_silent_try_releases_what_that_may_hold,
    a_refusal_after_a_failed_try_releases_what_that_may_hold,
    with_billing_away_the_hold_is_released_in_case_it_stands,
    a_task_that_is_under_way_already_was_accepted,
    after_its_time_a_submit_says_what_is_true,
    a_repeat_waits_a_moment_for_the_first,
    fifty_submits_with_one_key_are_one_task,
    a_key_is_guarded_for_its_time_only,
    what_changes_in_the_catalogue_meanwhile_changes_no_charge,
    bad_requests_name_what_is_wrong,
    a_name_that_comes_twice_is_refused,
    without_a_sandbox_test_keys_are_told_so,
);

async fn a_refused_hold_leaves_no_task_and_frees_the_key(engine: Engine) {
    let house = House::new(engine, vec![]).await;
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
    house.provider.answer_polls("Pending");
    let accepted = running.submit(&body, "k1").await.unwrap();
    assert!(!accepted.replayed);
    assert_eq!(
        house.billing.settlements(),
        0,
        "nothing was held, so nothing is released"
    );
}

async fn a_refusal_after_a_silent_try_releases_what_that_may_hold(engine: Engine) {
    refused_after(engine, Holds::Silent).await;
}

async fn a_refusal_after_a_failed_try_releases_what_that_may_hold(engine: Engine) {
    refused_after(engine, Holds::Away).await;
}

/// A process of billing that answers so may hold later, when another one has refused.
async fn refused_after(engine: Engine, first: Holds) {
    let house = House::new(engine, vec![])
        .await
        .with_other("hold_timeout = '1s'", "hold_timeout = '1m'");
    let running = house.start().await;
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    house.billing.answer_holds(first);
    let (submitted, ()) = futures::join!(running.submit(&body, "k1"), async {
        eventually("asked", async || house.billing.asked() > 0).await;
        house.billing.answer_holds(Holds::Refuse);
    });
    assert_eq!(submitted.unwrap_err().code, code::INSUFFICIENT_CREDITS);
    eventually("released", async || house.billing.settlements() == 1).await;
    assert_eq!(house.billing.receipts()[0]["class"], "never_accepted");

    house.billing.answer_holds(Holds::Grant);
    assert!(
        !running.submit(&body, "k1").await.unwrap().replayed,
        "the key is free"
    );
}

/// As when the answer to the commit that accepts a task is lost, and a worker takes the task before the second try.
async fn a_task_that_is_under_way_already_was_accepted(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_other("hold_timeout = '1s'", "hold_timeout = '1m'");
    let running = house.start().await;
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    house.billing.answer_holds(Holds::Silent);
    let (submitted, ()) = futures::join!(running.submit(&body, ""), async {
        eventually("asked", async || house.billing.asked() > 0).await;
        let taken: Result<(), media::Error> = running
            .db
            .write(|connection| {
                Box::pin(async move {
                    let sql = "update task set state = 'starting', version = 3, claims = 1, lease_until = 1";
                    sqlx::query(sql).execute(connection).await?;
                    Ok(())
                })
            })
            .await;
        taken.unwrap();
        house.billing.answer_holds(Holds::Grant);
    });
    let task = TaskId::from_slice(&submitted.unwrap().task_id).unwrap();
    running.reaches(task, "completed").await;
    eventually("charged", async || {
        house.billing.settled(&task.to_bytes()) == [PRICE]
    })
    .await;
}

/// Without any time to accept, tasks are accepted or given up in the moment after: each as its customer was told.
async fn after_its_time_a_submit_says_what_is_true(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_other("accept_timeout = '10s'", "accept_timeout = '0s'");
    let running = house.start().await;
    let mut accepted = HashSet::new();
    for _ in 0..20 {
        let body = json!({"model": "flux-2", "prompt": "a fox"});
        match running.submit(&body, "").await {
            Ok(reply) => drop(accepted.insert(reply.task_id.to_vec())),
            Err(fault) => assert_eq!(fault.code, code::SERVICE_UNAVAILABLE),
        }
    }
    eventually("settled", async || house.billing.settlements() == 20).await;
    for task in house.billing.tasks() {
        let charged = if accepted.contains(&task) { PRICE } else { 0 };
        assert_eq!(house.billing.settled(&task), [charged]);
    }
}

async fn with_billing_away_the_hold_is_released_in_case_it_stands(engine: Engine) {
    let house = House::new(engine, vec![]).await;
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

async fn a_repeat_waits_a_moment_for_the_first(engine: Engine) {
    let house = House::new(engine, vec![]).await.with_submit("wait = '30s'");
    let running = house.start().await;
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    house.billing.answer_holds(Holds::Silent);
    let repeat = async {
        eventually("the hold is asked for", async || house.billing.asked() == 1).await;
        let grant = async { house.billing.answer_holds(Holds::Grant) };
        tokio::join!(running.submit(&body, "k1"), grant).0
    };
    let (first, repeat) = tokio::join!(running.submit(&body, "k1"), repeat);
    let (first, repeat) = (first.unwrap(), repeat.unwrap());
    assert_eq!((first.replayed, repeat.replayed), (false, true));
    assert_eq!(first.task_id, repeat.task_id);
}

async fn fifty_submits_with_one_key_are_one_task(engine: Engine) {
    let house = House::new(engine, vec![]).await;
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

async fn a_key_is_guarded_for_its_time_only(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_submit("idempotency = '1ms'");
    let running = house.start().await;
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    let first = running.submit(&body, "k1").await.unwrap();
    eventually("guarded no longer", async || {
        let again = running.submit(&body, "k1").await.unwrap();
        !again.replayed && again.task_id != first.task_id
    })
    .await;
}

/// The price is that of the submit; and a model that is sold no longer costs its customers nothing.
async fn what_changes_in_the_catalogue_meanwhile_changes_no_charge(engine: Engine) {
    for (line, other, end, charged) in [
        (
            "microcredits = 5_000_000",
            "microcredits = 9_000_000",
            "completed",
            PRICE,
        ),
        ("slug = \"flux-2\"", "slug = \"flux-3\"", "failed", 0),
    ] {
        let house = House::new(engine, vec![]).await.with_deadline(6);
        house.provider.answer_polls("Pending");
        let before = house.start().await;
        let task = before.accepted().await;
        before.reaches(task, "processing").await;
        eventually("submitted", async || house.provider.submits().len() == 1).await;
        before.dies().await;

        let house = house.with_model(line, other);
        let after = house.start().await;
        house.provider.finish();
        let view = after.reaches(task, end).await;
        assert_eq!(view["consumed_microcredits"], charged);
        eventually("settled", async || {
            house.billing.settled(&task.to_bytes()) == [charged]
        })
        .await;
    }
}

async fn bad_requests_name_what_is_wrong(engine: Engine) {
    let house = House::new(engine, vec![]).await;
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

async fn a_name_that_comes_twice_is_refused(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let body = r#"{"model": "flux-2", "prompt": "a fox", "prompt": "a cat"}"#;
    let fault = running.submit_text(body, "").await.unwrap_err();
    assert_eq!(fault.code, code::INVALID_JSON);
    assert!(fault.message.contains("twice"), "{}", fault.message);
}

async fn without_a_sandbox_test_keys_are_told_so(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start_with_sandbox(None).await;
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    let fault = running.submit(&body, "").await.unwrap_err();
    assert_eq!(fault.code, code::NO_PROVIDER);
    assert!(fault.message.contains("sandbox"), "{}", fault.message);
}
