//! Prices, as far as they are chat's: quotes, the customer's own limit, the account's factor, the price list that is kept, and the table
//! of charges.

use domain::{
    Catalogue, Mode,
    charge::{Charge, Ending, Kind},
};
use proto::{Fault, chat::v1::CompleteRequest, code};
use serde_json::{Value, json};

use crate::{
    app::{App, Collected, compatible, in_openais_words},
    billing::Plan,
    provider::{End, Reply},
};

const ASK: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"max_tokens":1000}"#;
const GOOD: &str = r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":10,"completion_tokens":3}}"#;
const QUICK: &str =
    "[limits.chat.billing]\nhold_try = '100ms'\nhold_window = '400ms'\nfirst_pause = '5ms'";

/// The input bound's price, and the output's.
fn price(body: &str, output: i64) -> i64 {
    i64::try_from(body.len().div_ceil(2)).unwrap() * 50 + output * 300
}

fn request(body: &str) -> CompleteRequest {
    App::request(body, Mode::Test, &[])
}

fn limited(body: &str, max_cost: i64) -> CompleteRequest {
    CompleteRequest {
        max_cost,
        ..request(body)
    }
}

/// A request of an account that pays this part of every price.
fn factored(body: &str, parts_per_million: i64) -> CompleteRequest {
    let mut request = request(body);
    if let Some(context) = request.context.as_mut() {
        context.price_factor = parts_per_million;
    }
    request
}

async fn answer(app: &App, request: CompleteRequest) -> Collected {
    app.provider.will(Reply::whole(200, GOOD));
    Collected::of(app.send(request).await.unwrap()).await
}

#[tokio::test]
async fn a_quote_says_what_would_be_held_and_holds_nothing() {
    let app = App::start().await;
    let quote = app.quote(request(ASK)).await.unwrap();
    assert_eq!((quote.max, quote.affordable), (price(ASK, 1000), true));
    assert!(0 < quote.expected && quote.expected < quote.max);
    let resolved: Value = serde_json::from_slice(&quote.resolved).unwrap();
    assert_eq!(
        (&resolved["model"], &resolved["max_tokens"]),
        (&json!("gemini"), &json!(1000))
    );
    assert_eq!(
        resolved["input_tokens_expected"],
        testkit::input_tokens(ASK).unwrap()
    );
    assert!(!resolved.to_string().contains("foxes"));
    assert!(app.billing.books().holds.is_empty() && app.provider.asked().is_empty());

    answer(&app, request(ASK)).await;
    assert_eq!(app.billing.books().holds[0].amount, quote.max);
    assert_eq!(
        app.billing.books().holds[0].price_version,
        quote.price_version
    );
    for (available, affordable) in [(price(ASK, 256), true), (price(ASK, 256) - 1, false)] {
        app.billing.books().available = available;
        let quote = app.quote(request(ASK)).await.unwrap();
        assert_eq!(quote.affordable, affordable);
    }
    app.settled().await;
}

#[tokio::test]
async fn a_quote_refuses_what_the_request_would_be_refused_with() {
    let app = App::start().await;
    for body in [
        "{",
        "{}",
        r#"{"model":"none","messages":[]}"#,
        r#"{"model":"flux-2","messages":[{"role":"user","content":"x"}]}"#,
        r#"{"model":"gemini","messages":[{"role":"user","content":"x"}],"max_tokens":9999999}"#,
    ] {
        let refused = Fault::from(app.ask(body).await.expect_err("a refusal"));
        let quoted = app.quote(request(body)).await.expect_err("a refusal");
        assert_eq!(quoted, refused, "{body}");
    }
    let live = App::request(ASK, Mode::Live, &[]);
    let quoted = app.quote(live).await.expect_err("a refusal");
    assert_eq!(quoted.code, code::NO_PROVIDER);
}

#[tokio::test]
async fn the_customers_own_limit_is_the_most_that_is_held() {
    let app = App::start().await;
    answer(&app, limited(ASK, price(ASK, 300) + 299)).await;
    assert_eq!(app.billing.books().holds[0].amount, price(ASK, 300) + 299);
    assert_eq!(app.provider.body()["max_tokens"], 300);
    let quote = app.quote(limited(ASK, price(ASK, 300))).await.unwrap();
    assert_eq!(quote.max, price(ASK, 300));

    let asked = app.provider.asked().len();
    for most in [1, price(ASK, 256) - 1] {
        let refused = app.send(limited(ASK, most)).await.expect_err("a refusal");
        let fault = Fault::from(refused);
        assert_eq!(fault.code, code::MAX_COST_EXCEEDED);
        let needed = domain::Micros::new(price(ASK, 256)).to_string();
        assert!(fault.message.contains(&needed), "{}", fault.message);
        let quoted = app.quote(limited(ASK, most)).await.expect_err("a refusal");
        assert_eq!(quoted, fault);
    }
    assert_eq!(app.provider.asked().len(), asked, "nobody is asked");
    assert_eq!(app.billing.books().holds.len(), 1, "nothing is held");
    app.settled().await;
}

#[tokio::test]
async fn an_account_pays_its_part_of_what_is_held_and_charged() {
    let app = App::start().await;
    let quote = app.quote(factored(ASK, 333_333)).await.unwrap();
    let (_, charged) = answer(&app, factored(ASK, 333_333)).await.end();
    // 10 x 50 + 3 x 300 = 1400, of which a third is 466.67: a part of a micro-credit is a whole one.
    assert_eq!(charged, 467);
    let held = app.billing.books().holds[0].amount;
    assert_eq!(held, (price(ASK, 1000) * 333_333 + 999_999) / 1_000_000);
    assert_eq!((quote.max, quote.price_factor), (held, 333_333));
    let (_, receipt) = app.billing.captured();
    assert_eq!(
        (&receipt["price_factor"], &receipt["cost_microcredits"]),
        (&json!(333_333), &json!(467))
    );
    app.settled().await;
}

