//! The secret that signs callbacks.

use std::collections::HashSet;

use chassis::mint;
use db::Engine;
use proto::{
    Fault, code,
    common::v1::Mode,
    webhooks::v1::{GetSecretRequest, PublishRequest},
};

use crate::{
    app::{FAST, Home, start},
    database::on_both_engines,
};

on_both_engines!(
    one_account_and_mode_has_one_secret_for_ever,
    a_message_that_does_not_hold_together_is_our_own_fault,
);

async fn one_account_and_mode_has_one_secret_for_ever(engine: Engine) {
    let home = Home::new(engine).await;
    let app = home.start(FAST, "").await;
    let (account, other) = (mint(), mint());
    let asking = (0..50).map(|_| app.secret(account, Mode::Test));
    let answers: HashSet<String> = futures::future::join_all(asking)
        .await
        .into_iter()
        .collect();
    assert_eq!(answers.len(), 1);
    let secret = answers.into_iter().next().unwrap();
    assert!(secret.starts_with("whsec_"));
    // 32 bytes in base64.
    assert_eq!(secret.len(), "whsec_".len() + 44);

    let live = app.secret(account, Mode::Live).await;
    let stranger = app.secret(other, Mode::Test).await;
    assert_eq!(HashSet::from([&secret, &live, &stranger]).len(), 3);

    drop(app);
    let app = home.start(FAST, "").await;
    assert_eq!(app.secret(account, Mode::Test).await, secret);
    assert_eq!(app.secret(account, Mode::Live).await, live);
}

async fn a_message_that_does_not_hold_together_is_our_own_fault(engine: Engine) {
    let (_home, app) = start(engine, FAST).await;
    let mut client = app.client.clone();
    let nobody = client
        .get_secret(GetSecretRequest { context: None })
        .await
        .unwrap_err();
    assert_eq!(Fault::from(nobody).code, code::INTERNAL);
    let nothing = client.publish(PublishRequest::default()).await.unwrap_err();
    assert_eq!(Fault::from(nothing).code, code::INTERNAL);
}
