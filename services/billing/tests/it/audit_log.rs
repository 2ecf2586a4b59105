//! The audit log: each change leaves a row, what was refused or changed nothing leaves none, and nobody reads another's.

use billing::{By, CreditsRequest, Error};
use db::Engine;
use domain::{AccountId, Micros, Mode, OperationId};
use proto::{
    billing::v1::{self as wire, billing_client::BillingClient},
    common::v1 as common,
};
use serde_json::{Value, json};

use crate::{
    house::{House, on_both_engines},
    key_desk::{account, ask, client, customer, make, update, wanted},
};

on_both_engines!(
    a_change_leaves_a_row_in_its_transaction,
    what_changed_of_a_key_is_told,
    a_customer_reads_what_is_of_its_account_and_mode,
    the_log_is_append_only,
);

/// Rows of the log, the oldest first: who did what, and what became of it.
async fn log(
    house: &House,
    account: Option<AccountId>,
    context: Option<common::Context>,
) -> Vec<(String, String, Value)> {
    let mut entries = Vec::new();
    let mut before = bytes::Bytes::new();
    // Page by page, as readers do.
    loop {
        let request = wire::ListAuditLogRequest {
            context: context.clone(),
            account_id: account.map(AccountId::to_vec).unwrap_or_default().into(),
            limit: 2,
            before,
        };
        let mut billing = BillingClient::new(chassis::rpc::in_process(house.billing.routes()));
        let page = billing.list_audit_log(ask(request)).await.unwrap();
        let page = page.into_inner().entries;
        let Some(last) = page.last() else { break };
        before = last.entry_id.clone();
        entries.extend(page);
    }
    let mut told: Vec<_> = entries
        .into_iter()
        .map(|entry| {
            let detail = serde_json::from_slice(&entry.detail).unwrap();
            (entry.actor, entry.action, detail)
        })
        .collect();
    told.reverse();
    told
}

fn row(actor: &str, action: &str, detail: Value) -> (String, String, Value) {
    (actor.to_owned(), action.to_owned(), detail)
}

async fn give(
    house: &House,
    account: AccountId,
    (transfer, amount): (OperationId, i64),
) -> Result<(), Error> {
    let request = CreditsRequest {
        transfer,
        balance: billing::ledger::BalanceId {
            account,
            mode: Mode::Live,
        },
        amount: Micros::new(amount),
        reason: "a gift".to_owned(),
        by: By {
            actor: "key_1".to_owned(),
            request: "req_1".to_owned(),
        },
        expires_at: None,
    };
    house.billing.add_credits(request).await
}

async fn a_change_leaves_a_row_in_its_transaction(engine: Engine) {
    let house = House::open(engine).await;
    let account = account(&house).await;
    let gift = chassis::mint();
    for _ in 0..2 {
        give(&house, account, (gift, 100)).await.unwrap();
    }
    give(&house, account, (gift, 7)).await.unwrap_err();
    let beyond = give(&house, account, (chassis::mint(), -101)).await;
    assert!(matches!(beyond, Err(Error::Insufficient { .. })));
    let frozen = wire::FreezeAccountRequest {
        account_id: account.to_vec().into(),
        frozen: true,
        by: Some(common::Actor {
            name: "key_2".to_owned(),
            request_id: "req_2".to_owned(),
        }),
    };
    let mut billing = BillingClient::new(chassis::rpc::in_process(house.billing.routes()));
    for _ in 0..2 {
        billing.freeze_account(ask(frozen.clone())).await.unwrap();
    }
    let nobody = wire::FreezeAccountRequest {
        account_id: chassis::mint::<domain::ids::Account>().to_vec().into(),
        ..frozen
    };
    billing.freeze_account(ask(nobody)).await.unwrap_err();
    let told = log(&house, Some(account), None).await;
    let (given, test) = (
        json!({"microcredits": 100, "reason": "a gift", "expires_at": null}),
        &told[0].2["test_microcredits"],
    );
    assert_eq!(
        told[1..],
        [
            row("key_1", "credits.add", given),
            row(
                "key_2",
                "account.update",
                json!({"after": {"frozen": true}})
            ),
        ]
    );
    assert_eq!((&*told[0].1, test.is_i64()), ("account.create", true));
    // Why is for the operator alone.
    let reader = customer(account, common::Mode::Live, &["manage"]);
    let read = log(&house, None, reader).await;
    let given = json!({"microcredits": 100, "expires_at": null});
    assert_eq!(read[1], row("key_1", "credits.add", given));
    house.audit().await;
}

