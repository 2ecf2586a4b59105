//! What signs, before, while and after it is rotated; and Ed25519.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use db::Engine;
use proto::{
    code,
    common::v1::Mode,
    webhooks::v1::{CreateEndpointRequest, UpdateEndpointRequest},
};
use ring::signature::{ED25519, UnparsedPublicKey};

use crate::{
    app::{FAST, start},
    database::on_both_engines,
    manage::{Owner, id, verifies},
    sink::{Reply, Seen, Sink},
};

on_both_engines!(
    while_they_overlap_either_secret_verifies,
    without_an_overlap_the_old_secret_verifies_nothing_more,
    the_secret_of_callbacks_is_rotated_in_the_same_way,
    an_endpoint_that_asks_for_it_is_signed_by_ed25519,
    a_rotation_is_answered_though_the_endpoint_cannot_be_read,
);

const DAY: u64 = 86_400_000;

/// Whether one of the `v1a` signatures of a request is that of a public key.
fn verifies_by_key(public: &str, seen: &Seen) -> bool {
    let public = BASE64
        .decode(public.strip_prefix("whpk_").unwrap())
        .unwrap();
    let text = |name: &str| seen.headers[name].to_str().unwrap().to_owned();
    let mut content = format!("{}.{}.", text("webhook-id"), text("webhook-timestamp")).into_bytes();
    content.extend_from_slice(&seen.body);
    let signatures = text("webhook-signature");
    let ed25519 = signatures
        .split(' ')
        .filter_map(|one| one.strip_prefix("v1a,"));
    let key = UnparsedPublicKey::new(&ED25519, public);
    ed25519
        .map(|encoded| BASE64.decode(encoded).unwrap())
        .any(|signature| key.verify(&content, &signature).is_ok())
}

fn schemes(seen: &Seen) -> Vec<String> {
    let all = seen.headers["webhook-signature"].to_str().unwrap();
    all.split(' ')
        .map(|one| one.split_once(',').unwrap().0.to_owned())
        .collect()
}

async fn while_they_overlap_either_secret_verifies(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    let made = owner.register(&sink.url("/"), &[]).await;
    let first = owner.rotate(&id(&made), DAY).await.unwrap();
    assert!(first.secret.starts_with("whsec_") && first.secret != made.secret);
    assert!(first.old_secret_until > 0 && first.public_key.is_empty());
    owner.tell().await;
    let seen = sink.saw(1).await.pop().unwrap();
    assert_eq!(schemes(&seen), ["v1", "v1"]);
    assert!(verifies(&made.secret, &seen) && verifies(&first.secret, &seen));
    let shown = owner.get(&id(&made)).await.unwrap();
    assert_eq!(shown.old_secret_until, first.old_secret_until);

    // Rotated again meanwhile, the one before last is forgotten.
    let second = owner.rotate(&id(&made), DAY).await.unwrap();
    owner.tell().await;
    let seen = sink.saw(2).await.pop().unwrap();
    assert!(verifies(&first.secret, &seen) && verifies(&second.secret, &seen));
    assert!(!verifies(&made.secret, &seen));

    let fault = owner.rotate(&id(&made), 7 * DAY + 1).await.unwrap_err();
    assert_eq!(
        (fault.code, fault.param.as_deref()),
        (code::INVALID_PARAMETER, Some("overlap"))
    );
}

async fn without_an_overlap_the_old_secret_verifies_nothing_more(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    let made = owner.register(&sink.url("/"), &[]).await;
    owner.rotate(&id(&made), DAY).await.unwrap();
    let last = owner.rotate(&id(&made), 0).await.unwrap();
    assert_eq!(last.old_secret_until, 0);
    owner.tell().await;
    let seen = sink.saw(1).await.pop().unwrap();
    assert_eq!(schemes(&seen), ["v1"]);
    assert!(verifies(&last.secret, &seen) && !verifies(&made.secret, &seen));
    // An overlap that is over.
    let brief = owner.rotate(&id(&made), 1).await.unwrap();
    crate::app::until("the overlap is over", async || {
        (chassis::clock::now_micros() > brief.old_secret_until + 50_000).then_some(())
    })
    .await;
    owner.tell().await;
    let seen = sink.saw(2).await.pop().unwrap();
    assert_eq!(schemes(&seen), ["v1"]);
    assert!(verifies(&brief.secret, &seen) && !verifies(&last.secret, &seen));
}

