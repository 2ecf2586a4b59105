//! What is made behind the ledger: operations, sums of days, and the chain over the entries. And keys' caps, on real databases.

use std::time::Duration;

use billing::{
    By, Group, HoldRequest, Life, Outcome, Page, SettleRequest, Span, Standing, Sum, Verdict,
    ledger::{BalanceId, Caps},
};
use db::Engine;
use domain::{KeyId, Micros, OperationId};
use futures::future::join_all;

use crate::house::{House, capture, code, media, on_both_engines};

on_both_engines!(
    operations_are_summed_up_once_each,
    a_charge_that_comes_late_is_moved_in_the_sums,
    pages_come_newest_first_and_by_model_and_key,
    what_was_summed_up_stays_so_after_reopening,
    a_key_spends_no_more_than_its_caps_however_many_ask,
    a_stopped_account_holds_nothing_new,
    entries_are_sealed_and_a_change_is_noticed,
);

/// Everything, by all that can be asked for.
async fn sums(house: &House, balance: BalanceId, groups: &[Group]) -> Vec<Sum> {
    let span = Span {
        balance,
        first: 0,
        last: 1_000_000,
        tag: None,
        model: None,
        key: None,
    };
    house.billing.usage(span, groups).await.unwrap()
}

/// Settles with a receipt as chat writes it.
pub(crate) async fn settle_as(
    house: &House,
    hold: OperationId,
    payer: BalanceId,
    outcome: Outcome,
    model: &str,
) {
    let receipt = format!(
        r#"{{"route":"chat/completions","model":"{model}","provider":"sandbox","else":["kept"],
             "usage":{{"input":3,"cached":4,"output":5,"reasoning":6}}}}"#
    );
    let request = SettleRequest {
        hold,
        outcome,
        payer: Some(payer),
        receipt,
    };
    house.billing.ledger().settle(request).await.unwrap();
}

/// On PostgreSQL a row is final a look after it was seen.
pub(crate) async fn catch_up(house: &House, endings: i64) {
    testkit::eventually("all is summed up", async || {
        house.billing.catch_up().await.unwrap();
        let done: i64 = sqlx::query_scalar("select upto from progress where job = 'operations'")
            .fetch_one(house.db.reader())
            .await
            .unwrap();
        Ok((done >= endings).then_some(()))
    })
    .await
    .unwrap();
}

async fn page(house: &House, balance: BalanceId) -> Vec<billing::OperationRow> {
    let page = Page {
        balance,
        before: None,
        model: None,
        key: None,
        tag: None,
        outcome: None,
        since: 0,
        until: 0,
        limit: 100,
    };
    house.billing.operations(page).await.unwrap()
}

async fn operations_are_summed_up_once_each(engine: Engine) {
    let house = House::with(engine, "jobs.project_batch = 2").await;
    let alice = house.account_with(1_000).await;
    let key: KeyId = chassis::mint();
    let ids: [OperationId; 5] = std::array::from_fn(|_| chassis::mint());
    for (place, id) in ids.into_iter().enumerate() {
        let request = HoldRequest {
            key: (place < 3).then_some(key),
            ..media(id, alice, 50)
        };
        house.billing.ledger().hold(request).await.unwrap();
    }
    settle_as(&house, ids[0], alice, capture(10), "gemini").await;
    settle_as(&house, ids[1], alice, capture(20), "gemini").await;
    settle_as(&house, ids[2], alice, Outcome::Release, "gemini").await;
    settle_as(&house, ids[3], alice, capture(7), "flux-2").await;
    // Said twice, and not at all.
    settle_as(&house, ids[0], alice, capture(10), "gemini").await;
    let silent = SettleRequest {
        hold: ids[4],
        outcome: capture(1),
        payer: None,
        receipt: String::new(),
    };
    house.billing.ledger().settle(silent).await.unwrap();
    // Any number at once: each ending counts once.
    let many = (0..4).map(|_| house.billing.catch_up());
    for outcome in join_all(many).await {
        outcome.unwrap();
    }
    catch_up(&house, 5).await;

    sums_are_those_of(&house, alice, key).await;

    explained(&house, alice, &ids).await;
    house.audit().await;
}

