//! Deliveries with their attempts: what is told of them, sent again, and removed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use db::Engine;
use domain::{EventId, TaskId, ids};
use proto::{
    code,
    common::v1::Mode,
    webhooks::v1::{
        CreateEndpointRequest, DeliveryRequest, FindDeliveriesRequest, FoundDelivery,
        GetOverviewRequest, Header, PublishRequest, RecoverRequest,
    },
};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, sync::Semaphore};

use crate::{
    app::{App, FAST, Home, start, until},
    database::on_both_engines,
    manage::{Owner, everybody, id, verifies},
    sink::{Reply, Sink},
};

on_both_engines!(
    each_attempt_is_told_with_what_was_answered,
    what_answers_no_http_is_a_failure_that_is_told,
    an_answer_without_an_end_is_cut,
    what_was_given_up_is_sent_again_with_the_same_id_and_bytes,
    what_is_on_its_way_is_not_sent_again,
    those_given_up_are_recovered_a_bounded_number_at_a_time,
    deliveries_are_found_by_what_they_are,
    a_sample_goes_the_way_of_all_events,
    what_ended_long_ago_is_removed_with_its_attempts,
);

/// One attempt, and no other soon.
const ONCE: &str =
    "schedule = ['0s', '1h']\npoll = '5ms'\nsweep = '20ms'\njitter_percent = 0\ntimeout = '300ms'";

/// What an endpoint answers; and then how the delivery stands, the status, the error, and what is kept of the answer.
type Answered = (Reply, &'static str, u32, &'static str, &'static str);

fn answers() -> [Answered; 11] {
    [
        (Reply::Body(200, "thanks"), "delivered", 200, "", "thanks"),
        (Reply::Status(201), "delivered", 201, "", ""),
        (Reply::Status(204), "delivered", 204, "", ""),
        (
            Reply::With(301, "location", "https://example.com/".to_owned()),
            "due",
            301,
            "answered 301; redirects of callbacks are not followed",
            "",
        ),
        (
            Reply::Body(
                400,
                "Cannot POST /canary: no whsec_MfKQ9r8GKYqrTw, no my-own-token",
            ),
            "due",
            400,
            "answered 400",
            "Cannot POST [hidden]: no whsec_[hidden], no [hidden]",
        ),
        (Reply::Status(410), "dead", 410, "answered 410", ""),
        (
            Reply::With(429, "retry-after", "1".to_owned()),
            "due",
            429,
            "answered 429",
            "",
        ),
        (Reply::Status(500), "due", 500, "answered 500", ""),
        (Reply::Status(502), "due", 502, "answered 502", ""),
        (Reply::Status(504), "due", 504, "answered 504", ""),
        (Reply::Hang, "due", 0, "no complete answer in time", ""),
    ]
}

async fn each_attempt_is_told_with_what_was_answered(engine: Engine) {
    let (_home, app) = start(engine, ONCE).await;
    for (reply, state, status, error, response) in answers() {
        let told = reply.clone();
        let sink = Sink::start(move |_| told.clone()).await;
        let owner = Owner::new(&app);
        let request = CreateEndpointRequest {
            url: sink.url("/canary"),
            headers: vec![Header {
                name: "x-token".to_owned(),
                value: "my-own-token".to_owned(),
            }],
            ..CreateEndpointRequest::default()
        };
        owner.create(request).await.unwrap();
        let event = owner.tell().await;
        let story = until("an attempt", async || {
            let delivery = owner.of(event).await.pop().unwrap();
            let story = owner.story(&delivery.delivery_id).await.unwrap();
            // Read before its attempts: it may have been seen before it began.
            let ended = story
                .delivery
                .as_ref()
                .is_some_and(|one| one.attempts == 1 && one.state != "inflight");
            (story.attempts.len() == 1 && ended).then_some(story)
        })
        .await;
        let (delivery, attempt) = (story.delivery.unwrap(), &story.attempts[0]);
        assert_eq!(delivery.state, state, "{reply:?}");
        assert_eq!((attempt.number, attempt.replay), (1, 0));
        assert_eq!(
            (attempt.status, attempt.error.as_str()),
            (status, error),
            "{reply:?}"
        );
        assert_eq!(attempt.response, response);
        assert_eq!(story.payload, format!("{{\"event\":\"{event}\"}}"));
        let request = DeliveryRequest {
            whose: everybody(),
            delivery_id: delivery.delivery_id.clone(),
        };
        let operators = app.manage.clone().get_delivery(request).await.unwrap();
        let payload = operators.into_inner().payload;
        assert!(payload.is_empty(), "operators read no content");
        assert!(attempt.ended_at >= attempt.started_at && attempt.started_at > 0);
        if status == 0 {
            assert!(attempt.ended_at - attempt.started_at >= 290_000);
        }
        assert_eq!(
            (delivery.attempts, delivery.last_error.as_str()),
            (1, error)
        );
    }
}

async fn what_answers_no_http_is_a_failure_that_is_told(engine: Engine) {
    let (_home, app) = start(engine, ONCE).await;
    for (said, error) in [
        (&b""[..], "the connection broke"),
        (b"SSH-2.0-garbage\r\n", "the connection broke"),
        (b"HTTP/1.1 2", "the connection broke"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        chassis::Tasks::default().spawn_detached(tracing::Span::none(), async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _closed = stream.write_all(said).await;
            }
        });
        let owner = Owner::new(&app);
        owner.register(&url, &[]).await;
        let event = owner.tell().await;
        let found = until("an attempt", async || {
            let found = owner.of(event).await.pop().unwrap();
            (found.attempts == 1).then_some(found)
        })
        .await;
        assert_eq!((found.state.as_str(), found.last_status), ("due", 0));
        assert_eq!(found.last_error, error);
    }
}

