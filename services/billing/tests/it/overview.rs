//! What operators see of everybody together: balances, work that has ended, accounts and price lists.

use std::time::Duration;

use billing::{By, HoldRequest, Life, Outcome, SettleRequest, Standing, ledger::BalanceId};
use chassis::rpc;
use db::Engine;
use domain::{AccountId, OperationId, catalogue::version_of};
use proto::{
    Fault,
    billing::v1::{self as wire, operators_client::OperatorsClient, prices_client::PricesClient},
};
use tonic::Request;

use crate::{
    house::{House, capture, media, on_both_engines},
    usage::catch_up,
};

on_both_engines!(
    everybody_is_summed_up_and_what_comes_late_moves,
    tokens_are_summed_up_where_receipts_say_them,
    accounts_are_found_by_what_their_names_contain,
    price_lists_are_told_the_newest_first,
);

fn client(house: &House) -> OperatorsClient<rpc::Channel> {
    OperatorsClient::new(rpc::in_process(house.billing.routes()))
}

fn ask<M>(message: M) -> Request<M> {
    rpc::request(message, Duration::from_secs(5))
}

async fn overview(house: &House, since: i64) -> wire::Overview {
    let request = wire::GetOverviewRequest { since };
    let seen = client(house).get_overview(ask(request)).await;
    seen.unwrap().into_inner()
}

/// Settles with a receipt that says how the work ended.
async fn settle_as(
    house: &House,
    (hold, payer): (OperationId, BalanceId),
    outcome: Outcome,
    class: &str,
) {
    let request = SettleRequest {
        hold,
        outcome,
        payer: Some(payer),
        receipt: format!(
            r#"{{"model":"gemini","provider":"gemini","class":"{class}","usage":{{"input":5,"cached":4,"output":3,"reasoning":2}}}}"#
        ),
    };
    house.billing.ledger().settle(request).await.unwrap();
}

/// How work ended: class, outcome, how many, and what they were charged.
fn endings(seen: &wire::Overview) -> Vec<(&str, &str, i64, i64)> {
    let of = seen.served.iter().map(|sum| {
        (
            sum.class.as_str(),
            sum.outcome.as_str(),
            sum.operations,
            sum.charged,
        )
    });
    of.collect()
}

/// Of how many operations the tokens are known, what those were charged, and the tokens.
fn tokens(seen: &wire::Overview) -> Vec<(i64, i64, &[i64])> {
    let of = seen.served.iter();
    of.map(|sum| (sum.counted, sum.counted_charged, sum.tokens.as_slice()))
        .collect()
}

async fn everybody_is_summed_up_and_what_comes_late_moves(engine: Engine) {
    let house = House::open(engine).await;
    let (alice, bob) = (
        house.account_with(1_000).await,
        house.account_with(500).await,
    );
    let ids: [OperationId; 4] = std::array::from_fn(|_| chassis::mint());
    for (id, whose) in [(ids[0], alice), (ids[1], bob), (ids[2], bob)] {
        house.hold(id, whose, 50).await.unwrap();
    }
    let request = HoldRequest {
        life: Life::Chat(Duration::from_millis(1)),
        ..media(ids[3], alice, 60)
    };
    house.billing.ledger().hold(request).await.unwrap();
    settle_as(&house, (ids[0], alice), capture(10), "completed").await;
    settle_as(&house, (ids[1], bob), Outcome::Release, "overloaded").await;
    let now = house.db.now_micros();
    house.billing.sweep(now + 3_600_000_000).await.unwrap();
    catch_up(&house, 3).await;
    let standing = Standing::Frozen;
    house
        .billing
        .set_standing(bob.account, standing, By::operator())
        .await
        .unwrap();

    let seen = overview(&house, now - 3_600_000_000).await;
    let live = &seen.balances[0];
    assert_eq!(
        (live.posted, live.held, live.open_holds, live.frozen),
        (1_490, 50, 1, 1)
    );
    assert!(seen.oldest_hold > 0 && seen.oldest_hold <= now, "{seen:?}");
    assert_eq!(
        endings(&seen),
        [
            ("", "expired", 1, 0),
            ("completed", "captured", 1, 10),
            ("overloaded", "released", 1, 0)
        ]
    );
    assert_eq!(seen.sold, []);

    // What had expired was done after all.
    settle_as(&house, (ids[3], alice), capture(60), "completed").await;
    catch_up(&house, 4).await;
    let seen = overview(&house, now - 3_600_000_000).await;
    assert_eq!(
        endings(&seen),
        [
            ("completed", "captured", 1, 10),
            ("completed", "late", 1, 60),
            ("overloaded", "released", 1, 0)
        ]
    );
    // From a later hour on there is nothing, and the sums stay equal to the operations.
    assert_eq!(endings(&overview(&house, now + 7_200_000_000).await), []);
    house.audit().await;
}