/// What was charged is what the balance lost, and what the receipts explain; and it is nobody else's.
async fn explained(house: &House, alice: BalanceId, ids: &[OperationId; 5]) {
    assert_eq!(house.figures(alice).await, (1_000 - 38, 0, 0));
    let (operation, receipt) = house.billing.receipt(alice, ids[1]).await.unwrap();
    assert_eq!(
        (operation.charged.get(), operation.outcome.as_str()),
        (20, "captured")
    );
    assert!(receipt.contains(r#""else":["kept"]"#));
    let (_, receipt) = house.billing.receipt(alice, ids[4]).await.unwrap();
    assert_eq!(receipt, "");

    // Nobody else's.
    let bob = house.account_with(1).await;
    assert_eq!(sums(house, bob, &[]).await, []);
    let refused = house.billing.receipt(bob, ids[1]).await;
    assert_eq!(code(refused.map(drop)), "not_found");
}

/// What `operations_are_summed_up_once_each` has done, summed up.
async fn sums_are_those_of(house: &House, alice: BalanceId, key: KeyId) {
    let by_model = sums(house, alice, &[Group::Model]).await;
    let figures = |sum: &Sum| {
        let charged = sum.charged.get();
        (
            sum.model.clone(),
            sum.operations,
            sum.free,
            charged,
            sum.input_tokens,
            sum.output_tokens,
        )
    };
    assert_eq!(
        by_model.iter().map(figures).collect::<Vec<_>>(),
        [
            (String::new(), 1, 0, 1, 0, 0),
            ("flux-2".to_owned(), 1, 0, 7, 7, 11),
            ("gemini".to_owned(), 3, 1, 30, 21, 33),
        ]
    );
    let by_key = sums(house, alice, &[Group::Key, Group::Day, Group::Route]).await;
    let of_key: Vec<_> = by_key.iter().filter(|sum| sum.key == Some(key)).collect();
    assert_eq!((of_key.len(), of_key[0].charged.get()), (1, 30));
    assert!(of_key[0].day > 20_000 && of_key[0].route == "chat/completions");
    let all = sums(house, alice, &[]).await;
    assert_eq!(
        (all.len(), all[0].operations, all[0].charged.get()),
        (1, 5, 38)
    );
}

async fn a_charge_that_comes_late_is_moved_in_the_sums(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let (late, lost): (OperationId, OperationId) = (chassis::mint(), chassis::mint());
    let request = HoldRequest {
        life: Life::Chat(Duration::from_millis(1)),
        ..media(late, alice, 60)
    };
    house.billing.ledger().hold(request).await.unwrap();
    let now = house.db.now_micros() + 3_600_000_000;
    house.billing.sweep(now).await.unwrap();
    catch_up(&house, 1).await;
    let before = sums(&house, alice, &[Group::Model]).await;
    assert_eq!(
        (before.len(), before[0].free, before[0].charged.get()),
        (1, 1, 0)
    );

    // The hold was 60, the balance has 100, the work cost 70; and work for a hold that nobody knows.
    settle_as(&house, late, alice, capture(70), "gemini").await;
    settle_as(&house, late, alice, capture(70), "gemini").await;
    settle_as(&house, lost, alice, capture(9), "gemini").await;
    catch_up(&house, 3).await;
    let after = sums(&house, alice, &[Group::Model]).await;
    let figures: Vec<_> = after
        .iter()
        .filter(|sum| sum.operations != 0)
        .map(|sum| {
            (
                sum.model.as_str(),
                sum.operations,
                sum.free,
                sum.charged.get(),
            )
        })
        .collect();
    assert_eq!(figures, [("gemini", 2, 1, 60)]);
    let rows = page(&house, alice).await;
    let figures: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.id,
                row.outcome.as_str(),
                row.charged.get(),
                row.written_off.get(),
            )
        })
        .collect();
    assert_eq!(figures, [(lost, "late", 0, 9), (late, "late", 60, 10)]);
    assert_eq!(house.figures(alice).await, (40, 0, 0));
    assert_eq!(
        house.metric("aio_billing_written_off_microcredits_total"),
        "aio_billing_written_off_microcredits_total 19"
    );
    house.audit().await;
}

