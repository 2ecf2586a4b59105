//! Registered endpoints: who is told what, who signs, and what becomes of those that are removed.

use std::io::ErrorKind;

use chassis::mint;
use db::Engine;
use domain::AccountId;
use proto::{
    Fault,
    common::v1::{Context, Mode},
    webhooks::v1::{
        CreateEndpointRequest, Endpoint, EndpointRequest, EndpointWithSecret, ListEndpointsRequest,
        Whose, whose,
    },
};
use standardwebhooks::Webhook;

use crate::{
    app::{App, FAST, Home, Published, event, start, until},
    database::on_both_engines,
    sink::{Reply, Sink},
};

on_both_engines!(
    an_event_is_told_to_every_endpoint_that_wants_it_each_with_its_own_secret,
    a_url_that_is_registered_and_named_as_well_is_told_once_by_the_endpoint,
    another_account_or_mode_is_told_nothing_and_sees_nothing,
    an_endpoint_that_was_removed_is_told_nothing_more,
    a_forbidden_url_is_refused_and_never_connected,
    there_are_as_many_as_may_be,
);

pub(crate) fn context(account: AccountId, mode: Mode) -> Option<Context> {
    Some(Context {
        account_id: account.to_vec().into(),
        mode: mode.into(),
        ..Context::default()
    })
}

pub(crate) fn whose(account: AccountId, mode: Mode) -> Option<Whose> {
    let caller = context(account, mode).unwrap();
    Some(Whose {
        whose: Some(whose::Whose::Caller(caller)),
    })
}