async fn tokens_are_summed_up_where_receipts_say_them(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(1_000).await;
    let ids: [OperationId; 4] = std::array::from_fn(|_| chassis::mint());
    for id in &ids[..3] {
        house.hold(*id, alice, 50).await.unwrap();
    }
    for id in &ids[..2] {
        settle_as(&house, (*id, alice), capture(10), "completed").await;
    }
    let free = SettleRequest {
        hold: ids[2],
        outcome: Outcome::Release,
        payer: Some(alice),
        receipt: r#"{"model":"gemini","provider":"gemini","class":"unknown","usage":{}}"#
            .to_owned(),
    };
    house.billing.ledger().settle(free).await.unwrap();
    let request = HoldRequest {
        life: Life::Chat(Duration::from_millis(1)),
        ..media(ids[3], alice, 60)
    };
    house.billing.ledger().hold(request).await.unwrap();
    let now = house.db.now_micros();
    house.billing.sweep(now + 3_600_000_000).await.unwrap();
    catch_up(&house, 4).await;
    // Who ended by time said nothing at all, and who was free nothing of tokens.
    let (none, twice) = ([0; 6], [10, 8, 0, 6, 4, 0]);
    let seen = overview(&house, now - 3_600_000_000).await;
    assert_eq!(
        tokens(&seen),
        [(0, 0, &none[..]), (2, 20, &twice), (0, 0, &none)]
    );
    settle_as(&house, (ids[3], alice), capture(60), "completed").await;
    catch_up(&house, 5).await;
    let seen = overview(&house, now - 3_600_000_000).await;
    let once = [5, 4, 0, 3, 2, 0];
    assert_eq!(
        tokens(&seen),
        [(2, 20, &twice[..]), (1, 60, &once), (0, 0, &none)]
    );
}

async fn accounts_are_found_by_what_their_names_contain(engine: Engine) {
    let house = House::open(engine).await;
    let mut made = Vec::new();
    for name in ["Alpha 50%", "beta_x", "ALPHA two", "ÖL ÅBO"] {
        let account = house.billing.create_account(name, None, By::operator());
        made.push(account.await.unwrap().id);
    }
    let find = async |name: &str, limit, before: Option<AccountId>| {
        let request = wire::FindAccountsRequest {
            name: name.to_owned(),
            limit,
            before: before.map(AccountId::to_vec).unwrap_or_default().into(),
        };
        let found = client(&house).find_accounts(ask(request)).await.unwrap();
        let names = found.into_inner().accounts.into_iter();
        names.map(|account| account.name).collect::<Vec<_>>()
    };
    assert_eq!(find("alpha", 9, None).await, ["ALPHA two", "Alpha 50%"]);
    assert_eq!(find("alpha", 1, None).await, ["ALPHA two"]);
    assert_eq!(find("alpha", 9, Some(made[2])).await, ["Alpha 50%"]);
    // What patterns mean is meant as it stands.
    assert_eq!(find("0%", 9, None).await, ["Alpha 50%"]);
    assert_eq!(find("a_x", 9, None).await, ["beta_x"]);
    assert_eq!(find("a%x", 9, None).await, [""; 0]);
    // Whatever case they are in, and whoever looks.
    for name in ["öl", "Öl åbo", "ÅB"] {
        assert_eq!(find(name, 9, None).await, ["ÖL ÅBO"], "{name}");
    }
    assert!(find("", 9, None).await.len() >= 4);

    let one = async |id: AccountId| {
        let request = wire::GetAccountRequest {
            account_id: id.to_vec().into(),
        };
        let account = client(&house).get_account(ask(request)).await;
        account
            .map(tonic::Response::into_inner)
            .map_err(Fault::from)
    };
    assert_eq!(one(made[1]).await.unwrap().name, "beta_x");
    let nobody = one(chassis::mint()).await.unwrap_err();
    assert_eq!(nobody.code, proto::code::NOT_FOUND);
}

async fn price_lists_are_told_the_newest_first(engine: Engine) {
    let house = House::open(engine).await;
    for body in ["#: a.toml\nx = 1\n", "#: a.toml\nx = 2\n"] {
        let request = wire::KeepPriceListRequest {
            version: version_of(body),
            body: body.to_owned(),
        };
        let mut prices = PricesClient::new(rpc::in_process(house.billing.routes()));
        prices.keep_price_list(ask(request)).await.unwrap();
    }
    let request = wire::ListPriceListsRequest { limit: 9 };
    let lists = client(&house).list_price_lists(ask(request)).await.unwrap();
    let lists = lists.into_inner().lists;
    let versions: Vec<_> = lists.iter().map(|list| list.version.as_str()).collect();
    let newest = version_of("#: a.toml\nx = 2\n");
    assert_eq!(versions.len(), 2);
    assert_eq!(versions[0], newest);
    assert!(lists[0].created_at > lists[1].created_at);
}
