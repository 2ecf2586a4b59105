//! Price lists, kept once and for ever, and what accounts pay of a price.

use std::time::Duration;

use billing::By;
use chassis::rpc;
use db::Engine;
use domain::{Mode, PriceFactor, catalogue::version_of};
use proto::{
    Fault,
    billing::v1::{
        self as wire, billing_client::BillingClient, keys_client::KeysClient,
        prices_client::PricesClient,
    },
};
use tonic::Request;

use crate::house::{House, on_both_engines};

on_both_engines!(
    a_price_list_is_kept_as_it_came_first,
    a_list_that_is_not_what_it_says_is_refused,
    a_kept_list_can_neither_be_changed_nor_removed,
    what_an_account_pays_goes_with_its_keys,
    a_factor_that_is_not_allowed_is_refused,
    a_factor_is_logged_when_it_changes,
);

fn client(house: &House) -> PricesClient<rpc::Channel> {
    PricesClient::new(rpc::in_process(house.billing.routes()))
}

fn ask<M>(message: M) -> Request<M> {
    rpc::request(message, Duration::from_secs(5))
}

async fn keep(house: &House, body: &str) -> Result<(), Fault> {
    keep_as(house, &version_of(body), body).await
}

async fn keep_as(house: &House, version: &str, body: &str) -> Result<(), Fault> {
    let list = wire::KeepPriceListRequest {
        version: version.to_owned(),
        body: body.to_owned(),
    };
    let kept = client(house).keep_price_list(ask(list)).await;
    kept.map(drop).map_err(Fault::from)
}

async fn kept(house: &House, version: &str) -> Result<wire::PriceList, Fault> {
    let request = wire::GetPriceListRequest {
        version: version.to_owned(),
    };
    let list = client(house).get_price_list(ask(request)).await;
    list.map(tonic::Response::into_inner).map_err(Fault::from)
}

async fn a_price_list_is_kept_as_it_came_first(engine: Engine) {
    let house = House::open(engine).await;
    let body = "#: a.toml\nprice = \"5 € – 'quoted'\"\n";
    assert_eq!(
        kept(&house, &version_of(body)).await.unwrap_err().code.word,
        "not_found"
    );
    let (one, other) = futures::join!(keep(&house, body), keep(&house, body));
    one.and(other).unwrap();
    let first = kept(&house, &version_of(body)).await.unwrap();
    assert_eq!(first.body, body);
    keep(&house, body).await.unwrap();
    keep(&house, "#: b.toml\n").await.unwrap();
    let house = house.reopen().await;
    assert_eq!(kept(&house, &version_of(body)).await.unwrap(), first);
}

async fn a_list_that_is_not_what_it_says_is_refused(engine: Engine) {
    let house = House::open(engine).await;
    let version = version_of("#: a.toml\n");
    let refused = keep_as(&house, &version, "#: b.toml\n").await.unwrap_err();
    assert_eq!(refused.code.word, "invalid_parameter");
    assert!(kept(&house, &version).await.is_err());
}

/// Who set it is written down, and only when it changes.
async fn a_factor_is_logged_when_it_changes(engine: Engine) {
    let house = House::open(engine).await;
    let account = house.billing.create_account("acme", None, By::operator());
    let id = account.await.unwrap().id.to_vec();
    for parts in [1_000_000, 800_000, 800_000] {
        set(&house, &id, parts).await.unwrap();
    }
    let sql = "select detail from audit_log where action = 'account.update'";
    let logged: Vec<String> = sqlx::query_scalar(sql)
        .fetch_all(house.db.reader())
        .await
        .unwrap();
    let detail = r#"{"before":{"price_factor":"1"},"after":{"price_factor":"0.8"}}"#;
    assert_eq!(logged, [detail]);
}

async fn a_kept_list_can_neither_be_changed_nor_removed(engine: Engine) {
    let house = House::open(engine).await;
    let body = "#: a.toml\n";
    keep(&house, body).await.unwrap();
    for sql in ["update price_list set body = ''", "delete from price_list"] {
        assert!(house.run(sql).await.is_err(), "{sql}");
    }
    assert_eq!(kept(&house, &version_of(body)).await.unwrap().body, body);
}

async fn set(house: &House, account: &[u8], parts: i64) -> Result<wire::Account, Fault> {
    let request = wire::SetPriceFactorRequest {
        account_id: account.to_vec().into(),
        price_factor: parts,
        by: None,
    };
    let changed = client(house).set_price_factor(ask(request)).await;
    changed
        .map(tonic::Response::into_inner)
        .map_err(Fault::from)
}

async fn what_an_account_pays_goes_with_its_keys(engine: Engine) {
    let house = House::open(engine).await;
    let account = house
        .billing
        .create_account("acme", None, By::operator())
        .await
        .unwrap();
    let other = house
        .billing
        .create_account("other", None, By::operator())
        .await
        .unwrap();
    assert_eq!(account.price_factor, PriceFactor::ONE);
    let mut billing = BillingClient::new(rpc::in_process(house.billing.routes()));
    let mut maker = KeysClient::new(rpc::in_process(house.billing.routes()));
    let mut keys = Vec::new();
    for id in [account.id, other.id] {
        let key = wire::CreateKeyRequest {
            account_id: id.to_vec().into(),
            name: "k".to_owned(),
            mode: proto::mode_to_wire(Mode::Test).into(),
            ..wire::CreateKeyRequest::default()
        };
        keys.push(maker.create_key(ask(key)).await.unwrap().into_inner().key);
    }
    let changed = set(&house, &account.id.to_vec(), 800_000).await.unwrap();
    assert_eq!(
        (changed.name.as_str(), changed.price_factor),
        ("acme", 800_000)
    );
    let mut factors = Vec::new();
    for key in keys {
        let request = wire::AuthenticateRequest { key };
        let identity = billing.authenticate(ask(request)).await.unwrap();
        factors.push(identity.into_inner().price_factor);
    }
    assert_eq!(factors, [800_000, 1_000_000]);
    let listed = house.billing.list_accounts(None, 10).await.unwrap();
    let listed: Vec<i64> = listed
        .iter()
        .map(|account| account.price_factor.parts_per_million())
        .collect();
    assert_eq!(listed, [1_000_000, 800_000, 1_000_000]);
    house.audit().await;
}

async fn a_factor_that_is_not_allowed_is_refused(engine: Engine) {
    let house = House::open(engine).await;
    let account = house
        .billing
        .create_account("acme", None, By::operator())
        .await
        .unwrap();
    for parts in [0, -1, 10_000_001] {
        let refused = set(&house, &account.id.to_vec(), parts).await.unwrap_err();
        assert_eq!(refused.code.word, "invalid_parameter", "{parts}");
    }
    let nobody = chassis::mint::<domain::ids::Account>().to_vec();
    let refused = set(&house, &nobody, 1).await.unwrap_err();
    assert_eq!(refused.code.word, "not_found");
}
