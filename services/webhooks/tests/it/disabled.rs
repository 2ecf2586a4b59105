//! Endpoints that are gone or fail for good, and who is told.

use db::Engine;
use proto::{
    code,
    webhooks::v1::{GetAlertSecretRequest, RecoverRequest, UpdateEndpointRequest},
};
use serde_json::Value;

use crate::{
    app::{FAST, Home, event, start, until},
    database::on_both_engines,
    manage::{Owner, id, verifies},
    sink::{Reply, Sink},
};

on_both_engines!(
    an_endpoint_that_is_gone_is_disabled_and_what_waits_is_parked,
    what_its_owner_disables_is_sent_nothing,
    an_endpoint_that_fails_for_long_is_disabled_after_more_than_one_failure,
    the_end_of_a_delivery_is_told_to_the_others_and_no_notice_to_anybody,
    a_callback_that_is_gone_ends_alone,
    the_operator_is_told_where_they_say,
);

fn let_go_on() -> UpdateEndpointRequest {
    UpdateEndpointRequest {
        disabled: Some(false),
        ..UpdateEndpointRequest::default()
    }
}

/// Checks that a disabled endpoint is sent nothing, new or again.
async fn is_sent_nothing(owner: &Owner<'_>, endpoint: &[u8], parked: &[u8]) {
    // Nothing new is made for it, and nothing is sent again.
    let nobody = owner.tell().await;
    assert!(owner.of(nobody).await.is_empty());
    let refused = [
        owner.replay(parked).await.err(),
        owner.test(endpoint, "").await.err(),
        owner
            .recover(RecoverRequest {
                endpoint_id: endpoint.to_vec().into(),
                ..RecoverRequest::default()
            })
            .await
            .err(),
    ];
    for fault in refused {
        assert_eq!(fault.unwrap().code, code::ENDPOINT_UNAVAILABLE);
    }
    assert_eq!(
        owner.recover(RecoverRequest::default()).await.unwrap(),
        (0, false)
    );
}

/// Checks that another endpoint was told that this one is gone.
async fn is_told(other: &Sink, secret: &str, gone: &[u8]) {
    let told = other.saw(1).await.pop().unwrap();
    assert!(verifies(secret, &told));
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(told["type"], "webhook.disabled");
    assert_eq!(told["data"]["reason"], "gone");
    assert_eq!(told["data"]["last_status"], 410);
    let named = domain::EndpointId::from_slice(gone).unwrap().to_string();
    assert_eq!(told["data"]["endpoint_id"], named);
}

async fn an_endpoint_that_is_gone_is_disabled_and_what_waits_is_parked(engine: Engine) {
    let sink = Sink::start(|before| match before {
        0 => Reply::Status(500),
        1 => Reply::Status(410),
        _ => Reply::Status(200),
    })
    .await;
    let other = Sink::start(|_| Reply::Status(200)).await;
    let slow = "schedule = ['0s', '1h']\npoll = '5ms'\nsweep = '20ms'\njitter_percent = 0";
    let (_home, app) = start(engine, slow).await;
    let owner = Owner::new(&app);
    let made = owner.register(&sink.url("/"), &["balance.low"]).await;
    let watching = owner.register(&other.url("/"), &["webhook.disabled"]).await;
    let waiting = owner.tell().await;
    sink.saw(1).await;
    let gone = owner.tell().await;
    let dead = owner.event_reaches(gone, "dead").await;
    assert_eq!(dead.delivery.unwrap().last_status, 410);
    // It was to be tried again in an hour.
    let parked = owner.event_reaches(waiting, "dead").await.delivery.unwrap();
    assert_eq!(parked.last_error, "the endpoint is disabled");
    let endpoint = owner.get(&id(&made)).await.unwrap();
    assert_eq!(endpoint.disabled_reason, "gone");
    assert!(endpoint.disabled_at > 0);

    is_told(&other, &watching.secret, &id(&made)).await;
    is_sent_nothing(&owner, &id(&made), &parked.delivery_id).await;
    assert_eq!(sink.seen().len(), 2);

    let endpoint = owner.update(&id(&made), let_go_on()).await.unwrap();
    assert_eq!(
        (endpoint.disabled_at, endpoint.disabled_reason.as_str()),
        (0, "")
    );
    owner.replay(&parked.delivery_id).await.unwrap();
    owner.reaches(&parked.delivery_id, "delivered").await;
    assert_eq!(other.seen().len(), 1);
    assert!(
        app.metrics()
            .contains("aio_webhooks_endpoints_disabled_total{reason=\"gone\"} 1")
    );
}

