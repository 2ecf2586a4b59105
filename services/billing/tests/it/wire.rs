//! The service as others call it: the generated client over the in-process channel.

use std::time::Duration;

use chassis::rpc;
use db::Engine;
use domain::{AccountId, OperationId};
use proto::{
    Fault,
    billing::v1::{self as wire, billing_client::BillingClient, keys_client::KeysClient},
    common::v1 as common,
};
use tonic::Request;

use crate::house::{House, on_both_engines};

on_both_engines!(
    a_whole_life_over_the_wire,
    faults_keep_their_code_and_words,
    an_unknown_scope_is_named,
);

type Client = BillingClient<rpc::Channel>;

fn client(house: &House) -> Client {
    BillingClient::new(rpc::in_process(house.billing.rpc_server()))
}

fn keys(house: &House) -> KeysClient<rpc::Channel> {
    KeysClient::new(rpc::in_process(house.billing.keys_server()))
}

fn ask<M>(message: M) -> Request<M> {
    rpc::request(message, Duration::from_secs(5))
}

fn context(account: &[u8]) -> Option<common::Context> {
    Some(common::Context {
        account_id: account.to_vec().into(),
        mode: common::Mode::Live.into(),
        ..common::Context::default()
    })
}

fn hold(account: &[u8], amount: i64, kind: wire::HoldKind) -> wire::HoldRequest {
    wire::HoldRequest {
        context: context(account),
        hold_id: chassis::mint::<domain::ids::Operation>().to_vec().into(),
        kind: kind.into(),
        amount,
        floor: amount,
        ttl_ms: 60_000,
        price_version: "v1".to_owned(),
    }
}

/// Holds 60, of 100, and captures 25.
async fn spend_twenty_five(client: &mut Client, account: &[u8]) {
    let request = hold(account, 60, wire::HoldKind::Chat);
    let held = client
        .hold(ask(request.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((held.granted, held.available), (60, 40));
    let settle = wire::SettleRequest {
        hold_id: request.hold_id,
        outcome: wire::Outcome::Capture.into(),
        amount: 25,
        receipt: "{}".into(),
        context: None,
    };
    let settled = client.settle(ask(settle)).await.unwrap().into_inner();
    assert_eq!(settled.captured, 25);
}

async fn a_whole_life_over_the_wire(engine: Engine) {
    let house = House::open(engine).await;
    let mut client = client(&house);
    let named = wire::CreateAccountRequest {
        name: "acme".to_owned(),
        test_credits: Some(5),
        by: None,
        account_id: Default::default(),
    };
    let account = client
        .create_account(ask(named))
        .await
        .unwrap()
        .into_inner();
    let id = AccountId::from_slice(&account.account_id).unwrap();
    assert_eq!(account.name, "acme");

    let credits = wire::AddCreditsRequest {
        account_id: account.account_id.clone(),
        mode: common::Mode::Live.into(),
        amount: 100,
        reason: "gift".to_owned(),
        transfer_id: chassis::mint::<domain::ids::Operation>().to_vec().into(),
        by: None,
        expires_at: 0,
    };
    for _ in 0..2 {
        let balance = client.add_credits(ask(credits.clone())).await.unwrap();
        assert_eq!(balance.into_inner().posted, 100);
    }

    let wanted = wire::CreateKeyRequest {
        account_id: account.account_id.clone(),
        name: "laptop".to_owned(),
        mode: common::Mode::Live.into(),
        ..wire::CreateKeyRequest::default()
    };
    let mut keys = keys(&house);
    let key = keys.create_key(ask(wanted)).await.unwrap().into_inner();
    let presented = wire::AuthenticateRequest { key: key.key };
    let identity = client.authenticate(ask(presented.clone())).await.unwrap();
    let identity = identity.into_inner();
    assert_eq!(identity.account_id, account.account_id);
    assert_eq!(identity.mode(), common::Mode::Live);
    assert_eq!(identity.scopes, ["inference", "read"]);

    spend_twenty_five(&mut client, &id.to_vec()).await;

    let look = wire::GetBalanceRequest {
        context: context(&id.to_vec()),
    };
    let balance = client.get_balance(ask(look)).await.unwrap().into_inner();
    assert_eq!(
        (balance.posted, balance.held, balance.open_holds),
        (75, 0, 0)
    );

    let revoke = wire::RevokeKeyRequest {
        context: None,
        key_id: key.key_id,
        by: None,
    };
    keys.revoke_key(ask(revoke)).await.unwrap();
    let refused = client.authenticate(ask(presented)).await.unwrap_err();
    assert_eq!(Fault::from(refused).code.word, "invalid_key");

    let all = wire::ListAccountsRequest {
        limit: 10,
        after: Vec::new().into(),
    };
    let listed = client.list_accounts(ask(all)).await.unwrap().into_inner();
    assert_eq!(listed.accounts.len(), 2);
    let audit = client.audit(ask(wire::AuditRequest {})).await.unwrap();
    let audit = audit.into_inner();
    assert!(audit.ok && audit.checks.iter().all(|check| check.ok));
}

async fn faults_keep_their_code_and_words(engine: Engine) {
    let house = House::open(engine).await;
    let mut client = client(&house);
    let alice = house.account_with(10_000_000).await.account.to_vec();
    let mut refused = async |request| {
        let status = client.hold(ask(request)).await.unwrap_err();
        let fault = Fault::from(status);
        (fault.code.word, fault.message)
    };
    let media = wire::HoldKind::Media;
    assert_eq!(
        refused(hold(&alice, 10_000_001, media)).await,
        (
            "insufficient_credits",
            "this needs 10.000001 credits; 10 are available".to_owned()
        )
    );
    assert_eq!(refused(hold(&alice, 0, media)).await.0, "invalid_parameter");
    let stranger = OperationId::to_vec(chassis::mint());
    assert_eq!(refused(hold(&stranger, 1, media)).await.0, "not_found");
    assert_eq!(refused(hold(&[1, 2], 1, media)).await.0, "internal");
    let nothing = hold(&alice, 1, wire::HoldKind::Unspecified);
    assert_eq!(refused(nothing).await.0, "internal");
    let forever = wire::HoldRequest {
        ttl_ms: -1,
        ..hold(&alice, 1, wire::HoldKind::Chat)
    };
    assert_eq!(refused(forever).await.0, "invalid_parameter");
}

async fn an_unknown_scope_is_named(engine: Engine) {
    let house = House::open(engine).await;
    let wanted = wire::CreateKeyRequest {
        account_id: house.billing.operator().to_vec().into(),
        name: "x".to_owned(),
        mode: common::Mode::Test.into(),
        scopes: vec!["everything".to_owned()],
        ..wire::CreateKeyRequest::default()
    };
    let status = keys(&house).create_key(ask(wanted)).await.unwrap_err();
    let fault = Fault::from(status);
    assert_eq!(fault.param.as_deref(), Some("scopes"));
    assert!(fault.message.contains("inference"), "{}", fault.message);
}