#[tokio::test]
async fn a_price_list_is_kept_once_before_anything_is_held_by_it() {
    let app = App::with(QUICK, compatible()).await;
    let away = || Plan::Refuse(Fault::new(code::SERVICE_UNAVAILABLE, "away"));
    app.billing.books().list_plans = vec![away(); 200].into();
    let fault = app.refused(ASK).await;
    assert_eq!(fault.code, code::BILLING_UNAVAILABLE);
    assert!(app.billing.books().holds.is_empty(), "nothing is held");

    app.billing.books().list_plans = [away(), Plan::Answer].into();
    answer(&app, request(ASK)).await;
    let list = compatible();
    assert_eq!(app.billing.books().lists[list.version()], list.list());
    app.billing.books().list_plans = vec![away(); 200].into();
    answer(&app, request(ASK)).await;
    assert_eq!(app.billing.books().list_plans.len(), 200, "asked once");
    app.settled().await;
}

#[tokio::test]
async fn the_price_in_force_counts() {
    let gemini = in_openais_words(include_str!(
        "../../../../crates/domain/catalogue/gemini.toml"
    ));
    let later = |from: &str, output: i64| {
        format!(
            "[[prices]]\neffective_from = \"{from}\"\nunit = \"token\"\ninput = 50\ncached = 5\noutput = {output}\n\n[[providers]]"
        )
    };
    let text = gemini.replacen("[[providers]]", &later("2020-01-01T00:00:00Z", 600), 1);
    let text = text.replacen("[[providers]]", &later("2999-01-01T00:00:00Z", 900), 1);
    let app = App::with("", Catalogue::parse(&[("gemini.toml", &text)]).unwrap()).await;
    let (_, charged) = answer(&app, request(ASK)).await.end();
    assert_eq!(charged, 10 * 50 + 3 * 600);
    let (_, receipt) = app.billing.captured();
    assert_eq!(receipt["effective_from"], "2020-01-01T00:00:00Z");
    app.settled().await;
}

/// Three tokens that came, and how they end.
fn three(after: &str) -> String {
    let token = "data: {\"choices\":[{\"delta\":{\"content\":\"abcd\"},\"finish_reason\":null}],\"usage\":null}\n\n";
    format!("{}{after}", token.repeat(3))
}

const BOTH: &[Kind] = &[Kind::ChatWhole, Kind::ChatStream];
const WHOLE: &[Kind] = &[Kind::ChatWhole];
const STREAM: &[Kind] = &[Kind::ChatStream];

/// What a provider answers, how that ends, and for which kinds.
fn answers() -> Vec<(Reply, Ending, &'static [Kind])> {
    let error =
        |code: &str| format!(r#"{{"error":{{"message":"no","type":"x","code":"{code}"}}}}"#);
    let moderated = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\ndata: {\"error\":{\"message\":\"m\",\"code\":\"content_policy_violation\"}}\n\n";
    let begun = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n";
    vec![
        (Reply::whole(200, GOOD), Ending::Completed, WHOLE),
        (
            Reply::stream(&three(begun), End::Close),
            Ending::Completed,
            STREAM,
        ),
        (
            Reply::whole(401, &error("invalid_api_key")),
            Ending::Auth,
            BOTH,
        ),
        (Reply::whole(402, ""), Ending::Balance, BOTH),
        (Reply::whole(429, ""), Ending::RateLimited, BOTH),
        (Reply::whole(503, ""), Ending::Overloaded, BOTH),
        (Reply::whole(400, &error("bad")), Ending::Invalid, BOTH),
        (
            Reply::whole(404, &error("model_not_found")),
            Ending::Gone,
            BOTH,
        ),
        (
            Reply::whole(400, &error("content_policy_violation")),
            Ending::Moderated,
            BOTH,
        ),
        (Reply::whole(200, "nonsense"), Ending::Malformed, WHOLE),
        (
            Reply::stream("data: nonsense\n\n", End::Close),
            Ending::Malformed,
            STREAM,
        ),
        (Reply::silence(), Ending::Unknown, BOTH),
        (
            Reply::stream(&three(""), End::Break),
            Ending::UpstreamCut,
            STREAM,
        ),
        (
            Reply::stream(&three(moderated), End::Close),
            Ending::Moderated,
            STREAM,
        ),
    ]
}

/// Drives every ending that a provider can cause through both kinds, and compares what is charged with the table.
#[tokio::test]
async fn what_is_charged_is_what_the_table_says() {
    let settings = "[limits.chat]\nwhole_answer_timeout = '300ms'\n[limits.upstream]\nfirst_byte_timeout = '300ms'";
    for (reply, ending, kinds) in answers() {
        for kind in kinds {
            let app = App::with(settings, compatible()).await;
            app.provider.will(reply.clone());
            let mut body: Value = serde_json::from_str(ASK).unwrap();
            body["stream"] = (*kind == Kind::ChatStream).into();
            let arrived = match app.ask(&body.to_string()).await {
                Ok(events) => !Collected::of(events).await.data.is_empty(),
                Err(_refused) => false,
            };
            app.settled().await;
            let books = app.billing.books();
            let settle = books.settles.first().unwrap();
            let receipt = books.checked(settle);
            assert_eq!(receipt["class"], ending.as_str(), "{kind:?} {reply:?}");
            let due = match ending.can_happen(*kind).unwrap() {
                Charge::Nothing => false,
                Charge::WhatArrived => arrived,
                Charge::InFull => true,
            };
            assert_eq!(settle.amount > 0, due, "{kind:?} {ending:?}");
        }
    }
}
