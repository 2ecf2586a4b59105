//! What tests of keys say to billing over the wire, as operators and as customers.

use std::time::Duration;

use chassis::rpc;
use domain::AccountId;
use proto::{
    Fault,
    billing::v1::{self as wire, keys_client::KeysClient},
    common::v1::{Context, Mode},
};

use billing::By;

use crate::house::House;

pub(crate) fn client(house: &House) -> KeysClient<rpc::Channel> {
    KeysClient::new(rpc::in_process(house.billing.routes()))
}

pub(crate) fn ask<M>(message: M) -> tonic::Request<M> {
    rpc::request(message, Duration::from_secs(10))
}

/// A customer with a key of these scopes.
pub(crate) fn customer(account: AccountId, mode: Mode, scopes: &[&str]) -> Option<Context> {
    Some(Context {
        account_id: account.to_vec().into(),
        mode: mode.into(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        ..Context::default()
    })
}

pub(crate) async fn account(house: &House) -> AccountId {
    house
        .billing
        .create_account("someone", None, By::operator())
        .await
        .unwrap()
        .id
}

/// What an operator asks for: a test key that may do what keys usually may.
pub(crate) fn wanted(account: AccountId) -> wire::CreateKeyRequest {
    wire::CreateKeyRequest {
        account_id: account.to_vec().into(),
        mode: Mode::Test.into(),
        name: "laptop".to_owned(),
        ..wire::CreateKeyRequest::default()
    }
}

pub(crate) async fn make(house: &House, request: wire::CreateKeyRequest) -> wire::CreatedKey {
    let made = client(house).create_key(ask(request)).await;
    made.unwrap().into_inner()
}

pub(crate) async fn list(house: &House, account: AccountId) -> Vec<wire::Key> {
    let request = wire::ListKeysRequest {
        account_id: account.to_vec().into(),
        limit: 100,
        ..wire::ListKeysRequest::default()
    };
    let listed = client(house).list_keys(ask(request)).await;
    listed.unwrap().into_inner().keys
}

pub(crate) async fn update(
    house: &House,
    request: wire::UpdateKeyRequest,
) -> Result<wire::Key, Fault> {
    let updated = client(house).update_key(ask(request)).await;
    updated
        .map(tonic::Response::into_inner)
        .map_err(Fault::from)
}

/// Rotates as an operator.
pub(crate) async fn rotate(
    house: &House,
    key: &wire::CreatedKey,
    overlap_ms: u64,
) -> Result<wire::RotatedKey, Fault> {
    let request = wire::RotateKeyRequest {
        context: None,
        key_id: key.key_id.clone(),
        overlap_ms,
        by: None,
    };
    let rotated = client(house).rotate_key(ask(request)).await;
    rotated
        .map(tonic::Response::into_inner)
        .map_err(Fault::from)
}

/// The id behind a secret, if it opens anything.
pub(crate) async fn opens(house: &House, secret: &str) -> Option<Vec<u8>> {
    let identity = house.billing.authenticate(secret).await;
    identity.ok().map(|identity| identity.key.to_vec())
}