async fn an_answer_without_an_end_is_cut(engine: Engine) {
    let taken = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&taken);
    let sink = Sink::start(move |_| Reply::Endless(Arc::clone(&counting))).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    owner.register(&sink.url("/"), &[]).await;
    let event = owner.tell().await;
    let story = owner.event_reaches(event, "delivered").await;
    assert_eq!(story.attempts[0].response, "x".repeat(1_024));
    // The cap, and what was on its way in buffers.
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < 16 * 1024 * 1024, "{taken} bytes were taken");
}

async fn what_was_given_up_is_sent_again_with_the_same_id_and_bytes(engine: Engine) {
    let sink = Sink::start(|before| Reply::Status(if before < 6 { 500 } else { 200 })).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    let made = owner.register(&sink.url("/"), &[]).await;
    let event = owner.tell().await;
    let dead = owner.event_reaches(event, "dead").await.delivery.unwrap();
    assert_eq!((dead.attempts, dead.replays), (5, 0));
    let again = owner.replay(&dead.delivery_id).await.unwrap();
    assert_eq!(again.delivery.unwrap().replays, 1);
    let story = owner.reaches(&dead.delivery_id, "delivered").await;
    let delivery = story.delivery.unwrap();
    assert_eq!((delivery.attempts, delivery.replays), (2, 1));
    let told: Vec<(u32, u32, u32)> = story
        .attempts
        .iter()
        .map(|attempt| (attempt.number, attempt.replay, attempt.status))
        .collect();
    let first = (1..=5).map(|number| (number, 0, 500));
    let expected: Vec<_> = first.chain([(6, 1, 500), (7, 1, 200)]).collect();
    assert_eq!(told, expected);
    let seen = sink.seen();
    assert_eq!(seen.len(), 7);
    for attempt in &seen {
        assert_eq!(attempt.headers["webhook-id"], event.to_string());
        assert_eq!(attempt.body, seen[0].body);
        assert!(verifies(&made.secret, attempt));
    }
    // What was delivered can be sent again as well; what is gone for good cannot.
    owner.replay(&dead.delivery_id).await.unwrap();
    owner.reaches(&dead.delivery_id, "delivered").await;
    sink.saw(8).await;
    owner.delete(&id(&made)).await.unwrap();
    let fault = owner.replay(&dead.delivery_id).await.unwrap_err();
    assert_eq!(fault.code, code::ENDPOINT_UNAVAILABLE);
}

