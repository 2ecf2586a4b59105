//! Prices, as far as they are media's: quotes, the customer's own limit, the account's factor, frozen prices, and the table of charges.

use std::sync::Arc;

use db::Engine;
use domain::{
    TaskId,
    charge::{Ending, Kind},
};
use proto::{code, media::v1::SubmitRequest};
use serde_json::{Value, json};

use crate::{
    database::on_both_engines,
    fakes::Submit,
    house::{House, Running, eventually, flux_2, of_its_maker},
};

const PRICE: i64 = 5_000_000;

on_both_engines!(
    a_quote_says_what_would_be_held_and_writes_nothing_down,
    the_customers_own_limit_is_the_most_a_task_may_cost,
    an_account_pays_its_part_and_keeps_it_to_the_end,
    what_is_accepted_keeps_its_price,
    of_pictures_only_those_that_were_made_are_charged,
    what_is_charged_is_what_the_table_says,
);

fn fox() -> Value {
    json!({"model": "flux-2", "prompt": "a fox"})
}

async fn of_pictures_only_those_that_were_made_are_charged(engine: Engine) {
    let counted = "[[params]]\nname = \"num_images\"\ntype = \"integer\"\nmin = 1\nmax = 4\ndefault = 1\n\n\
                   [price]\nunit = \"image\"\nper = \"num_images\"";
    let house = House::new(engine, vec![])
        .await
        .with_model("[price]\nunit = \"call\"", counted);
    let running = house.start().await;
    // This provider makes one picture, whatever it is asked.
    for ordered in [1, 4] {
        let body = json!({"model": "flux-2", "prompt": "a fox", "num_images": ordered});
        let task = running.accepted_with(&body).await;
        let view = running.reaches(task, "completed").await;
        assert_eq!(view["output"].as_array().unwrap().len(), 1);
        assert_eq!(view["consumed_microcredits"], PRICE, "{ordered} ordered");
    }
}

async fn a_quote_says_what_would_be_held_and_writes_nothing_down(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let body = json!({"model": "flux-2", "prompt": "a fox", "type": "flex", "resolution": "2K"});
    house.billing.set_available(24_000_000);
    let quote = running
        .quote(running.request(&body.to_string(), ""))
        .await
        .unwrap();
    assert_eq!(
        (quote.expected, quote.max, quote.affordable),
        (24_000_000, 24_000_000, true)
    );
    let resolved: Value = serde_json::from_slice(&quote.resolved).unwrap();
    assert_eq!(
        (
            &resolved["model"],
            &resolved["type"],
            &resolved["aspect_ratio"]
        ),
        (&json!("flux-2"), &json!("flex"), &json!("1:1"))
    );
    assert_eq!(resolved.get("prompt"), None);
    house.billing.set_available(23_999_999);
    assert!(
        !running
            .quote(running.request(&body.to_string(), ""))
            .await
            .unwrap()
            .affordable
    );
    assert_eq!(house.billing.asked(), 0, "nothing is held");

    for bad in [
        json!({}),
        json!({"model": "none"}),
        json!({"model": "flux-2", "prompt": "a", "seed": -1}),
        json!({"model": "flux-2", "prompt": "a fox", "input_urls": ["http://10.0.0.1/x"]}),
    ] {
        let refused = running.submit(&bad, "").await.unwrap_err();
        let quoted = running
            .quote(running.request(&bad.to_string(), ""))
            .await
            .unwrap_err();
        assert_eq!(quoted, refused, "{bad}");
    }
    let task = running.accepted_with(&body).await;
    eventually("held", async || {
        house.billing.held(&task.to_bytes()) == Some(quote.max)
    })
    .await;
}

