//! Keys listed, changed, rotated and revoked over the wire: by operators, and by customers, who see their own and hand out no
//! more than they have.

use std::time::Duration;

use chassis::rpc;
use db::Engine;
use domain::AccountId;
use proto::{
    Fault,
    billing::v1::{self as wire, keys_client::KeysClient},
    common::v1::{Context, Mode},
};

use crate::house::{House, code, on_both_engines};

on_both_engines!(
    a_list_has_pages_and_no_revoked_keys,
    a_change_changes_what_it_names,
    caps_make_a_budget_and_what_was_spent_stays,
    a_rotated_key_is_the_same_key_with_another_secret,
    an_old_secret_ends_when_its_time_is_over,
    a_revoked_key_takes_its_old_secret_along,
    nobody_hands_out_more_than_they_have,
    what_is_anothers_is_as_unknown_as_what_is_nobodys,
);

const DAY: i64 = 86_400_000_000;

type Client = KeysClient<rpc::Channel>;

fn client(house: &House) -> Client {
    KeysClient::new(rpc::in_process(house.billing.routes()))
}

fn ask<M>(message: M) -> tonic::Request<M> {
    rpc::request(message, Duration::from_secs(10))
}

/// A customer with a key of these scopes.
fn customer(account: AccountId, mode: Mode, scopes: &[&str]) -> Option<Context> {
    Some(Context {
        account_id: account.to_vec().into(),
        mode: mode.into(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..Context::default()
    })
}

async fn account(house: &House) -> AccountId {
    house
        .billing
        .create_account("someone", None)
        .await
        .unwrap()
        .id
}

/// What an operator asks for: a test key that may do what keys usually may.
fn wanted(account: AccountId) -> wire::CreateKeyRequest {
    wire::CreateKeyRequest {
        account_id: account.to_vec().into(),
        mode: Mode::Test.into(),
        name: "laptop".to_owned(),
        ..wire::CreateKeyRequest::default()
    }
}

async fn make(house: &House, request: wire::CreateKeyRequest) -> wire::CreatedKey {
    let made = client(house).create_key(ask(request)).await;
    made.unwrap().into_inner()
}

async fn list(house: &House, account: AccountId) -> Vec<wire::Key> {
    let request = wire::ListKeysRequest {
        account_id: account.to_vec().into(),
        limit: 100,
        ..wire::ListKeysRequest::default()
    };
    let listed = client(house).list_keys(ask(request)).await;
    listed.unwrap().into_inner().keys
}

async fn update(house: &House, request: wire::UpdateKeyRequest) -> Result<wire::Key, Fault> {
    let updated = client(house).update_key(ask(request)).await;
    updated
        .map(tonic::Response::into_inner)
        .map_err(Fault::from)
}

/// Rotates as an operator.
async fn rotate(
    house: &House,
    key: &wire::CreatedKey,
    overlap_ms: u64,
) -> Result<wire::RotatedKey, Fault> {
    let request = wire::RotateKeyRequest {
        context: None,
        key_id: key.key_id.clone(),
        overlap_ms,
    };
    let rotated = client(house).rotate_key(ask(request)).await;
    rotated
        .map(tonic::Response::into_inner)
        .map_err(Fault::from)
}

/// The id behind a secret, if it opens anything.
async fn opens(house: &House, secret: &str) -> Option<Vec<u8>> {
    let identity = house.billing.authenticate(secret).await;
    identity.ok().map(|identity| identity.key.to_vec())
}

async fn a_list_has_pages_and_no_revoked_keys(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let mut made = Vec::new();
    for mode in [Mode::Test, Mode::Live, Mode::Test, Mode::Test] {
        let mode = mode.into();
        made.push(
            make(
                &house,
                wire::CreateKeyRequest {
                    mode,
                    ..wanted(owner)
                },
            )
            .await,
        );
    }
    let ids = |keys: &[wire::Key]| -> Vec<Vec<u8>> {
        keys.iter().map(|key| key.key_id.to_vec()).collect()
    };
    let shown = list(&house, owner).await;
    let expected: Vec<Vec<u8>> = made.iter().map(|key| key.key_id.to_vec()).collect();
    assert_eq!(ids(&shown), expected);
    assert!(made[0].key.ends_with(&shown[0].last_four) && shown[0].last_four.len() == 4);
    assert_eq!(shown[0].scopes, ["inference", "read"]);
    assert_eq!((&shown[0].budget, &shown[0].previous), (&None, &None));

    let page = async |request| {
        let listed = client(&house).list_keys(ask(request)).await;
        ids(&listed.unwrap().into_inner().keys)
    };
    let request = |context, after: &[u8], limit| wire::ListKeysRequest {
        account_id: owner.to_vec().into(),
        context,
        limit,
        after: after.to_vec().into(),
    };
    assert_eq!(
        page(request(None, &expected[1], 1)).await,
        [expected[2].clone()]
    );
    // A customer sees the keys of the mode they ask with.
    let context = customer(owner, Mode::Live, &["manage"]);
    assert_eq!(
        page(request(context, &[], 100)).await,
        [expected[1].clone()]
    );

    let revoke = wire::RevokeKeyRequest {
        context: None,
        key_id: made[0].key_id.clone(),
    };
    client(&house).revoke_key(ask(revoke)).await.unwrap();
    assert_eq!(ids(&list(&house, owner).await), expected[1..]);
    let nobody = wire::ListKeysRequest {
        account_id: AccountId::to_vec(chassis::mint()).into(),
        ..request(None, &[], 10)
    };
    let refused = client(&house).list_keys(ask(nobody)).await.unwrap_err();
    assert_eq!(Fault::from(refused).code.word, "not_found");
}

async fn a_change_changes_what_it_names(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let made = make(
        &house,
        wire::CreateKeyRequest {
            models: vec!["gemini".to_owned()],
            rpm: 5,
            expires_at: house.db.now_micros() + DAY,
            ..wanted(owner)
        },
    )
    .await;
    let change = || wire::UpdateKeyRequest {
        key_id: made.key_id.clone(),
        ..wire::UpdateKeyRequest::default()
    };
    let before = list(&house, owner).await;
    assert_eq!(update(&house, change()).await.unwrap(), before[0]);
    let changed = wire::UpdateKeyRequest {
        name: Some(" server ".to_owned()),
        models: Some(wire::WordList::default()),
        ip_allow: Some(wire::WordList {
            words: vec!["10.0.0.0/8".to_owned()],
        }),
        concurrency: Some(3),
        max_open_tasks: Some(4),
        expires_at: Some(0),
        ..change()
    };
    let after = update(&house, changed).await.unwrap();
    let expected = wire::Key {
        name: "server".to_owned(),
        models: Vec::new(),
        ip_allow: vec!["10.0.0.0/8".to_owned()],
        concurrency: 3,
        max_open_tasks: 4,
        expires_at: 0,
        ..before[0].clone()
    };
    assert_eq!(after, expected);
    assert_eq!(list(&house, owner).await, [expected]);
    let identity = house.billing.authenticate(&made.key).await.unwrap();
    assert_eq!(
        (identity.rpm, identity.concurrency, identity.max_open_tasks),
        (5, 3, 4)
    );
    let words = |word: &str| {
        Some(wire::WordList {
            words: vec![word.to_owned()],
        })
    };
    for (param, wrong) in [
        (
            "name",
            wire::UpdateKeyRequest {
                name: Some(String::new()),
                ..change()
            },
        ),
        (
            "ip_allow",
            wire::UpdateKeyRequest {
                ip_allow: words("localhost"),
                ..change()
            },
        ),
        (
            "models",
            wire::UpdateKeyRequest {
                models: words(""),
                ..change()
            },
        ),
        (
            "expires_at",
            wire::UpdateKeyRequest {
                expires_at: Some(1),
                ..change()
            },
        ),
        (
            "caps.total",
            wire::UpdateKeyRequest {
                cap_total: Some(wire::CapChange { amount: Some(-1) }),
                ..change()
            },
        ),
    ] {
        let fault = update(&house, wrong).await.unwrap_err();
        assert_eq!(
            (fault.code.word, fault.param.as_deref()),
            ("invalid_parameter", Some(param))
        );
    }
    assert_eq!(list(&house, owner).await.len(), 1);
}

async fn caps_make_a_budget_and_what_was_spent_stays(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let caps = wire::Caps {
        day: Some(10),
        ..wire::Caps::default()
    };
    let capped = wire::CreateKeyRequest {
        caps: Some(caps),
        ..wanted(owner)
    };
    let made = make(&house, capped).await;
    make(&house, wanted(owner)).await;
    let budgets = async || -> Vec<Option<wire::Budget>> {
        list(&house, owner)
            .await
            .into_iter()
            .map(|key| key.budget)
            .collect()
    };
    let fresh = wire::Budget {
        caps: Some(caps),
        ..wire::Budget::default()
    };
    assert_eq!(budgets().await, [Some(fresh), None]);

    // What the ledger writes, today and on another day.
    spent(
        &house,
        "spent_day = 3, spent_month = 5, spent_total = 7, held = 2, day = 9999999, month = 9999999",
    )
    .await;
    let budget = budgets().await.remove(0).unwrap();
    assert_eq!(
        (budget.spent_day, budget.spent_month, budget.spent_total),
        (3, 5, 7)
    );
    let change = wire::UpdateKeyRequest {
        key_id: made.key_id.clone(),
        cap_day: Some(wire::CapChange { amount: None }),
        cap_total: Some(wire::CapChange { amount: Some(20) }),
        ..wire::UpdateKeyRequest::default()
    };
    let after = update(&house, change).await.unwrap().budget.unwrap();
    let raised = wire::Caps {
        total: Some(20),
        ..wire::Caps::default()
    };
    assert_eq!(after.caps, Some(raised));
    assert_eq!((after.spent_day, after.spent_total), (3, 7));
    let held: i64 = sqlx::query_scalar("select held from budget")
        .fetch_one(house.db.reader())
        .await
        .unwrap();
    assert_eq!(held, 2);
    spent(&house, "day = 1, month = 1").await;
    let budget = budgets().await.remove(0).unwrap();
    assert_eq!(
        (budget.spent_day, budget.spent_month, budget.spent_total),
        (0, 0, 7)
    );
    // A key that never had a cap gets no budget by taking none away.
    let other = list(&house, owner).await[1].key_id.clone();
    let change = wire::UpdateKeyRequest {
        key_id: other,
        cap_day: Some(wire::CapChange { amount: None }),
        ..wire::UpdateKeyRequest::default()
    };
    assert_eq!(update(&house, change).await.unwrap().budget, None);
}

/// Writes what only the ledger writes.
async fn spent(house: &House, set: &'static str) {
    let written: Result<(), billing::Error> = house
        .db
        .write(move |connection| {
            Box::pin(async move {
                let sql = sqlx::AssertSqlSafe(format!("update budget set {set}"));
                sqlx::query(sql).execute(connection).await?;
                Ok(())
            })
        })
        .await;
    written.unwrap();
}

async fn a_rotated_key_is_the_same_key_with_another_secret(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let first = make(&house, wanted(owner)).await;
    let id = Some(first.key_id.to_vec());
    let hour = 3_600_000;
    let second = rotate(&house, &first, hour).await.unwrap();
    assert!(second.key.starts_with("aio_test_") && second.key != first.key);
    assert!(second.previous_until > house.db.now_micros());
    assert_eq!(opens(&house, &first.key).await, id);
    assert_eq!(opens(&house, &second.key).await, id);
    let shown = list(&house, owner).await.remove(0);
    assert!(second.key.ends_with(&shown.last_four));
    let previous = shown.previous.unwrap();
    assert!(first.key.ends_with(&previous.last_four));
    assert_eq!(previous.until, second.previous_until);

    // Rotated again, the oldest ends at once.
    let third = rotate(&house, &first, hour).await.unwrap();
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

    let month = 30 * 24 * hour;
    rotate(&house, &first, month).await.unwrap();
    let fault = rotate(&house, &first, month + 1).await.unwrap_err();
    assert_eq!(
        (fault.code.word, fault.param.as_deref()),
        ("invalid_parameter", Some("overlap"))
    );
    assert_eq!(opens(&house, &fourth.key).await, id);
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
    let second = rotate(&house, &first, 3_600_000).await.unwrap();
    let revoke = wire::RevokeKeyRequest {
        context: customer(owner, Mode::Test, &["manage"]),
        key_id: first.key_id.clone(),
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

async fn nobody_hands_out_more_than_they_have(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let elsewhere = account(&house).await;
    let make_as = async |have: &[&str], give: &[&str]| {
        let request = wire::CreateKeyRequest {
            context: customer(owner, Mode::Test, have),
            scopes: give.iter().map(|scope| (*scope).to_owned()).collect(),
            // What the context says goes before.
            account_id: elsewhere.to_vec().into(),
            mode: Mode::Live.into(),
            name: "k".to_owned(),
            ..wire::CreateKeyRequest::default()
        };
        let made = client(&house).create_key(ask(request)).await;
        made.map(tonic::Response::into_inner)
            .map_err(|status| Fault::from(status).code.word)
    };
    let all = ["inference", "read", "manage"];
    assert_eq!(
        make_as(&all, &["admin"]).await.unwrap_err(),
        "missing_scope"
    );
    assert_eq!(
        make_as(&["manage"], &[]).await.unwrap_err(),
        "missing_scope"
    );
    let made = make_as(&all, &["read", "manage"]).await.unwrap();
    let identity = house.billing.authenticate(&made.key).await.unwrap();
    assert_eq!(
        (identity.account, identity.mode),
        (owner, domain::Mode::Test)
    );
    assert_eq!(identity.scopes, ["read", "manage"]);
    assert!(list(&house, elsewhere).await.is_empty());

    // Nor by taking over a key that may do more; but anybody who sees it may end it.
    let scopes = vec!["admin".to_owned()];
    let strong = make(
        &house,
        wire::CreateKeyRequest {
            scopes,
            ..wanted(owner)
        },
    )
    .await;
    let context = customer(owner, Mode::Test, &all);
    let rotation = wire::RotateKeyRequest {
        context: context.clone(),
        key_id: strong.key_id.clone(),
        overlap_ms: 0,
    };
    let refused = client(&house).rotate_key(ask(rotation)).await.unwrap_err();
    assert_eq!(Fault::from(refused).code.word, "missing_scope");
    let change = wire::UpdateKeyRequest {
        context: context.clone(),
        key_id: strong.key_id.clone(),
        rpm: Some(1),
        ..wire::UpdateKeyRequest::default()
    };
    assert_eq!(
        update(&house, change).await.unwrap_err().code.word,
        "missing_scope"
    );
    assert!(opens(&house, &strong.key).await.is_some());
    let revoke = wire::RevokeKeyRequest {
        context,
        key_id: strong.key_id.clone(),
    };
    client(&house).revoke_key(ask(revoke)).await.unwrap();
    assert_eq!(
        code(house.billing.authenticate(&strong.key).await),
        "invalid_key"
    );
}

async fn what_is_anothers_is_as_unknown_as_what_is_nobodys(engine: Engine) {
    let house = House::open(engine).await;
    let (owner, stranger) = (account(&house).await, account(&house).await);
    let made = make(&house, wanted(owner)).await;
    let unknown = domain::KeyId::to_vec(chassis::mint());
    let mut faults = Vec::new();
    for (account, mode, key) in [
        (stranger, Mode::Test, made.key_id.to_vec()),
        (owner, Mode::Live, made.key_id.to_vec()),
        (owner, Mode::Test, unknown),
    ] {
        let context = customer(account, mode, &["inference", "read", "manage", "admin"]);
        let key_id = wire::Key {
            key_id: key.into(),
            ..wire::Key::default()
        }
        .key_id;
        let mut client = client(&house);
        let update = wire::UpdateKeyRequest {
            context: context.clone(),
            key_id: key_id.clone(),
            ..wire::UpdateKeyRequest::default()
        };
        faults.push(Fault::from(
            client.update_key(ask(update)).await.unwrap_err(),
        ));
        let rotate = wire::RotateKeyRequest {
            context: context.clone(),
            key_id: key_id.clone(),
            overlap_ms: 0,
        };
        faults.push(Fault::from(
            client.rotate_key(ask(rotate)).await.unwrap_err(),
        ));
        let revoke = wire::RevokeKeyRequest { context, key_id };
        faults.push(Fault::from(
            client.revoke_key(ask(revoke)).await.unwrap_err(),
        ));
    }
    assert_eq!(faults[0].code.word, "not_found");
    assert!(faults.iter().all(|fault| *fault == faults[0]), "{faults:?}");
    assert!(opens(&house, &made.key).await.is_some());
}
