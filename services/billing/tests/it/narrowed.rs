//! Pages of operations and sums of what was used, of some of them alone.

use billing::{Group, HoldRequest, Outcome, Page, Span, ledger::BalanceId};
use db::Engine;
use domain::{KeyId, OperationId};

use crate::{
    house::{House, capture, media, on_both_engines},
    usage::{catch_up, settle_as},
};

on_both_engines!(pages_and_sums_are_narrowed);

/// By how operations ended, when they began, whose key and which model.
async fn pages_and_sums_are_narrowed(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let keys: [KeyId; 2] = std::array::from_fn(|_| chassis::mint());
    let ids: [OperationId; 4] = std::array::from_fn(|_| chassis::mint());
    let models = ["gemini", "flux-2", "gemini", "flux-2"];
    for (place, id) in ids.iter().enumerate() {
        let request = HoldRequest {
            key: Some(keys[place / 2]),
            ..media(*id, alice, 5)
        };
        house.billing.ledger().hold(request).await.unwrap();
        let outcome = if place < 2 {
            Outcome::Release
        } else {
            capture(5)
        };
        settle_as(&house, *id, alice, outcome, models[place]).await;
    }
    catch_up(&house, 4).await;
    let all = Page {
        balance: alice,
        before: None,
        model: None,
        key: None,
        tag: None,
        outcome: None,
        since: 0,
        until: 0,
        limit: 100,
    };
    let ended = |outcome: &str| Page {
        outcome: Some(outcome.to_owned()),
        ..all.clone()
    };
    let now = house.db.now_micros();
    let (hour, gemini) = (3_600_000_000, Some("gemini".to_owned()));
    #[rustfmt::skip]
    let asked = [
        (ended("released"), vec![1, 0]),
        (ended("captured"), vec![3, 2]),
        (ended("expired"), vec![]),
        (Page { model: gemini.clone(), ..ended("released") }, vec![0]),
        (Page { model: gemini, key: Some(keys[1]), ..ended("captured") }, vec![2]),
        (Page { key: Some(keys[1]), ..ended("released") }, vec![]),
        (Page { before: Some(ids[1]), ..ended("released") }, vec![0]),
        (Page { since: now - hour, until: now + hour, ..all.clone() }, vec![3, 2, 1, 0]),
        (Page { since: now - hour, before: Some(ids[2]), ..all.clone() }, vec![1, 0]),
        (Page { since: now + hour, ..all.clone() }, vec![]),
        (Page { until: now - hour, ..all.clone() }, vec![]),
    ];
    for (page, found) in asked {
        let rows = house.billing.operations(page.clone()).await.unwrap();
        let place = |row: &billing::OperationRow| ids.iter().position(|id| *id == row.id).unwrap();
        assert_eq!(
            rows.iter().map(place).collect::<Vec<_>>(),
            found,
            "{page:?}"
        );
    }
    sums_are_narrowed(&house, alice, keys).await;
}

/// The same work, summed up.
async fn sums_are_narrowed(house: &House, alice: BalanceId, keys: [KeyId; 2]) {
    let gemini = Some("gemini".to_owned());
    for (model, key, groups, charged) in [
        (None, None, &[][..], Some(10)),
        (gemini.clone(), None, &[Group::Day], Some(5)),
        (None, Some(keys[0]), &[Group::Key], Some(0)),
        (gemini, Some(keys[1]), &Group::ALL, Some(5)),
        (Some("other".to_owned()), None, &[], None),
    ] {
        let span = Span {
            balance: alice,
            first: 0,
            last: 1_000_000,
            tag: None,
            model,
            key,
        };
        let sums = house.billing.usage(span, groups).await.unwrap();
        let sums = sums.iter().map(|sum| sum.charged.get());
        assert_eq!(sums.reduce(|sum, more| sum + more), charged);
    }
}
