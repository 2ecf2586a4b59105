//! Prices, as far as they are the edge's: quotes, the limit of a request's cost, what an account pays, price lists.

use domain::{AccountId, Scope};
use edge::router::{Access, routes};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, read, refusal};

#[tokio::test]
async fn a_quote_is_asked_of_the_service_that_takes_the_request() {
    let house = House::start().await;
    let key = house
        .key_with(&[Scope::Read], |identity| identity.price_factor = 800_000)
        .0;
    // The body goes on as it was written, spaces and all.
    let text = r#"{"route":"chat/completions","body":{ "model" : "gemini" }}"#;
    let request = house
        .post("/api/v1/quote", &key, text.to_owned())
        .header("x-aio-max-cost-credits", "2.5");
    let answer = read(request).await;
    let expected = json!({
        "expected_credits": 1.25, "max_credits": 5, "affordable": true, "price_version": "v1", "resolved": {"model": "m", "input_tokens_expected": 7},
        "price_factor": 0.8, "expected_microcredits": 1_250_000, "max_microcredits": 5_000_000,
    });
    assert_eq!((answer.0, &answer.1["data"]), (200, &expected));
    {
        let quotes = house.world.chat_quotes.lock().unwrap();
        assert_eq!(quotes[0].body, r#"{ "model" : "gemini" }"#);
        assert_eq!(quotes[0].max_cost, 2_500_000);
        assert_eq!(quotes[0].context.as_ref().unwrap().price_factor, 800_000);
    }
    let text = r#"{"route":"images/generations","body":{"prompt":"a fox"}}"#;
    let answer = read(house.post("/v1/quote", &key, text.to_owned())).await;
    assert_eq!(answer.0, 200);
    let quotes = house.world.media_quotes.lock().unwrap();
    assert_eq!(
        (quotes[0].route.as_str(), quotes[0].max_cost),
        ("images/generations", 0)
    );
}

#[tokio::test]
async fn a_quote_that_cannot_be_says_why() {
    let house = House::start().await;
    let key = house.usual_key();
    for (text, code, says) in [
        ("{", "invalid_json", "not valid JSON"),
        ("{}", "missing_parameter", "route is required"),
        (
            r#"{"route":"credits","body":{}}"#,
            "invalid_parameter",
            "chat/completions, images/generations, videos/generations, ",
        ),
        (
            r#"{"route":"chat/completions"}"#,
            "missing_parameter",
            "body is required",
        ),
        (
            r#"{"route":"chat/completions","body":{},"mode":"live"}"#,
            "unknown_parameter",
            "mode",
        ),
        (
            r#"{"route":"images/generations","body":"refuse"}"#,
            "unknown_model",
            "no such model",
        ),
    ] {
        let (status, answer) = read(house.post("/api/v1/quote", &key, text.to_owned())).await;
        let error = &answer["error"];
        assert_eq!((status, &error["code"]), (400, &json!(code)), "{text}");
        assert!(error["message"].as_str().unwrap().contains(says), "{error}");
    }
}

/// Walks the table, so that a new paid route is either here or fails.
#[tokio::test]
async fn every_paid_route_reads_the_limit_of_its_cost() {
    let house = House::start().await;
    let key = house.usual_key();
    let inference = routes().iter().filter(|route| {
        route.method == Method::POST
            && matches!(
                route.access,
                Access::Scope(Scope::Inference) | Access::Either(Scope::Inference, _)
            )
    });
    let paid: Vec<_> = inference
        .filter(|route| {
            !["/cancel", "/count_tokens", "/files"]
                .iter()
                .any(|free| route.path.ends_with(free))
        })
        .collect();
    assert!(paid.len() >= 3);
    for route in paid {
        let path = format!("/api/v1{}", route.path);
        for wrong in ["", "0", "-1", "cheap", "0.0000001"] {
            let body = r#"{"route":"images/generations","body":{}}"#.to_owned();
            let request = house
                .post(&path, &key, body)
                .header("x-aio-max-cost-credits", wrong);
            let (status, answer) = read(request).await;
            let error = &answer["error"];
            assert_eq!(
                (status, &error["code"], &error["param"]),
                (
                    400,
                    &json!("invalid_parameter"),
                    &json!("x-aio-max-cost-credits")
                ),
                "{path} {wrong:?}"
            );
        }
    }
    let submit = |limit| {
        let request = house.post("/api/v1/images/generations", &key, "{}".to_owned());
        request.header("x-aio-max-cost-credits", limit)
    };
    read(submit("7")).await;
    let ask = house.post("/api/v1/chat/completions", &key, "{}".to_owned());
    read(ask.header("x-aio-max-cost-credits", "0.5")).await;
    assert_eq!(house.world.submits.lock().unwrap()[0].max_cost, 7_000_000);
    assert_eq!(house.world.completions.lock().unwrap()[0].max_cost, 500_000);
}

#[tokio::test]
async fn what_an_account_pays_is_set_exactly() {
    let house = House::start().await;
    let key = house.key(&[Scope::Admin]);
    let account: AccountId = chassis::mint();
    let path = format!("/api/v1/admin/accounts/{account}");
    let patch = |body: &str| {
        house
            .request(Method::PATCH, &path)
            .bearer_auth(&key)
            .body(body.to_owned())
    };
    let (status, answer) = read(patch(r#"{"price_factor":0.8}"#)).await;
    let expected = json!({
        "account_id": account.to_string(), "name": "one", "created_at": "1970-01-01T00:00:01.5Z", "price_factor": 0.8,
    });
    assert_eq!((status, &answer["data"]), (200, &expected));
    {
        let factors = house.world.factors.lock().unwrap();
        assert_eq!(factors[0].price_factor, 800_000);
        assert!(
            factors[0].by.as_ref().unwrap().name.starts_with("key_"),
            "who did it is told"
        );
    }
    for wrong in ["0", "-1", "10.000001", "0.0000001", "\"0.8\"", "true"] {
        let asked = patch(&format!(r#"{{"price_factor":{wrong}}}"#));
        let refused = refusal(asked).await;
        assert_eq!(refused, (400, "invalid_parameter".into()), "{wrong}");
    }
    let refused = refusal(patch("{}")).await;
    assert_eq!(refused, (400, "missing_parameter".into()));
    let list = house.request(Method::GET, "/api/v1/admin/price-lists/abc");
    let (status, answer) = read(list.bearer_auth(&key)).await;
    let expected: Value =
        json!({"version": "abc", "created_at": "1970-01-01T00:00:01.5Z", "list": "#: a.toml\n"});
    assert_eq!((status, &answer["data"]), (200, &expected));
}
