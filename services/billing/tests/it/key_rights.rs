//! Customers see the keys of their own account and mode, and hand out no more than they have.

use db::Engine;
use proto::{Fault, billing::v1 as wire, common::v1::Mode};

use crate::{
    house::{House, code, on_both_engines},
    key_desk::{account, ask, client, customer, list, make, opens, update, wanted},
};

on_both_engines!(
    nobody_hands_out_more_than_they_have,
    nobody_takes_over_a_key_that_may_do_more,
    what_is_anothers_is_as_unknown_as_what_is_nobodys,
);

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
}

/// But whoever sees a key may end it.
async fn nobody_takes_over_a_key_that_may_do_more(engine: Engine) {
    let house = House::open(engine).await;
    let owner = account(&house).await;
    let scopes = vec!["admin".to_owned()];
    let strong = make(
        &house,
        wire::CreateKeyRequest {
            scopes,
            ..wanted(owner)
        },
    )
    .await;
    let context = customer(owner, Mode::Test, &["inference", "read", "manage"]);
    let rotation = wire::RotateKeyRequest {
        context: context.clone(),
        key_id: strong.key_id.clone(),
        overlap_ms: 0,
        by: None,
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
        by: None,
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
            by: None,
        };
        faults.push(Fault::from(
            client.rotate_key(ask(rotate)).await.unwrap_err(),
        ));
        let revoke = wire::RevokeKeyRequest {
            context,
            key_id,
            by: None,
        };
        faults.push(Fault::from(
            client.revoke_key(ask(revoke)).await.unwrap_err(),
        ));
    }
    assert_eq!(faults[0].code.word, "not_found");
    assert!(faults.iter().all(|fault| *fault == faults[0]), "{faults:?}");
    assert!(opens(&house, &made.key).await.is_some());
}