async fn what_changed_of_a_key_is_told(engine: Engine) {
    let house = House::open(engine).await;
    let account = account(&house).await;
    let made = make(&house, wanted(account)).await;
    let change = wire::UpdateKeyRequest {
        key_id: made.key_id.clone(),
        rpm: Some(5),
        name: Some("laptop".to_owned()),
        cap_day: Some(wire::CapChange { amount: Some(9) }),
        ..wire::UpdateKeyRequest::default()
    };
    // The second time nothing changes.
    for _ in 0..2 {
        update(&house, change.clone()).await.unwrap();
    }
    let rotation = wire::RotateKeyRequest {
        key_id: made.key_id.clone(),
        ..wire::RotateKeyRequest::default()
    };
    client(&house).rotate_key(ask(rotation)).await.unwrap();
    for _ in 0..2 {
        let revocation = wire::RevokeKeyRequest {
            key_id: made.key_id.clone(),
            ..wire::RevokeKeyRequest::default()
        };
        client(&house).revoke_key(ask(revocation)).await.unwrap();
    }
    let told = log(&house, Some(account), None).await;
    let actions: Vec<&str> = told.iter().map(|(_, action, _)| action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "account.create",
            "key.create",
            "key.update",
            "key.rotate",
            "key.revoke"
        ]
    );
    assert_eq!(told[1].2["scopes"], json!(["inference", "read"]));
    assert_eq!(
        told[2].2,
        json!({"before": {"rpm": 0, "cap_day_microcredits": null}, "after": {"rpm": 5, "cap_day_microcredits": 9}})
    );
    assert_eq!(told[3].2["previous_until"], Value::Null);
    let text = format!("{told:?}");
    assert!(!text.contains(&made.key), "no key stands in the log");
}

async fn a_customer_reads_what_is_of_its_account_and_mode(engine: Engine) {
    let house = House::open(engine).await;
    let (alice, bob) = (account(&house).await, account(&house).await);
    make(&house, wanted(alice)).await;
    let own = wire::CreateKeyRequest {
        context: customer(alice, common::Mode::Live, &["inference", "read", "manage"]),
        ..wanted(alice)
    };
    make(&house, own).await;
    make(&house, wanted(bob)).await;
    let read = async |mode| {
        let context = customer(alice, mode, &["manage"]);
        // Whoever says another's account reads their own.
        let told = log(&house, Some(bob), context).await;
        let modes = told
            .into_iter()
            .map(|(_, action, detail)| (action, detail["mode"].clone()));
        modes.collect::<Vec<_>>()
    };
    let of = |mode: &str| {
        vec![
            ("account.create".to_owned(), Value::Null),
            ("key.create".to_owned(), json!(mode)),
        ]
    };
    assert_eq!(read(common::Mode::Test).await, of("test"));
    assert_eq!(read(common::Mode::Live).await, of("live"));
    let accounts = log(&house, None, None).await;
    // The operator's own account too.
    assert_eq!(accounts.len(), 6);
}

async fn the_log_is_append_only(engine: Engine) {
    let house = House::open(engine).await;
    account(&house).await;
    for sql in [
        "update audit_log set actor = 'nobody'",
        "delete from audit_log",
    ] {
        house.run(sql).await.unwrap_err();
    }
}