async fn the_secret_of_callbacks_is_rotated_in_the_same_way(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    // There was none yet.
    let made = owner.rotate(&[], DAY).await.unwrap();
    assert_eq!(app.secret(owner.account, Mode::Live).await, made.secret);
    let second = owner.rotate(&[], DAY).await.unwrap();
    let mut event = crate::app::event(&sink.url("/"));
    event.account = owner.account;
    app.publish_live(&event).await;
    let seen = sink.saw(1).await.pop().unwrap();
    assert!(verifies(&made.secret, &seen) && verifies(&second.secret, &seen));
    let third = owner.rotate(&[], 0).await.unwrap();
    let mut event = crate::app::event(&sink.url("/"));
    event.account = owner.account;
    app.publish_live(&event).await;
    let seen = sink.saw(2).await.pop().unwrap();
    assert!(!verifies(&second.secret, &seen) && verifies(&third.secret, &seen));
    assert_ne!(app.secret(owner.account, Mode::Test).await, third.secret);
}

async fn an_endpoint_that_asks_for_it_is_signed_by_ed25519(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    let request = CreateEndpointRequest {
        url: sink.url("/"),
        signature: "v1a".to_owned(),
        ..CreateEndpointRequest::default()
    };
    let made = owner.create(request).await.unwrap();
    let public = made.endpoint.as_ref().unwrap().public_key.clone();
    owner.tell().await;
    let seen = sink.saw(1).await.pop().unwrap();
    assert_eq!(schemes(&seen), ["v1a"]);
    assert!(verifies_by_key(&public, &seen));

    let rotated = owner.rotate(&id(&made), DAY).await.unwrap();
    assert_ne!(rotated.public_key, public);
    let change = UpdateEndpointRequest {
        signature: Some("both".to_owned()),
        ..UpdateEndpointRequest::default()
    };
    let endpoint = owner.update(&id(&made), change).await.unwrap();
    assert_eq!(endpoint.public_key, rotated.public_key);
    owner.tell().await;
    let seen = sink.saw(2).await.pop().unwrap();
    assert_eq!(schemes(&seen), ["v1", "v1", "v1a", "v1a"]);
    assert!(verifies_by_key(&public, &seen) && verifies_by_key(&rotated.public_key, &seen));
    assert!(verifies(&rotated.secret, &seen) && verifies(&made.secret, &seen));

    let change = UpdateEndpointRequest {
        signature: Some("v1".to_owned()),
        ..UpdateEndpointRequest::default()
    };
    let endpoint = owner.update(&id(&made), change).await.unwrap();
    assert!(endpoint.public_key.is_empty());
    owner.tell().await;
    assert_eq!(schemes(&sink.saw(3).await.pop().unwrap()), ["v1", "v1"]);
}

async fn a_rotation_is_answered_though_the_endpoint_cannot_be_read(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let owner = Owner::new(&app);
    let request = CreateEndpointRequest {
        url: sink.url("/"),
        signature: "both".to_owned(),
        ..CreateEndpointRequest::default()
    };
    let made = owner.create(request).await.unwrap();
    let shown = owner.get(&id(&made)).await.unwrap();
    assert_eq!(made.endpoint, Some(shown), "made as it is kept");
    app.change("update endpoint set description = secret").await;
    assert!(owner.get(&id(&made)).await.is_err());
    let rotated = owner.rotate(&id(&made), 0).await.unwrap();
    owner.tell().await;
    let seen = sink.saw(1).await.pop().unwrap();
    assert!(verifies(&rotated.secret, &seen) && verifies_by_key(&rotated.public_key, &seen));
}