/// Registers a URL for events of these types.
pub(crate) async fn register(
    app: &App,
    account: AccountId,
    url: &str,
    events: &[&str],
) -> Result<EndpointWithSecret, Fault> {
    let request = CreateEndpointRequest {
        context: context(account, Mode::Live),
        url: url.to_owned(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        ..CreateEndpointRequest::default()
    };
    let made = app.manage.clone().create_endpoint(request).await;
    made.map(tonic::Response::into_inner).map_err(Fault::from)
}

async fn list(app: &App, account: AccountId, mode: Mode) -> Vec<Endpoint> {
    let request = ListEndpointsRequest {
        whose: whose(account, mode),
        ..ListEndpointsRequest::default()
    };
    let listed = app.manage.clone().list_endpoints(request).await;
    listed.unwrap().into_inner().endpoints
}

async fn remove(
    app: &App,
    account: AccountId,
    mode: Mode,
    made: &EndpointWithSecret,
) -> Result<(), Fault> {
    let request = EndpointRequest {
        whose: whose(account, mode),
        endpoint_id: made.endpoint.as_ref().unwrap().endpoint_id.clone(),
    };
    let removed = app.manage.clone().delete_endpoint(request).await;
    removed.map(drop).map_err(Fault::from)
}

async fn an_event_is_told_to_every_endpoint_that_wants_it_each_with_its_own_secret(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (home, app) = start(engine, FAST).await;
    let account = mint();
    let all = register(&app, account, &sink.url("/all?token=canary"), &[])
        .await
        .unwrap();
    let low = register(&app, account, &sink.url("/low"), &["balance.low"])
        .await
        .unwrap();
    // Of another type.
    register(&app, account, &sink.url("/other"), &["order.paid"])
        .await
        .unwrap();
    let urls: Vec<String> = list(&app, account, Mode::Live)
        .await
        .into_iter()
        .map(|endpoint| endpoint.url)
        .collect();
    assert_eq!(
        urls,
        ["/all?token=canary", "/low", "/other"].map(|path| sink.url(path))
    );

    let event = mint();
    for _ in 0..10 {
        app.tell(event, account, Mode::Live).await;
    }
    let seen = until("two deliveries", async || {
        let seen = sink.seen();
        (seen.len() == 2).then_some(seen)
    })
    .await;
    for (path, made) in [("/all?token=canary", &all), ("/low", &low)] {
        let at = seen.iter().find(|seen| seen.path == path).unwrap();
        let library = Webhook::new(&made.secret).unwrap();
        library.verify(&at.body, &at.headers).unwrap();
        assert_eq!(at.headers["webhook-id"], event.to_string());
        assert_eq!(at.body, format!("{{\"event\":\"{event}\"}}"));
        // Not by the other's, nor by that of callbacks.
        let callbacks = app.secret(account, Mode::Live).await;
        let others = [&all, &low].map(|made| made.secret.clone());
        for secret in others.into_iter().chain([callbacks]) {
            let verified = Webhook::new(&secret).unwrap().verify(&at.body, &at.headers);
            assert_eq!(verified.is_ok(), secret == made.secret);
        }
    }
    // By the time another event has come, there are no more of the first.
    app.tell(mint(), account, Mode::Live).await;
    until("two more", async || (sink.seen().len() == 4).then_some(())).await;
    if engine == Engine::Sqlite {
        let bytes = home.bytes();
        let finds = |text: &str| bytes.windows(text.len()).any(|at| at == text.as_bytes());
        assert!(!finds("token=canary"), "a URL is kept in the clear");
        assert!(
            !finds(&all.secret["whsec_".len()..]),
            "a secret is kept in the clear"
        );
    }
}

async fn a_url_that_is_registered_and_named_as_well_is_told_once_by_the_endpoint(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let account = mint();
    let url = sink.url("/hook");
    let made = register(&app, account, &url, &[]).await.unwrap();
    // One that takes no such events does not count.
    let other = sink.url("/other");
    register(&app, account, &other, &["order.paid"])
        .await
        .unwrap();
    let mut told = Vec::new();
    for url in [&url, &other] {
        let published = Published {
            account,
            ..event(url)
        };
        app.publish_live(&published).await;
        told.push(published.event.to_string());
    }
    let kept = app.number("select count(*) from delivery").await;
    assert_eq!(kept, 3, "none of them twice");
    let seen = sink.saw(3).await;
    let callbacks = app.secret(account, Mode::Live).await;
    let mut found: Vec<_> = seen
        .iter()
        .map(|at| {
            let by = |secret: &str| {
                let library = Webhook::new(secret).unwrap();
                library.verify(&at.body, &at.headers).is_ok()
            };
            let number = told.iter().position(|id| at.headers["webhook-id"] == **id);
            let by = (by(&made.secret), by(&callbacks));
            (number.unwrap(), at.path.clone(), by)
        })
        .collect();
    found.sort();
    let (endpoint, callback) = ((true, false), (false, true));
    assert_eq!(
        found,
        [
            (0, "/hook".to_owned(), endpoint),
            (1, "/hook".to_owned(), endpoint),
            (1, "/other".to_owned(), callback),
        ]
    );
}

async fn another_account_or_mode_is_told_nothing_and_sees_nothing(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let (account, stranger) = (mint(), mint());
    let made = register(&app, account, &sink.url("/"), &[]).await.unwrap();
    app.tell(mint(), stranger, Mode::Live).await;
    app.tell(mint(), account, Mode::Test).await;
    assert!(list(&app, stranger, Mode::Live).await.is_empty());
    assert!(list(&app, account, Mode::Test).await.is_empty());
    for (account, mode) in [(stranger, Mode::Live), (account, Mode::Test)] {
        let fault = remove(&app, account, mode, &made).await.unwrap_err();
        assert_eq!(fault.code.word, "not_found");
    }
    // What comes is the event after them.
    let event = mint();
    app.tell(event, account, Mode::Live).await;
    let seen = until("a delivery", async || sink.seen().pop()).await;
    assert_eq!(seen.headers["webhook-id"], event.to_string());
    assert_eq!(sink.seen().len(), 1);
}

async fn an_endpoint_that_was_removed_is_told_nothing_more(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(500)).await;
    let slow = "schedule = ['0s', '300ms', '300ms']\npoll = '5ms'\nsweep = '20ms'";
    let (_home, app) = start(engine, slow).await;
    let account = mint();
    let made = register(&app, account, &sink.url("/"), &[]).await.unwrap();
    let event = mint();
    app.tell(event, account, Mode::Live).await;
    until("a first attempt", async || sink.seen().pop()).await;
    remove(&app, account, Mode::Live, &made).await.unwrap();
    let dead = app.reaches(event, "dead").await;
    assert_eq!(dead.error.as_deref(), Some("the endpoint was removed"));
    assert_eq!((dead.attempts, sink.seen().len()), (2, 1));
    let fault = remove(&app, account, Mode::Live, &made).await.unwrap_err();
    assert_eq!(fault.code.word, "not_found");
    // What is told now has nobody to go to, and is not kept.
    let event = mint();
    app.tell(event, account, Mode::Live).await;
    let kept: i64 = sqlx::query_scalar("select count(*) from event")
        .fetch_one(app.db.reader())
        .await
        .unwrap();
    assert_eq!(kept, 1);
}

async fn a_forbidden_url_is_refused_and_never_connected(engine: Engine) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let home = Home::new(engine).await;
    let app = home.start(FAST, "").await;
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://localhost:{port}/"),
        "https://169.254.169.254/latest".to_owned(),
        "ftp://example.com/".to_owned(),
        "no url".to_owned(),
    ] {
        let fault = register(&app, mint(), &url, &[]).await.unwrap_err();
        assert_eq!(fault.code.word, "forbidden_url", "{url}");
        assert_eq!(fault.param.as_deref(), Some("url"), "{url}");
    }
    let accepted = listener.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(accepted, Err(ErrorKind::WouldBlock));
}

async fn there_are_as_many_as_may_be(engine: Engine) {
    let (_home, app) = start(engine, FAST).await;
    let account = mint();
    let url = "https://127.0.0.1/";
    let first = register(&app, account, url, &[]).await.unwrap();
    for _ in 1..4 {
        register(&app, account, url, &[]).await.unwrap();
    }
    let fault = register(&app, account, url, &[]).await.unwrap_err();
    assert_eq!(fault.code.word, "too_many_endpoints");
    assert!(fault.message.contains("at most 4"), "{}", fault.message);
    register(&app, mint(), url, &[]).await.unwrap();
    remove(&app, account, Mode::Live, &first).await.unwrap();
    register(&app, account, url, &[]).await.unwrap();
}
