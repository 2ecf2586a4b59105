//! Several models in one request: another one answers where the first cannot, and is charged at its own price.

use domain::Mode;
use proto::{chat::v1::CompleteRequest, code};
use serde_json::{Value, json};

use crate::{
    app::{App, Collected},
    provider::{End, Reply},
    shop::{Shop, body, good},
};

/// What one token of input and one of output cost: of `gemini` and its like, and of `dear`.
const CHEAP: i64 = 50 + 300;
const DEAR: i64 = 500 + 3_000;

/// One for these models.
fn of(models: &[&str]) -> String {
    body(&format!(r#""models":{}"#, json!(models)))
}

/// What is held for a request at ten times the usual price.
fn most(body: &str) -> i64 {
    i64::try_from(body.len().div_ceil(2)).unwrap() * 500 + 1_000 * 3_000
}

fn named(model: &str) -> Reply {
    let body = format!(
        r#"{{"model":"{model}","choices":[{{"message":{{"content":"hi"}}}}],"usage":{{"prompt_tokens":1,"completion_tokens":1}}}}"#
    );
    Reply::whole(200, &body)
}

fn attempt(provider: &str, model: &str, outcome: &str) -> Value {
    json!({"provider": provider, "model": model, "outcome": outcome})
}

#[tokio::test]
async fn another_model_answers_where_the_first_cannot_and_is_charged_at_its_own_price() {
    let text = body(r#""model":"first","models":["dear"]"#);
    for (status, class) in [
        (429, "rate_limited"),
        (500, "overloaded"),
        (404, "gone"),
        (401, "auth"),
    ] {
        let shop = Shop::of(&["", ""], "").await;
        shop.will(1, Reply::whole(status, ""));
        shop.will(2, named("m-2030-01-31"));
        let answer = shop.ask(&text).await.unwrap();
        let head = answer.head.as_ref().unwrap();
        assert_eq!((&*head.provider, &*head.model), ("p2", "dear"));
        let (tail, charged) = answer.end();
        assert_eq!(charged, DEAR);
        assert!(
            tail[0].starts_with(r#"{"model":"dear","choices""#),
            "{tail:?}"
        );
        let receipt = shop.last_receipt();
        assert_eq!(
            (&receipt["requested_model"], &receipt["model"]),
            (&json!("first"), &json!("dear"))
        );
        assert_eq!(
            receipt["attempts"],
            json!([
                attempt("p1", "first", class),
                attempt("p2", "dear", "answered")
            ])
        );
        // One hold, which pays for the dearest.
        let holds = shop.app.billing.books().holds.clone();
        assert_eq!(
            holds.iter().map(|hold| hold.amount).collect::<Vec<_>>(),
            [most(&text)]
        );
        // Who shall answer is nobody's business but ours.
        let asked = shop.asked_for(2);
        assert_eq!(asked["model"], "m");
        assert!(asked.get("models").is_none() && asked["max_tokens"] == 1000);
        shop.app.settled().await;
    }
}

#[tokio::test]
async fn the_first_model_that_can_answers_and_no_other_is_paid() {
    let shop = Shop::of(&["", ""], "").await;
    // Named twice, and under another name, it is one model.
    let text = body(r#""model":"first","models":["first","dear","other"]"#);
    shop.will(1, named("x"));
    let answer = shop.ask(&text).await.unwrap();
    assert_eq!(answer.end().1, CHEAP);
    assert_eq!(answer.head.unwrap().model, "first");
    assert_eq!(shop.app.billing.books().holds[0].amount, most(&text));
    let receipt = shop.last_receipt();
    assert_eq!(
        receipt["attempts"],
        json!([attempt("p1", "first", "answered")])
    );
    assert_eq!(receipt["requested_model"], "first");
    // One model in a list is as one without a list.
    shop.will(1, named("x"));
    let answer = shop.ask(&of(&["first"])).await.unwrap();
    assert!(answer.end().0[0].starts_with(r#"{"model":"x""#));
    let receipt = shop.last_receipt();
    assert!(receipt.get("requested_model").is_none());
    assert_eq!(
        receipt["attempts"],
        json!([{"provider": "p1", "outcome": "answered"}])
    );
    assert_eq!(shop.asked(2), 0);
    shop.app.settled().await;
}

#[tokio::test]
async fn a_low_balance_lowers_the_output_by_the_price_of_whoever_is_asked() {
    let shop = Shop::of(&["", ""], "").await;
    let text = body(r#""model":"first","models":["dear"]"#);
    let floor = most(&text) - (1_000 - 300) * 3_000;
    shop.app.billing.books().available = floor;
    shop.will(1, Reply::whole(500, ""));
    shop.will(2, good());
    assert_eq!(shop.served(&text).await, "p2");
    // What pays for 300 tokens of one pays for all of the other.
    assert_eq!(shop.asked_for(1)["max_tokens"], 1000);
    assert_eq!(shop.asked_for(2)["max_tokens"], 300);
    shop.app.billing.books().available = most(&text) - (1_000 - 255) * 3_000;
    let refused = shop.refused(&text).await;
    assert_eq!(refused.code, code::INSUFFICIENT_CREDITS);
    assert_eq!((shop.asked(1), shop.asked(2)), (1, 1));
    shop.app.settled().await;
}

#[tokio::test]
async fn a_stream_names_the_model_in_every_event() {
    let shop = Shop::of(&["", ""], "").await;
    shop.will(1, Reply::stream("", End::Close));
    shop.will(1, Reply::whole(503, ""));
    let events = "data: {\"model\":\"x\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n\
         data: {\"model\":\"x\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n";
    shop.will(2, Reply::stream(events, End::Close));
    let stream =
        r#""stream":true,"stream_options":{"include_usage":true},"models":["first","dear"]"#;
    // An empty stream is no answer, and may be paid: nobody else is asked.
    assert_eq!(
        shop.refused(&body(stream)).await.code,
        code::UPSTREAM_FAILED
    );
    assert_eq!(shop.last_receipt()["class"], "malformed");
    let answer = shop.ask(&body(stream)).await.unwrap();
    let (tail, charged) = answer.end();
    assert_eq!(charged, DEAR);
    for event in answer.data.iter().chain(&tail) {
        assert!(event.starts_with(r#"{"model":"dear""#), "{event}");
    }
    shop.app.settled().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_wrong_for_every_model() {
    let shop = Shop::of(&["", ""], "").await;
    for status in [400, 451] {
        shop.will(1, Reply::whole(status, ""));
        shop.refused(&of(&["first", "dear"])).await;
        assert_eq!(shop.last_receipt()["model"], "first");
    }
    assert_eq!(shop.asked(2), 0);
    shop.app.settled().await;
}

#[tokio::test]
async fn a_model_that_nobody_can_be_asked_for_is_passed_over() {
    let settings = "[limits.chat.breaker]\nfailures = 1\npause = '1h'\nlongest = '1h'";
    let shop = Shop::of(&["", ""], settings).await;
    // Nobody is configured.
    shop.will(2, good());
    let answer = shop.ask(&of(&["nowhere", "dear"])).await.unwrap();
    assert_eq!(answer.head.unwrap().model, "dear");
    assert_eq!(shop.last_receipt()["requested_model"], "nowhere");
    assert_eq!(
        shop.refused(&of(&["nowhere"])).await.code,
        code::NO_PROVIDER
    );
    // All are left alone.
    shop.will(1, Reply::whole(500, ""));
    shop.refused(&of(&["first"])).await;
    for _ in 0..3 {
        shop.will(2, good());
        assert_eq!(shop.served(&of(&["first", "nowhere", "dear"])).await, "p2");
        assert_eq!(
            shop.last_attempts(),
            json!([attempt("p2", "dear", "answered")])
        );
    }
    assert_eq!(shop.asked(1), 1);
    let busy = shop.refused(&of(&["first", "nowhere"])).await;
    assert_eq!(busy.code, code::UPSTREAM_BUSY);
    shop.app.settled().await;
}

#[tokio::test]
async fn every_model_has_one_of_the_calls() {
    let settings =
        "[limits.chat.failover]\nmax_candidates = 3\n[limits.chat.breaker]\nfailures = 100";
    let shop = Shop::of(&["", "", "", ""], settings).await;
    let calls = async |models: &[&str]| {
        for place in 1..=4 {
            (0..4).for_each(|_| shop.will(place, Reply::whole(500, "")));
        }
        shop.refused(&of(models)).await;
        let attempts = shop.last_attempts();
        let call = |call: &Value| {
            let word = |name: &str| call[name].as_str().unwrap_or("-").to_owned();
            format!("{} {}", word("provider"), word("model"))
        };
        let calls: Vec<String> = attempts.as_array().unwrap().iter().map(call).collect();
        calls.join(", ")
    };
    assert_eq!(calls(&["gemini"]).await, "p1 -, p2 -, p3 -");
    assert_eq!(
        calls(&["gemini", "first"]).await,
        "p1 gemini, p2 gemini, p1 first"
    );
    assert_eq!(
        calls(&["gemini", "first", "dear"]).await,
        "p1 gemini, p1 first, p4 dear"
    );
    assert_eq!(
        calls(&["gemini", "first", "dear", "other"]).await,
        "p1 gemini, p1 first, p4 dear, p4 other"
    );
}

#[tokio::test]
async fn each_model_must_be_one_that_the_key_may_use() {
    let shop = Shop::of(&["", ""], "").await;
    let cases: [(String, &[&str], proto::Code, &str); 8] = [
        (
            of(&["first", "none"]),
            &[],
            code::UNKNOWN_MODEL,
            "models[1]",
        ),
        (
            of(&["first", "dear"]),
            &["first"],
            code::MODEL_NOT_ALLOWED,
            "models[1]",
        ),
        (
            of(&["dear", "first"]),
            &["first"],
            code::MODEL_NOT_ALLOWED,
            "models[0]",
        ),
        (
            body(r#""model":"none","models":["first"]"#),
            &[],
            code::UNKNOWN_MODEL,
            "model",
        ),
        (of(&["first"; 5]), &[], code::INVALID_PARAMETER, "models"),
        (of(&[]), &[], code::INVALID_PARAMETER, "models"),
        (
            body(r#""models":"first""#),
            &[],
            code::INVALID_PARAMETER,
            "models",
        ),
        (
            body(r#""models":null"#),
            &[],
            code::MISSING_PARAMETER,
            "model",
        ),
    ];
    for (text, allowed, code, param) in cases {
        let request = || App::request(&text, Mode::Live, allowed);
        let fault = shop.send(request()).await.expect_err("a refusal");
        assert_eq!(
            (fault.code, fault.param.as_deref()),
            (code, Some(param)),
            "{text}"
        );
        assert!(fault.message.contains(param), "{}", fault.message);
        let quoted = shop.app.quote(request()).await.expect_err("a refusal");
        assert_eq!(quoted, fault);
    }
    assert!(shop.app.billing.books().holds.is_empty());
    let quote = shop
        .app
        .quote(App::request(&of(&["first", "dear"]), Mode::Live, &[]));
    let quote = quote.await.unwrap();
    assert_eq!(quote.max, most(&of(&["first", "dear"])));
    let resolved: Value = serde_json::from_slice(&quote.resolved).unwrap();
    assert_eq!(resolved["model"], "first");
    assert_eq!(resolved["models"], json!(["first", "dear"]));
    // A limit of the customer's own is for whichever model answers.
    let limited = CompleteRequest {
        max_cost: 300_000,
        ..App::request(&of(&["first", "dear"]), Mode::Live, &[])
    };
    let fault = shop.send(limited).await.expect_err("a refusal");
    assert_eq!(fault.code, code::MAX_COST_EXCEEDED);
    shop.app.settled().await;
}

#[tokio::test]
async fn a_key_stands_for_the_answer_of_whichever_model_gave_it() {
    let shop = Shop::of(&["", ""], "").await;
    let account = App::request("", Mode::Live, &[]).context;
    let keyed = || CompleteRequest {
        idempotency_key: "k".to_owned(),
        context: account.clone(),
        ..App::request(&of(&["first", "dear"]), Mode::Live, &[])
    };
    shop.will(1, Reply::whole(500, ""));
    shop.will(2, named("x"));
    let first: Collected = shop.send(keyed()).await.unwrap();
    let again = shop.send(keyed()).await.unwrap();
    assert_eq!(first.end(), again.end());
    assert_eq!(again.end().1, DEAR);
    let head = again.head.unwrap();
    assert!(head.replayed && head.model == "dear" && head.provider == "p2");
    assert_eq!(shop.app.billing.books().charges(), [DEAR]);
    shop.app.settled().await;
}

#[tokio::test]
async fn who_shall_answer_stays_with_us_and_nothing_else_changes() {
    let shop = Shop::of(&[""], "").await;
    let hi = r#""messages":[{"role":"user","content":"hi"}]"#;
    let ours = r#""provider":{"only":["p1"]},"models" : ["gemini", "first"]"#;
    for (text, expected) in [
        (
            format!(r#"{{"model":"gemini",{hi}}}"#),
            format!(r#"{{"max_tokens":8192,"model":"m",{hi}}}"#),
        ),
        (
            format!(r#"{{"model":"gemini",{ours},{hi},"max_tokens":9}}"#),
            format!(r#"{{"model":"m",{hi},"max_tokens":9}}"#),
        ),
        (
            format!(r#"{{{ours},{hi},"max_tokens":9}}"#),
            format!(r#"{{"model":"m",{hi},"max_tokens":9}}"#),
        ),
        (
            format!(r#"{{"model":null,{hi}, {ours}}}"#),
            format!(r#"{{"max_tokens":8192,"model":"m",{hi}}}"#),
        ),
        (
            format!(r#"{{ {hi} , {ours} ,"metadata":{{}} }}"#),
            format!(r#"{{"model":"m","max_tokens":8192, {hi}  }}"#),
        ),
    ] {
        shop.will(1, good());
        shop.served(&text).await;
        assert_eq!(
            shop.provider(1).asked().last().unwrap().body,
            expected,
            "{text}"
        );
    }
    shop.app.settled().await;
}