async fn pages_come_newest_first_and_by_model_and_key(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(1_000).await;
    let keys: [KeyId; 2] = std::array::from_fn(|_| chassis::mint());
    let ids: Vec<OperationId> = (0..6).map(|_| chassis::mint()).collect();
    for (place, id) in ids.iter().enumerate() {
        let request = HoldRequest {
            key: Some(keys[place % 2]),
            ..media(*id, alice, 5)
        };
        house.billing.ledger().hold(request).await.unwrap();
        let model = if place < 4 { "gemini" } else { "flux-2" };
        settle_as(&house, *id, alice, capture(5), model).await;
    }
    catch_up(&house, 6).await;
    let asked = async |before: Option<usize>, model: Option<&str>, key: Option<KeyId>, limit| {
        let page = Page {
            balance: alice,
            before: before.map(|place| ids[place]),
            model: model.map(str::to_owned),
            key,
            tag: None,
            outcome: None,
            since: 0,
            until: 0,
            limit,
        };
        let rows = house.billing.operations(page).await.unwrap();
        let place = |row: &billing::OperationRow| ids.iter().position(|id| *id == row.id).unwrap();
        rows.iter().map(place).collect::<Vec<_>>()
    };
    assert_eq!(asked(None, None, None, 100).await, [5, 4, 3, 2, 1, 0]);
    assert_eq!(asked(None, None, None, 2).await, [5, 4]);
    assert_eq!(asked(Some(4), None, None, 2).await, [3, 2]);
    assert_eq!(asked(None, Some("gemini"), None, 3).await, [3, 2, 1]);
    assert_eq!(asked(Some(4), None, Some(keys[1]), 100).await, [3, 1]);
    assert_eq!(asked(None, Some("flux-2"), Some(keys[0]), 100).await, [4]);
    assert!(asked(None, Some("other"), None, 100).await.is_empty());
}

/// Two processes write at once, and the one whose row comes first in order commits last.
#[tokio::test]
async fn a_row_that_appears_below_one_that_was_seen_is_not_passed_over() {
    const END: &str = "insert into ending (hold, receipt, created_at) values ($1, '', 1)";
    let house = House::open(Engine::Postgres).await;
    let alice = house.account_with(100).await;
    let ids: [OperationId; 2] = std::array::from_fn(|_| chassis::mint());
    for id in ids {
        house.hold(id, alice, 5).await.unwrap();
    }
    let server = house.place.server();
    let (mut slow, mut late) = (server.connect_owner().await, server.connect_owner().await);
    for connection in [&mut slow, &mut late] {
        sqlx::raw_sql("begin; select cast(pg_current_xact_id() as text)")
            .execute(connection)
            .await
            .unwrap();
    }
    for (connection, id) in [(&mut late, ids[0]), (&mut slow, ids[1])] {
        let ending = sqlx::query(END).bind(id.to_vec());
        ending.execute(connection).await.unwrap();
    }
    sqlx::raw_sql("commit").execute(&mut slow).await.unwrap();
    for _ in 0..3 {
        assert_eq!(house.billing.catch_up().await.unwrap(), 0);
    }
    sqlx::raw_sql("commit").execute(&mut late).await.unwrap();
    catch_up(&house, 2).await;
    assert_eq!(page(&house, alice).await.len(), 2);
}

async fn what_was_summed_up_stays_so_after_reopening(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(1_000).await;
    for _ in 0..3 {
        let id = chassis::mint();
        house.hold(id, alice, 5).await.unwrap();
        settle_as(&house, id, alice, capture(5), "gemini").await;
    }
    catch_up(&house, 3).await;
    let before = sums(&house, alice, &[Group::Model]).await;
    let house = house.reopen().await;
    catch_up(&house, 3).await;
    assert_eq!(sums(&house, alice, &[Group::Model]).await, before);
    assert_eq!(page(&house, alice).await.len(), 3);
}

/// Gives a key its caps, as the key's own use case does.
async fn cap(house: &House, key: KeyId, balance: BalanceId, caps: Caps) {
    let written: Result<(), db::Error> = house
        .db
        .write(move |connection| {
            Box::pin(async move {
                sqlx::query(
                    "insert into budget (key, account, mode, cap_day, cap_month, cap_total)
                     values ($1, $2, $3, $4, $5, $6)",
                )
                .bind(key.to_vec())
                .bind(balance.account.to_vec())
                .bind(balance.mode.as_str())
                .bind(caps.day.map(Micros::get))
                .bind(caps.month.map(Micros::get))
                .bind(caps.total.map(Micros::get))
                .execute(connection)
                .await?;
                Ok(())
            })
        })
        .await;
    written.unwrap();
}