async fn the_customers_own_limit_is_the_most_a_task_may_cost(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let limited = |max_cost| SubmitRequest {
        max_cost,
        ..running.request(&fox().to_string(), "")
    };
    let fault = running.send(limited(PRICE - 1)).await.unwrap_err();
    assert_eq!(fault.code, code::MAX_COST_EXCEEDED);
    assert!(fault.message.contains("5 credits"), "{}", fault.message);
    let quoted = running.quote(limited(PRICE - 1)).await.unwrap_err();
    assert_eq!(quoted, fault);
    assert_eq!(house.billing.asked(), 0, "nothing is held");
    running.send(limited(PRICE)).await.unwrap();
}

async fn an_account_pays_its_part_and_keeps_it_to_the_end(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let mut request = running.request(&fox().to_string(), "");
    if let Some(context) = request.context.as_mut() {
        context.price_factor = 800_001;
    }
    let quote = running.quote(request.clone()).await.unwrap();
    let task = accepted(&running, request).await;
    assert_eq!((quote.max, quote.price_factor), (4_000_005, 800_001));
    assert_eq!(house.billing.held(&task.to_bytes()), Some(4_000_005));
    eventually("charged", async || {
        house.billing.settled(&task.to_bytes()) == [4_000_005]
    })
    .await;
    assert_eq!(house.billing.receipts()[0]["price_factor"], 800_001);
}

async fn accepted(running: &Running, request: SubmitRequest) -> TaskId {
    let reply = running.send(request).await.unwrap();
    TaskId::from_slice(&reply.task_id).unwrap()
}

/// The next process has another price list; what was accepted before is charged, and explained, by the old one.
async fn what_is_accepted_keeps_its_price(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    house.provider.answer_polls("Pending");
    let running = house.start().await;
    let task = running.accepted().await;
    running.reaches(task, "processing").await;
    running.dies().await;

    let text = flux_2();
    let dearer = text.replace("microcredits = 5_000_000", "microcredits = 9_000_000");
    let list = of_its_maker(&dearer);
    let house = house.with_catalogue(Arc::clone(&list));
    let running = house.start().await;
    house.provider.finish();
    running.reaches(task, "completed").await;
    eventually("charged", async || {
        house.billing.settled(&task.to_bytes()) == [PRICE]
    })
    .await;
    let old = of_its_maker(&text);
    assert_eq!(house.billing.receipts()[0]["price_version"], old.version());
    let next = running.accepted().await;
    assert_eq!(house.billing.held(&next.to_bytes()), Some(9_000_000));
}

/// Drives every ending that a provider or a customer can cause, and compares what is charged with the table.
async fn what_is_charged_is_what_the_table_says(engine: Engine) {
    let refuse = |status, detail: Value| vec![Submit::Refuse(status, json!({ "detail": detail }))];
    let invalid = json!([{"loc": ["body"], "msg": "too small", "type": "x"}]);
    for (script, polled, ending) in [
        (vec![], "", Ending::Completed),
        (refuse(422, invalid), "", Ending::Invalid),
        (refuse(403, json!("no")), "", Ending::Auth),
        (refuse(402, json!("empty")), "", Ending::Balance),
        (vec![], "Content Moderated", Ending::Moderated),
        (vec![Submit::Drop], "", Ending::SubmitUnknown),
        (vec![], "Pending", Ending::Deadline),
    ] {
        let mut house = House::new(engine, script).await;
        if ending == Ending::Deadline {
            house = house.with_deadline(1);
        }
        if !polled.is_empty() {
            house.provider.answer_polls(polled);
        }
        let running = house.start().await;
        let task = running.accepted().await;
        eventually("settled", async || {
            house.billing.settled(&task.to_bytes()).len() == 1
        })
        .await;
        let receipt = &house.billing.receipts()[0];
        assert_eq!(receipt["class"], ending.as_str());
        let charge = serde_json::to_value(ending.can_happen(Kind::Media).unwrap()).unwrap();
        assert_eq!(receipt["charged"], charge);
        let paid = house.billing.settled(&task.to_bytes()) == [PRICE];
        assert_eq!(paid, ending == Ending::Completed, "{ending:?}");
    }
}
