//! Keys listed and changed over the wire, and what a change of caps does to a budget.

use db::Engine;
use domain::AccountId;
use proto::{Fault, billing::v1 as wire, common::v1::Mode};

use crate::{
    house::{House, on_both_engines},
    key_desk::{account, ask, client, customer, list, make, update, wanted},
};

on_both_engines!(
    a_list_has_pages_and_no_revoked_keys,
    a_change_changes_what_it_names,
    a_change_that_is_wrong_changes_nothing,
    caps_make_a_budget_and_what_was_spent_stays,
);

const DAY: i64 = 86_400_000_000;

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
        ..wire::ListKeysRequest::default()
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
        by: None,
    };
    client(&house).revoke_key(ask(revoke)).await.unwrap();
    assert_eq!(ids(&list(&house, owner).await), expected[1..]);
    // It is listed among those that were revoked, and alone; not to others.
    let mut gone = request(None, &[], 10);
    gone.revoked = true;
    let mut only = request(customer(owner, Mode::Test, &["manage"]), &[], 10);
    only.key_id = made[0].key_id.clone();
    for request in [gone, only.clone()] {
        assert_eq!(page(request).await, [expected[0].clone()]);
    }
    only.context = customer(owner, Mode::Live, &["manage"]);
    assert!(page(only).await.is_empty());
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
}

async fn a_change_that_is_wrong_changes_nothing(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let made = make(&house, wanted(owner)).await;
    let before = list(&house, owner).await;
    let change = || wire::UpdateKeyRequest {
        key_id: made.key_id.clone(),
        rpm: Some(1),
        ..wire::UpdateKeyRequest::default()
    };
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
    assert_eq!(list(&house, owner).await, before);
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
async fn spent(house: &House, set: &str) {
    house.run(format!("update budget set {set}")).await.unwrap();
}