async fn a_key_spends_no_more_than_its_caps_however_many_ask(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(10_000).await;
    let key: KeyId = chassis::mint();
    let before: OperationId = chassis::mint();
    let hold = async |id: OperationId| {
        let request = HoldRequest {
            key: Some(key),
            ..media(id, alice, 10)
        };
        house.billing.ledger().hold(request).await
    };
    // Held before there was a cap: not counted, now or when it ends.
    hold(before).await.unwrap();
    let caps = Caps {
        day: Some(Micros::new(100)),
        month: None,
        total: Some(Micros::new(105)),
    };
    cap(&house, key, alice, caps).await;
    let ids: Vec<OperationId> = (0..200).map(|_| chassis::mint()).collect();
    let outcomes = join_all(ids.iter().map(|id| hold(*id))).await;
    let granted = ids.iter().zip(&outcomes).filter(|(_, held)| held.is_ok());
    let granted: Vec<OperationId> = granted.map(|(id, _)| *id).collect();
    assert_eq!(granted.len(), 10);
    let refusal = outcomes.into_iter().find(Result::is_err).unwrap();
    let fault = proto::Fault::from(refusal.unwrap_err());
    assert_eq!(fault.code.word, "key_cap_exceeded");
    assert_eq!(
        fault.message,
        "this needs 0.00001 credits; the caps of this key leave 0"
    );
    house.settle(before, capture(10)).await.unwrap();
    for id in &granted[..9] {
        house.settle(*id, capture(10)).await.unwrap();
    }
    house.settle(granted[9], Outcome::Release).await.unwrap();
    // 90 are spent: ten more of the day's cap, and fifteen of all.
    hold(chassis::mint()).await.unwrap();
    assert_eq!(code(hold(chassis::mint()).await), "key_cap_exceeded");
    // Others are not held up.
    house.hold(chassis::mint(), alice, 10).await.unwrap();
    house.audit().await;
}

async fn a_stopped_account_holds_nothing_new(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let (open, refused) = (chassis::mint(), chassis::mint());
    house.hold(open, alice, 30).await.unwrap();
    house
        .billing
        .set_standing(alice.account, Standing::Frozen, By::operator())
        .await
        .unwrap();
    house
        .billing
        .set_standing(alice.account, Standing::Frozen, By::operator())
        .await
        .unwrap();
    assert_eq!(code(house.hold(refused, alice, 1).await), "account_frozen");
    assert!(house.billing.balance(alice).await.unwrap().frozen);
    assert_eq!(house.settle(open, capture(20)).await.unwrap(), 20);
    house.give(chassis::mint(), alice, 5).await.unwrap();
    house
        .billing
        .set_standing(alice.account, Standing::Good, By::operator())
        .await
        .unwrap();
    house.hold(refused, alice, 1).await.unwrap();
    let nobody = house
        .billing
        .set_standing(chassis::mint(), Standing::Frozen, By::operator())
        .await;
    assert_eq!(code(nobody), "not_found");
    house.audit().await;
}

/// The owner of the tables can do what billing's own role may not.
async fn as_owner(house: &House, engine: Engine, sql: &'static str) {
    match engine {
        Engine::Sqlite => {
            let done: Result<(), db::Error> = house
                .db
                .write(move |connection| {
                    Box::pin(async move {
                        sqlx::raw_sql(sql).execute(connection).await?;
                        Ok(())
                    })
                })
                .await;
            done.unwrap();
        }
        Engine::Postgres => {
            let mut owner = house.place.server().connect_owner().await;
            sqlx::raw_sql(sql).execute(&mut owner).await.unwrap();
        }
    }
}

async fn entries_are_sealed_and_a_change_is_noticed(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let seal = async |entries: i64| {
        let mut sealed = 0;
        testkit::eventually("all entries are sealed", async || {
            sealed += house.billing.seal().await.unwrap();
            Ok((sealed >= entries).then_some(()))
        })
        .await
        .unwrap();
        assert_eq!(sealed, entries);
    };
    // The operator's play money, alice's, and her gift: two entries each.
    seal(6).await;
    let id = chassis::mint();
    house.hold(id, alice, 30).await.unwrap();
    house.settle(id, capture(20)).await.unwrap();
    seal(2).await;
    assert_eq!(house.billing.seal().await.unwrap(), 0);
    house.audit().await;

    // Somebody with every right moves one moment: sums and balances still fit.
    let (open, shut) = match engine {
        Engine::Sqlite => ("drop trigger entry_is_not_updated", "select 1"),
        Engine::Postgres => (
            "alter table entry disable trigger entry_is_append_only",
            "alter table entry enable trigger entry_is_append_only",
        ),
    };
    as_owner(&house, engine, open).await;
    as_owner(
        &house,
        engine,
        "update entry set created_at = created_at + 1 where seq = 7",
    )
    .await;
    as_owner(&house, engine, shut).await;
    let checks = house.billing.audit().await.unwrap();
    let broken: Vec<_> = checks
        .iter()
        .filter(|check| check.holds == Verdict::Broken)
        .map(|check| (check.name, check.figure))
        .collect();
    assert_eq!(broken, [("seals_fit_the_entries", 1)]);
}