async fn what_is_on_its_way_is_not_sent_again(engine: Engine) {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let sink = Sink::start(move |_| Reply::Once(Arc::clone(&held), 500)).await;
    let slow = "schedule = ['0s', '1h']\npoll = '5ms'\njitter_percent = 0";
    let (_home, app) = start(engine, slow).await;
    let owner = Owner::new(&app);
    owner.register(&sink.url("/"), &[]).await;
    let event = owner.tell().await;
    sink.saw(1).await;
    let story = owner.event_reaches(event, "inflight").await;
    let id = story.delivery.unwrap().delivery_id;
    let fault = owner.replay(&id).await.unwrap_err();
    assert_eq!(fault.code, code::DELIVERY_UNDER_WAY);
    gate.add_permits(1);
    owner.reaches(&id, "due").await;
    let fault = owner.replay(&id).await.unwrap_err();
    assert_eq!(fault.code, code::DELIVERY_UNDER_WAY);
    assert_eq!(
        owner.recover(RecoverRequest::default()).await.unwrap(),
        (0, false)
    );
}

async fn those_given_up_are_recovered_a_bounded_number_at_a_time(engine: Engine) {
    let works = Arc::new(AtomicU64::new(0));
    let now = Arc::clone(&works);
    let sink = Sink::start(move |_| match now.load(Ordering::Relaxed) {
        0 => Reply::Status(500),
        _ => Reply::Status(200),
    })
    .await;
    let home = Home::new(engine).await;
    let once = "schedule = ['0s']\npoll = '5ms'\nsweep = '20ms'";
    let app = home
        .start_limited(once, "at_once = 2", "127.0.0.1/32")
        .await;
    let owner = Owner::new(&app);
    let made = owner.register(&sink.url("/"), &[]).await;
    let mut events = Vec::new();
    for _ in 0..3 {
        let event = owner.tell().await;
        owner.event_reaches(event, "dead").await;
        events.push(event);
    }
    let newest = owner.of(events[2]).await.pop().unwrap().created_at;
    three_are_given_up(&app, newest).await;
    works.store(1, Ordering::Relaxed);
    let since = |since, until| RecoverRequest {
        since,
        until,
        endpoint_id: id(&made).into(),
        ..RecoverRequest::default()
    };
    assert_eq!(
        owner.recover(since(newest + 1, 0)).await.unwrap(),
        (0, false)
    );
    assert_eq!(owner.recover(since(0, 1)).await.unwrap(), (0, false));
    assert_eq!(owner.recover(since(newest, 0)).await.unwrap(), (1, false));
    owner.event_reaches(events[2], "delivered").await;
    assert_eq!(owner.recover(since(0, 0)).await.unwrap(), (2, true));
    assert_eq!(owner.recover(since(0, 0)).await.unwrap(), (0, false));
    for event in events {
        let delivered = owner.event_reaches(event, "delivered").await;
        assert_eq!(delivered.delivery.unwrap().replays, 1);
    }
}

/// What operators see of them.
async fn three_are_given_up(app: &App, newest: i64) {
    let seen = app.manage.clone().get_overview(GetOverviewRequest {}).await;
    let seen = seen.unwrap().into_inner();
    let dead = seen.dead.unwrap();
    assert_eq!((dead.count, dead.more, seen.alerts), (3, false, false));
    assert!(dead.oldest > 0 && dead.oldest <= newest);
    assert_eq!(seen.due.unwrap().count + seen.inflight.unwrap().count, 0);
}

