//! Customers' own labels: sums and pages of what has one.

use billing::{Group, Page, SettleRequest, Span, TagId, ledger::BalanceId};

use db::Engine;
use domain::{OperationId, Tag};

use crate::{
    house::{House, capture, on_both_engines},
    usage::catch_up,
};

on_both_engines!(what_has_a_label_is_found_by_it);

/// A receipt with labels, and as long as one with the largest labels is.
fn receipt(tags: &str) -> String {
    let long = "x".repeat(50_000);
    format!(r#"{{"route":"r","model":"m","provider":"p","long":"{long}","tags":{tags}}}"#)
}

/// The operations of a page with a label.
async fn labelled(
    house: &House,
    (balance, tag): (BalanceId, Option<TagId>),
    (model, limit): (Option<String>, i64),
) -> Vec<OperationId> {
    let page = Page {
        balance,
        before: None,
        model,
        key: None,
        tag,
        outcome: None,
        since: 0,
        until: 0,
        limit,
    };
    let rows = house.billing.operations(page).await.unwrap();
    rows.iter().map(|row| row.id).collect()
}

/// Labels narrow down sums and pages; what they are is no part of the tables.
async fn what_has_a_label_is_found_by_it(engine: Engine) {
    let house = House::with(engine, "jobs.project_batch = 2").await;
    let (alice, bob) = (
        house.account_with(1_000).await,
        house.account_with(1_000).await,
    );
    let labels = [
        (alice, 1, r#"{"user":"u1","metadata":{"team":"red"}}"#),
        (alice, 2, r#"{"metadata":{"team":"red","user":"u1"}}"#),
        (alice, 4, r#"{"user":"u1"}"#),
        (alice, 8, "{}"),
        (bob, 16, r#"{"user":"u1"}"#),
    ];
    let mut ids: Vec<OperationId> = Vec::new();
    for (payer, amount, tags) in labels {
        let hold = chassis::mint();
        house.hold(hold, payer, 50).await.unwrap();
        let receipt = receipt(tags);
        let request = SettleRequest {
            hold,
            outcome: capture(amount),
            payer: Some(payer),
            receipt,
        };
        house.billing.ledger().settle(request).await.unwrap();
        ids.push(hold);
    }
    catch_up(&house, 5).await;
    let (user, team) = (
        Tag::user("u1".to_owned()),
        Tag::metadata("team", "red".to_owned()),
    );
    for (payer, tag, charged, found) in [
        (alice, &user, Some(5), vec![ids[2], ids[0]]),
        (alice, &team, Some(3), vec![ids[1], ids[0]]),
        (bob, &user, Some(16), vec![ids[4]]),
        (bob, &team, None, vec![]),
    ] {
        let tag = Some(TagId::from(tag));
        let span = Span {
            balance: payer,
            first: 0,
            last: 1_000_000,
            tag,
            model: None,
            key: None,
        };
        for groups in [&[][..], &Group::ALL[..]] {
            let sums = house.billing.usage(span.clone(), groups).await.unwrap();
            let sums = sums.iter().map(|sum| sum.charged.get());
            assert_eq!(sums.reduce(|sum, more| sum + more), charged, "{groups:?}");
        }
        for (model, limit) in [(None, 100), (Some("m".to_owned()), 1)] {
            let found = &found[..found.len().min(usize::try_from(limit).unwrap())];
            assert_eq!(labelled(&house, (payer, tag), (model, limit)).await, found);
        }
    }
    house.audit().await;
}
