//! What is said of an endpoint, and changed.

use chassis::mint;
use db::Engine;
use proto::{
    code,
    webhooks::v1::{
        CreateEndpointRequest, EventTypes, Header, Headers, ListEndpointsRequest,
        UpdateEndpointRequest,
    },
};

use crate::{
    app::{FAST, start},
    database::on_both_engines,
    manage::{Owner, everybody, id},
    sink::{Reply, Sink},
};

on_both_engines!(
    fixed_headers_are_sent_and_their_values_are_not_shown_again,
    no_header_of_ours_can_be_said_by_a_customer,
    each_field_is_changed_alone,
    what_waits_goes_to_the_url_that_there_is_then,
    others_and_the_unknown_are_the_same_404,
    operators_see_those_of_everybody,
);

fn header(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

async fn fixed_headers_are_sent_and_their_values_are_not_shown_again(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    let made = owner
        .create(CreateEndpointRequest {
            url: sink.url("/"),
            headers: vec![
                header("Authorization", "Bearer canary"),
                header("x-a", "1 2"),
            ],
            description: "the canary of orders".to_owned(),
            ..CreateEndpointRequest::default()
        })
        .await
        .unwrap();
    let endpoint = made.endpoint.clone().unwrap();
    assert_eq!(endpoint.header_names, ["Authorization", "x-a"]);
    assert_eq!(endpoint.description, "the canary of orders");
    assert!(!format!("{endpoint:?}").contains("Bearer"));
    owner.tell().await;
    let seen = sink.saw(1).await.pop().unwrap();
    assert_eq!(seen.headers["authorization"], "Bearer canary");
    assert_eq!(seen.headers["x-a"], "1 2");
    assert_eq!(seen.headers["content-type"], "application/json");
    if engine == Engine::Sqlite {
        let bytes = home.bytes();
        assert!(
            !bytes.windows(6).any(|at| at == b"canary"),
            "kept in the clear"
        );
    }
    let change = UpdateEndpointRequest {
        headers: Some(Headers::default()),
        ..UpdateEndpointRequest::default()
    };
    let endpoint = owner.update(&id(&made), change).await.unwrap();
    assert!(endpoint.header_names.is_empty());
    owner.tell().await;
    let seen = sink.saw(2).await.pop().unwrap();
    assert!(!seen.headers.contains_key("authorization"));
}

async fn no_header_of_ours_can_be_said_by_a_customer(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    let made = owner.register(&sink.url("/"), &[]).await;
    for (name, value) in [
        ("webhook-id", "evt_1"),
        ("Host", "example.com"),
        ("content-length", "0"),
        ("x-a", "1\r\nwebhook-id: evt_1"),
        ("x-a\r\nx-b", "1"),
    ] {
        let headers = vec![header(name, value)];
        let request = CreateEndpointRequest {
            url: sink.url("/"),
            headers: headers.clone(),
            ..CreateEndpointRequest::default()
        };
        let change = UpdateEndpointRequest {
            headers: Some(Headers { headers }),
            ..UpdateEndpointRequest::default()
        };
        let refused = [
            owner.create(request).await.unwrap_err(),
            owner.update(&id(&made), change).await.unwrap_err(),
        ];
        for fault in refused {
            assert_eq!(fault.code, code::INVALID_PARAMETER, "{name:?}");
            assert!(fault.param.unwrap().starts_with("headers."), "{name:?}");
        }
    }
}

/// One change of each field, and back.
fn changes() -> [UpdateEndpointRequest; 9] {
    let none = UpdateEndpointRequest::default;
    [
        UpdateEndpointRequest {
            url: Some("https://127.0.0.1/b".to_owned()),
            ..none()
        },
        UpdateEndpointRequest {
            events: Some(EventTypes::default()),
            ..none()
        },
        UpdateEndpointRequest {
            per_second: Some(7),
            ..none()
        },
        UpdateEndpointRequest {
            description: Some("d".to_owned()),
            ..none()
        },
        UpdateEndpointRequest {
            signature: Some("both".to_owned()),
            ..none()
        },
        UpdateEndpointRequest {
            disabled: Some(true),
            ..none()
        },
        UpdateEndpointRequest {
            disabled: Some(false),
            ..none()
        },
        UpdateEndpointRequest {
            per_second: Some(0),
            ..none()
        },
        none(),
    ]
}

async fn each_field_is_changed_alone(engine: Engine) {
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    let made = owner
        .register("https://127.0.0.1/a", &["balance.low"])
        .await;
    let before = owner.get(&id(&made)).await.unwrap();
    assert_eq!(Some(&before), made.endpoint.as_ref());
    let none = UpdateEndpointRequest::default;
    for change in changes() {
        owner.update(&id(&made), change).await.unwrap();
    }
    let after = owner.get(&id(&made)).await.unwrap();
    assert_eq!(after.url, "https://127.0.0.1/b");
    assert!(after.events.is_empty() && after.disabled_reason.is_empty());
    assert_eq!((after.per_second, after.description.as_str()), (0, "d"));
    assert!(after.public_key.starts_with("whpk_"));
    assert_eq!(
        (after.disabled_at, after.created_at),
        (0, before.created_at)
    );
    for (change, param) in [
        (
            UpdateEndpointRequest {
                url: Some("https://10.0.0.1/".to_owned()),
                ..none()
            },
            "url",
        ),
        (
            UpdateEndpointRequest {
                per_second: Some(1_001),
                ..none()
            },
            "per_second",
        ),
        (
            UpdateEndpointRequest {
                signature: Some("v2".to_owned()),
                ..none()
            },
            "signature",
        ),
    ] {
        let fault = owner.update(&id(&made), change).await.unwrap_err();
        assert_eq!(fault.param.as_deref(), Some(param));
    }
    assert_eq!(owner.get(&id(&made)).await.unwrap(), after);
}

async fn what_waits_goes_to_the_url_that_there_is_then(engine: Engine) {
    let old = Sink::start(|_| Reply::Status(500)).await;
    let new = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(
        engine,
        "schedule = ['0s', '200ms']\npoll = '5ms'\nsweep = '20ms'",
    )
    .await;
    let owner = Owner::new(&app);
    let made = owner.register(&old.url("/"), &[]).await;
    let event = owner.tell().await;
    old.saw(1).await;
    let change = UpdateEndpointRequest {
        url: Some(new.url("/new")),
        ..UpdateEndpointRequest::default()
    };
    owner.update(&id(&made), change).await.unwrap();
    owner.event_reaches(event, "delivered").await;
    assert_eq!((old.seen().len(), new.seen().len()), (1, 1));
}

async fn others_and_the_unknown_are_the_same_404(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let (owner, stranger) = (Owner::new(&app), Owner::new(&app));
    let made = owner.register(&sink.url("/"), &[]).await;
    let event = owner.tell().await;
    let story = owner.event_reaches(event, "delivered").await;
    let delivery = story.delivery.unwrap().delivery_id.to_vec();
    let unknown_endpoint = mint::<domain::ids::Endpoint>().to_vec();
    let unknown_delivery = mint::<domain::ids::Delivery>().to_vec();
    let mut said = Vec::new();
    for (endpoint, delivery) in [(id(&made), delivery), (unknown_endpoint, unknown_delivery)] {
        let change = UpdateEndpointRequest {
            disabled: Some(true),
            ..UpdateEndpointRequest::default()
        };
        said.push([
            stranger.get(&endpoint).await.err(),
            stranger.update(&endpoint, change).await.err(),
            stranger.rotate(&endpoint, 0).await.err(),
            stranger.test(&endpoint, "").await.err(),
            stranger.delete(&endpoint).await.err(),
            stranger.story(&delivery).await.err(),
            stranger.replay(&delivery).await.err(),
        ]);
    }
    let [foreign, unknown] = <[_; 2]>::try_from(said).unwrap();
    for (foreign, unknown) in foreign.into_iter().zip(unknown) {
        let (foreign, unknown) = (foreign.unwrap(), unknown.unwrap());
        assert_eq!(foreign.code, code::NOT_FOUND);
        assert_eq!(foreign.message, unknown.message);
    }
    assert!(stranger.find(Default::default()).await.is_empty());
    assert_eq!(
        stranger.recover(Default::default()).await.unwrap(),
        (0, false)
    );
    assert_eq!(owner.get(&id(&made)).await.unwrap().disabled_at, 0);
    assert_eq!(sink.seen().len(), 1);
}

async fn operators_see_those_of_everybody(engine: Engine) {
    let (_home, app) = start(engine, FAST).await;
    let owners = [Owner::new(&app), Owner::new(&app)];
    let mut ids = Vec::new();
    for owner in &owners {
        ids.push(id(&owner.register("https://127.0.0.1/", &[]).await));
    }
    let list = async |request: ListEndpointsRequest| {
        let request = ListEndpointsRequest {
            whose: everybody(),
            limit: 10,
            ..request
        };
        let listed = app.manage.clone().list_endpoints(request).await.unwrap();
        let listed = listed.into_inner().endpoints.into_iter();
        listed
            .map(|one| one.endpoint_id.to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(ListEndpointsRequest::default()).await, ids);
    let behind = ListEndpointsRequest {
        after: ids[0].clone().into(),
        ..ListEndpointsRequest::default()
    };
    assert_eq!(list(behind).await, ids[1..]);
    let of_one = ListEndpointsRequest {
        account_id: owners[0].account.to_vec().into(),
        ..ListEndpointsRequest::default()
    };
    assert_eq!(list(of_one).await, ids[..1]);
    // Nobody means everybody by saying nothing.
    let nobody = ListEndpointsRequest::default();
    assert!(app.manage.clone().list_endpoints(nobody).await.is_err());
}