async fn what_its_owner_disables_is_sent_nothing(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(500)).await;
    let slow = "schedule = ['0s', '1h']\npoll = '5ms'\nsweep = '20ms'";
    let (_home, app) = start(engine, slow).await;
    let owner = Owner::new(&app);
    let made = owner.register(&sink.url("/"), &[]).await;
    let waiting = owner.tell().await;
    until("one failure", async || {
        let found = owner.of(waiting).await.pop().unwrap();
        (found.attempts == 1).then_some(())
    })
    .await;
    let change = UpdateEndpointRequest {
        disabled: Some(true),
        ..UpdateEndpointRequest::default()
    };
    let endpoint = owner.update(&id(&made), change).await.unwrap();
    assert_eq!(endpoint.disabled_reason, "owner");
    let parked = owner.of(waiting).await.pop().unwrap();
    assert_eq!((parked.state.as_str(), parked.attempts), ("dead", 1));
    assert_eq!(sink.seen().len(), 1);
}

async fn an_endpoint_that_fails_for_long_is_disabled_after_more_than_one_failure(engine: Engine) {
    let sink = Sink::start(|before| match before {
        // A success in between forgives.
        0 | 2 | 3 => Reply::Status(500),
        _ => Reply::Status(200),
    })
    .await;
    let home = Home::new(engine).await;
    let once = "schedule = ['0s']\npoll = '5ms'\nsweep = '20ms'";
    let app = home
        .start_limited(once, "disable_after = '0s'", "127.0.0.1/32")
        .await;
    let owner = Owner::new(&app);
    let made = owner.register(&sink.url("/"), &[]).await;
    for (state, reason) in [
        ("dead", ""),
        ("delivered", ""),
        ("dead", ""),
        ("dead", "failing"),
    ] {
        let event = owner.tell().await;
        owner.event_reaches(event, state).await;
        let endpoint = owner.get(&id(&made)).await.unwrap();
        assert_eq!(endpoint.disabled_reason, reason);
    }
    owner.update(&id(&made), let_go_on()).await.unwrap();
    let event = owner.tell().await;
    owner.event_reaches(event, "delivered").await;
}

async fn the_end_of_a_delivery_is_told_to_the_others_and_no_notice_to_anybody(engine: Engine) {
    let bad = Sink::start(|_| Reply::Status(500)).await;
    let also_bad = Sink::start(|_| Reply::Status(500)).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    let made = owner.register(&bad.url("/"), &[]).await;
    owner
        .register(&also_bad.url("/"), &["webhook.exhausted"])
        .await;
    let lost = owner.tell().await;
    let lost = owner.event_reaches(lost, "dead").await;
    let notice = also_bad.saw(5).await.pop().unwrap();
    let notice: Value = serde_json::from_slice(&notice.body).unwrap();
    assert_eq!(notice["type"], "webhook.exhausted");
    let id_of = domain::DeliveryId::from_slice(&lost.delivery.unwrap().delivery_id).unwrap();
    assert_eq!(notice["data"]["delivery_id"], id_of.to_string());
    assert_eq!(notice["data"]["type"], "balance.low");
    assert_eq!(
        (&notice["data"]["attempts"], &notice["data"]["last_status"]),
        (&5.into(), &500.into())
    );
    let named = domain::EndpointId::from_slice(&id(&made))
        .unwrap()
        .to_string();
    assert_eq!(notice["data"]["endpoint_id"], named);
    // The notice is given up as well, and nobody hears of that.
    until("two are dead", async || {
        let found = owner.find(Default::default()).await;
        let dead = found.iter().filter(|one| one.state == "dead").count();
        (dead == 2 && found.len() == 2).then_some(())
    })
    .await;
    until("both are counted", async || {
        app.metrics()
            .contains("aio_webhooks_exhausted_total 2")
            .then_some(())
    })
    .await;
    assert_eq!((bad.seen().len(), also_bad.seen().len()), (5, 5));
}

async fn a_callback_that_is_gone_ends_alone(engine: Engine) {
    let sink = Sink::start(|before| Reply::Status(if before == 0 { 410 } else { 200 })).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    for state in ["dead", "delivered"] {
        let mut event = event(&sink.url("/"));
        event.account = owner.account;
        app.publish_live(&event).await;
        owner.event_reaches(event.event, state).await;
    }
}

async fn the_operator_is_told_where_they_say(engine: Engine) {
    let bad = Sink::start(|_| Reply::Status(500)).await;
    let desk = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(
        engine,
        &format!("{FAST}\nalert_url = '{}'", desk.url("/desk")),
    )
    .await;
    let owner = Owner::new(&app);
    owner.register(&bad.url("/"), &[]).await;
    let lost = owner.tell().await;
    owner.event_reaches(lost, "dead").await;
    let told = desk.saw(1).await.pop().unwrap();
    let secret = app
        .manage
        .clone()
        .get_alert_secret(GetAlertSecretRequest {})
        .await;
    assert!(verifies(&secret.unwrap().into_inner().secret, &told));
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(told["type"], "webhook.exhausted");
    assert_eq!(told["data"]["account_id"], owner.account.to_string());
    // It is not among the customer's.
    assert_eq!(owner.find(Default::default()).await.len(), 1);
}
