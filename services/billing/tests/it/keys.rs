//! Keys: made, recognised, expired, revoked.

use billing::{Caps, NewKey};
use db::Engine;
use domain::{AccountId, Micros, Mode, Scope};

use crate::house::{House, code, on_both_engines};

on_both_engines!(
    a_key_says_who_it_is,
    no_two_keys_are_alike_and_every_digit_is_used,
    malformed_unknown_expired_and_revoked_keys_look_alike,
    what_is_wrong_with_a_key_is_said,
);

fn wanted(account: AccountId) -> NewKey {
    NewKey {
        account,
        name: "laptop".to_owned(),
        mode: Mode::Test,
        scopes: Vec::new(),
        models: vec!["gemini".to_owned()],
        caps: Caps::default(),
        rpm: 60,
        concurrency: 4,
        max_open_tasks: 9,
        ip_allow: vec!["203.0.113.7".to_owned(), "2001:db8::/32".to_owned()],
        expires_at: None,
    }
}

async fn a_key_says_who_it_is(engine: Engine) {
    let house = House::open(engine).await;
    let account = house.billing.operator();
    let made = house.billing.create_key(wanted(account)).await.unwrap();
    let text = made.key.expose();
    assert!(
        text.starts_with("aio_test_") && text.len() == 51,
        "{}",
        text.len()
    );
    let identity = house.billing.authenticate(text).await.unwrap();
    assert_eq!(identity.account, account);
    assert_eq!(identity.key, made.id);
    assert_eq!(identity.mode, Mode::Test);
    assert_eq!(identity.scopes, ["inference", "read"]);
    assert_eq!(identity.models, ["gemini"]);
    assert_eq!((identity.rpm, identity.concurrency), (60, 4));
    assert_eq!(identity.max_open_tasks, 9);
    assert_eq!(identity.ip_allow, ["203.0.113.7", "2001:db8::/32"]);
}

async fn no_two_keys_are_alike_and_every_digit_is_used(engine: Engine) {
    let house = House::open(engine).await;
    let mut seen = std::collections::BTreeSet::new();
    let mut digits = std::collections::BTreeSet::new();
    for _ in 0..40 {
        let made = house
            .billing
            .create_key(wanted(house.billing.operator()))
            .await;
        let text = made.unwrap().key.expose().to_owned();
        digits.extend(text.strip_prefix("aio_test_").unwrap()[..36].chars());
        assert!(seen.insert(text));
    }
    assert_eq!(digits.len(), 62);
}

async fn malformed_unknown_expired_and_revoked_keys_look_alike(engine: Engine) {
    let house = House::open(engine).await;
    let account = house.billing.operator();
    let soon = NewKey {
        expires_at: Some(house.db.now_micros() + 100_000),
        ..wanted(account)
    };
    let expired = house.billing.create_key(soon).await.unwrap().key;
    let revoked = house.billing.create_key(wanted(account)).await.unwrap();
    for _ in 0..2 {
        house.billing.revoke_key(revoked.id).await.unwrap();
    }
    let unknown = domain::ApiKey::from_random(Mode::Live, &[5; 36]);
    while house.db.now_micros() <= expires(&house).await {
        tokio::task::yield_now().await;
    }
    let mut faults = Vec::new();
    for text in [
        "",
        "sk-1",
        unknown.expose(),
        expired.expose(),
        revoked.key.expose(),
    ] {
        let refused = house.billing.authenticate(text).await;
        faults.push(proto::Fault::from(refused.unwrap_err()));
    }
    assert_eq!(faults[0].code.word, "invalid_key");
    assert!(faults.iter().all(|fault| *fault == faults[0]), "{faults:?}");
}

async fn expires(house: &House) -> i64 {
    sqlx::query_scalar("select max(expires_at) from api_key")
        .fetch_one(house.db.reader())
        .await
        .unwrap()
}

async fn what_is_wrong_with_a_key_is_said(engine: Engine) {
    let house = House::open(engine).await;
    let good = || wanted(house.billing.operator());
    let wrong = [
        NewKey {
            name: String::new(),
            ..good()
        },
        NewKey {
            ip_allow: vec!["localhost".to_owned()],
            ..good()
        },
        NewKey {
            models: vec![String::new()],
            ..good()
        },
        NewKey {
            models: vec!["m".to_owned(); 101],
            ..good()
        },
        NewKey {
            expires_at: Some(house.db.now_micros()),
            ..good()
        },
        NewKey {
            caps: Caps {
                month: Some(Micros::new(-1)),
                ..Caps::default()
            },
            ..good()
        },
    ];
    for wrong in wrong {
        let refused = house.billing.create_key(wrong.clone()).await;
        assert_eq!(code(refused), "invalid_parameter", "{wrong:?}");
    }
    let nobody = NewKey {
        account: chassis::mint(),
        ..good()
    };
    assert_eq!(code(house.billing.create_key(nobody).await), "not_found");
    assert_eq!(
        code(house.billing.revoke_key(chassis::mint()).await),
        "not_found"
    );
    let scopes = NewKey {
        scopes: vec![Scope::Manage],
        ..good()
    };
    let made = house.billing.create_key(scopes).await.unwrap();
    let identity = house.billing.authenticate(made.key.expose()).await.unwrap();
    assert_eq!(identity.scopes, ["manage"]);
}