/// Filters, and the events that they find.
fn filters(
    owner: &Owner<'_>,
    (task, endpoint): (TaskId, Vec<u8>),
    newest: &FoundDelivery,
    [low, done, gone]: [EventId; 3],
) -> Vec<(FindDeliveriesRequest, Vec<EventId>)> {
    let none = FindDeliveriesRequest::default;
    vec![
        (none(), vec![low, done, gone]),
        (
            FindDeliveriesRequest {
                task_id: task.to_vec().into(),
                ..none()
            },
            vec![done, gone],
        ),
        (
            FindDeliveriesRequest {
                endpoint_id: endpoint.clone().into(),
                ..none()
            },
            vec![low],
        ),
        (
            FindDeliveriesRequest {
                state: "dead".to_owned(),
                ..none()
            },
            vec![gone],
        ),
        (
            FindDeliveriesRequest {
                r#type: "task.completed".to_owned(),
                ..none()
            },
            vec![done],
        ),
        (
            FindDeliveriesRequest {
                since: newest.created_at,
                ..none()
            },
            vec![low],
        ),
        (
            FindDeliveriesRequest {
                until: newest.created_at,
                ..none()
            },
            vec![done, gone],
        ),
        (
            FindDeliveriesRequest {
                before: newest.delivery_id.clone(),
                ..none()
            },
            vec![done, gone],
        ),
        (
            FindDeliveriesRequest {
                account_id: owner.account.to_vec().into(),
                state: "due".to_owned(),
                ..none()
            },
            vec![],
        ),
    ]
}

async fn deliveries_are_found_by_what_they_are(engine: Engine) {
    let good = Sink::start(|_| Reply::Status(200)).await;
    let bad = Sink::start(|_| Reply::Status(410)).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    let task: TaskId = chassis::mint::<ids::Task>();
    let publish = async |kind: &str, url: String| {
        let event: EventId = chassis::mint();
        let request = PublishRequest {
            event_id: event.to_vec().into(),
            account_id: owner.account.to_vec().into(),
            mode: Mode::Live.into(),
            task_id: task.to_vec().into(),
            r#type: kind.to_owned(),
            url,
            payload: "{}".into(),
        };
        app.client.clone().publish(request).await.unwrap();
        event
    };
    let gone = publish("task.failed", bad.url("/")).await;
    owner.event_reaches(gone, "dead").await;
    let done = publish("task.completed", good.url("/")).await;
    owner.event_reaches(done, "delivered").await;
    let made = owner.register(&good.url("/"), &[]).await;
    let low = owner.tell().await;
    let low_found = owner
        .event_reaches(low, "delivered")
        .await
        .delivery
        .unwrap();
    for (filter, expected) in filters(&owner, (task, id(&made)), &low_found, [low, done, gone]) {
        let found = owner.find(filter.clone()).await;
        let events: Vec<Vec<u8>> = found.iter().map(|one| one.event_id.to_vec()).collect();
        let expected: Vec<Vec<u8>> = expected.iter().map(|event| event.to_vec()).collect();
        assert_eq!(events, expected, "{filter:?}");
        assert!(!format!("{found:?}").contains("127.0.0.1"));
    }
}

async fn a_sample_goes_the_way_of_all_events(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    let made = owner.register(&sink.url("/"), &["balance.low"]).await;
    for (asked, kind) in [("", "balance.low"), ("task.failed", "task.failed")] {
        let before = sink.seen().len();
        let delivery = owner.test(&id(&made), asked).await.unwrap();
        let story = owner.reaches(&delivery, "delivered").await;
        assert_eq!(story.delivery.unwrap().r#type, kind);
        let seen = sink.saw(before + 1).await.pop().unwrap();
        assert!(verifies(&made.secret, &seen));
        let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(body["type"], kind);
        assert_ne!(body["timestamp"], "2030-01-31T12:00:00Z");
        assert!(body["data"].is_object());
    }
    let fault = owner.test(&id(&made), "task.ended").await.unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("type"));
    assert!(
        fault.message.contains("webhook.disabled"),
        "{}",
        fault.message
    );
}

async fn what_ended_long_ago_is_removed_with_its_attempts(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let home = Home::new(engine).await;
    let app = home
        .start_limited(FAST, "retention = '300ms'\nat_once = 2", "127.0.0.1/32")
        .await;
    let owner = Owner::new(&app);
    owner.register(&sink.url("/"), &[]).await;
    for _ in 0..5 {
        owner.tell().await;
    }
    sink.saw(5).await;
    until("nothing is kept", async || {
        let count = "select (select count(*) from delivery_attempt) + (select count(*) from delivery) + (select count(*) from event)";
        let left: i64 = sqlx::query_scalar(count).fetch_one(app.db.reader()).await.unwrap();
        (left == 0).then_some(())
    })
    .await;
    assert_eq!(sink.seen().len(), 5);
}
