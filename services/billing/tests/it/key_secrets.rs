//! A rotated key is the same key with another secret: both open it for as long as was chosen, and a revocation ends both.

use db::Engine;
use proto::{billing::v1 as wire, common::v1::Mode};

use crate::{
    house::{House, on_both_engines},
    key_desk::{account, ask, client, customer, list, make, opens, rotate, update, wanted},
};

on_both_engines!(
    a_rotated_key_is_the_same_key_with_another_secret,
    rotated_again_the_oldest_secret_ends_at_once,
    an_overlap_has_its_limit,
    an_old_secret_ends_when_its_time_is_over,
    a_revoked_key_takes_its_old_secret_along,
);

/// Milliseconds.
const HOUR: u64 = 3_600_000;

async fn a_rotated_key_is_the_same_key_with_another_secret(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let first = make(&house, wanted(owner)).await;
    let id = Some(first.key_id.to_vec());
    let second = rotate(&house, &first, HOUR).await.unwrap();
    assert!(second.key.starts_with("aio_test_") && second.key != first.key);
    assert!(second.previous_until > house.db.now_micros());
    assert_eq!(opens(&house, &first.key).await, id);
    assert_eq!(opens(&house, &second.key).await, id);
    let shown = list(&house, owner).await.remove(0);
    assert!(second.key.ends_with(&shown.last_four));
    let previous = shown.previous.unwrap();
    assert!(first.key.ends_with(&previous.last_four));
    assert_eq!(previous.until, second.previous_until);
}

async fn rotated_again_the_oldest_secret_ends_at_once(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let first = make(&house, wanted(owner)).await;
    let id = Some(first.key_id.to_vec());
    let second = rotate(&house, &first, HOUR).await.unwrap();
    let third = rotate(&house, &first, HOUR).await.unwrap();
    assert_eq!(opens(&house, &first.key).await, None);
    assert_eq!(opens(&house, &second.key).await, id);
    assert_eq!(opens(&house, &third.key).await, id);
    // Without an overlap, the old one ends at once.
    let fourth = rotate(&house, &first, 0).await.unwrap();
    assert_eq!(fourth.previous_until, 0);
    for old in [&first.key, &second.key, &third.key] {
        assert_eq!(opens(&house, old).await, None);
    }
    assert_eq!(opens(&house, &fourth.key).await, id);
    assert_eq!(list(&house, owner).await.remove(0).previous, None);
}

async fn an_overlap_has_its_limit(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let key = make(&house, wanted(owner)).await;
    let month = 30 * 24 * HOUR;
    let rotated = rotate(&house, &key, month).await.unwrap();
    let fault = rotate(&house, &key, month + 1).await.unwrap_err();
    assert_eq!(
        (fault.code.word, fault.param.as_deref()),
        ("invalid_parameter", Some("overlap"))
    );
    assert!(opens(&house, &rotated.key).await.is_some());
    assert!(opens(&house, &key.key).await.is_some());
}

async fn an_old_secret_ends_when_its_time_is_over(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let first = make(&house, wanted(owner)).await;
    let second = rotate(&house, &first, 300).await.unwrap();
    assert!(opens(&house, &first.key).await.is_some());
    while house.db.now_micros() <= second.previous_until {
        tokio::task::yield_now().await;
    }
    assert_eq!(opens(&house, &first.key).await, None);
    assert!(opens(&house, &second.key).await.is_some());
    assert_eq!(list(&house, owner).await.remove(0).previous, None);
}

async fn a_revoked_key_takes_its_old_secret_along(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let first = make(&house, wanted(owner)).await;
    let second = rotate(&house, &first, HOUR).await.unwrap();
    let revoke = wire::RevokeKeyRequest {
        context: customer(owner, Mode::Test, &["manage"]),
        key_id: first.key_id.clone(),
        by: None,
    };
    for _ in 0..2 {
        client(&house)
            .revoke_key(ask(revoke.clone()))
            .await
            .unwrap();
    }
    for secret in [&first.key, &second.key] {
        assert_eq!(opens(&house, secret).await, None);
    }
    assert_eq!(
        rotate(&house, &first, 0).await.err().unwrap().code.word,
        "not_found"
    );
    let change = wire::UpdateKeyRequest {
        key_id: first.key_id.clone(),
        ..wire::UpdateKeyRequest::default()
    };
    assert_eq!(
        update(&house, change).await.unwrap_err().code.word,
        "not_found"
    );
}
