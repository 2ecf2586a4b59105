//! Redeem codes and the test balance's reset: once, whatever comes at once.

use std::collections::HashSet;

use billing::ledger::BalanceId;
use db::Engine;
use domain::{Mode, RedeemCodeId};
use futures::future::join_all;
use proto::{billing::v1 as wire, mode_to_wire};
use sqlx::AssertSqlSafe;

use crate::{
    house::{House, on_both_engines},
    shop::{Shop, ask, context, id_of, of_payment, of_session, told},
};

on_both_engines!(
    threads: a_code_is_redeemed_once,
    a_code_is_for_so_many_accounts,
    what_is_wrong_with_a_code_is_not_told,
    codes_are_listed_and_never_kept,
    a_code_pays_what_is_owed,
    the_test_balance_goes_back_to_its_default,
);

async fn create(
    house: &House,
    change: impl FnOnce(&mut wire::CreateRedeemCodesRequest),
) -> Result<Vec<(RedeemCodeId, String)>, String> {
    let mut request = wire::CreateRedeemCodesRequest {
        count: 1,
        credits: 70,
        mode: mode_to_wire(Mode::Live).into(),
        max_uses: 0,
        expires_at: 0,
        by: None,
    };
    change(&mut request);
    let created = told(house.orders().create_redeem_codes(ask(request)).await)?;
    let codes = created.codes.into_iter().map(|created| {
        let id = RedeemCodeId::from_slice(&created.code.unwrap().code_id).unwrap();
        (id, created.text)
    });
    Ok(codes.collect())
}

async fn one(house: &House) -> (RedeemCodeId, String) {
    create(house, |_| {}).await.unwrap().remove(0)
}

async fn a_code_is_redeemed_once(engine: Engine) {
    let house = House::open(engine).await;
    let balance = house.account_with(5).await;
    let (_, code) = one(&house).await;
    let redeemed = join_all((0..100).map(|_| house.redeem(balance, &code))).await;
    let firsts = redeemed
        .iter()
        .map(|answer| answer.clone().unwrap())
        .filter(|answer| !answer.repeated)
        .count();
    assert_eq!(firsts, 1);
    assert_eq!(house.figures(balance).await, (75, 0, 0));
    // As people type it.
    let typed = code.to_lowercase().replace('-', " ");
    let again = house.redeem(balance, &typed).await.unwrap();
    assert!(again.repeated);
    assert_eq!((again.credits, again.balance.unwrap().posted), (70, 75));
    house.audit().await;
}

async fn a_code_is_for_so_many_accounts(engine: Engine) {
    let house = House::open(engine).await;
    for (max_uses, expected) in [(0, 1), (1, 1), (3, 3)] {
        let (_, code) = create(&house, |codes| codes.max_uses = max_uses)
            .await
            .unwrap()
            .remove(0);
        let mut accounts = Vec::new();
        for _ in 0..20 {
            accounts.push(house.account_with(0).await);
        }
        // Each tries more than once.
        let tries = accounts
            .iter()
            .cycle()
            .take(100)
            .map(|balance| house.redeem(*balance, &code));
        for refused in join_all(tries).await.into_iter().filter_map(Result::err) {
            assert_eq!(refused, "invalid_redeem_code");
        }
        let mut sum = 0;
        for account in &accounts {
            sum += house.figures(*account).await.0;
        }
        assert_eq!(sum, 70 * expected);
    }
    house.audit().await;
}

async fn what_is_wrong_with_a_code_is_not_told(engine: Engine) {
    let house = House::open(engine).await;
    let balance = house.account_with(0).await;
    let mut orders = house.orders();
    let ask_for = |code: &str| wire::RedeemRequest {
        context: context(balance),
        code: code.to_owned(),
    };
    let (revoked, text_revoked) = one(&house).await;
    let revoke = wire::RevokeRedeemCodeRequest {
        code_id: revoked.to_vec().into(),
        by: None,
    };
    for _ in 0..2 {
        let done = house.orders().revoke_redeem_code(ask(revoke.clone())).await;
        told(done).unwrap();
    }
    let (_, used) = one(&house).await;
    house
        .redeem(house.account_with(0).await, &used)
        .await
        .unwrap();
    let soon = house.db.now_micros() + 3_600_000_000;
    let (expired, text_expired) = create(&house, |codes| codes.expires_at = soon)
        .await
        .unwrap()
        .remove(0);
    expire(&house, expired).await;
    let test = mode_to_wire(Mode::Test).into();
    let (_, other_mode) = create(&house, |codes| codes.mode = test)
        .await
        .unwrap()
        .remove(0);
    let unknown = domain::RedeemCode::from_random(&[7; 17]);
    let typo = format!(
        "{}{}",
        &text_expired[..26],
        if text_expired.ends_with('7') {
            '8'
        } else {
            '7'
        }
    );
    let mut answers = HashSet::new();
    for code in [
        text_revoked.as_str(),
        &used,
        &text_expired,
        &other_mode,
        unknown.expose(),
        &typo,
        "",
        "'; drop table redeem_code",
    ] {
        let status = orders.redeem(ask(ask_for(code))).await.unwrap_err();
        answers.insert((
            status.code(),
            status.message().to_owned(),
            status.details().to_vec(),
        ));
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(house.figures(balance).await, (0, 0, 0));
    let wrong = house.metric("aio_billing_codes_refused_total");
    assert_eq!(wrong, "aio_billing_codes_refused_total 8");
}

async fn expire(house: &House, code: RedeemCodeId) {
    let done: Result<(), db::Error> = house
        .db
        .write(move |connection| {
            Box::pin(async move {
                sqlx::query("update redeem_code set expires_at = 1 where id = $1")
                    .bind(code.to_vec())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await;
    done.unwrap();
}

/// Revoking again changes nothing, and leaves no second row in the log.
async fn revoked_once(house: &House, code: RedeemCodeId) {
    for _ in 0..2 {
        let again = wire::RevokeRedeemCodeRequest {
            code_id: code.to_vec().into(),
            by: None,
        };
        told(house.orders().revoke_redeem_code(ask(again)).await).unwrap();
    }
    let logged = "select count(*) from audit_log where action = 'code.revoke'";
    let logged: i64 = sqlx::query_scalar(logged)
        .fetch_one(house.db.reader())
        .await
        .unwrap();
    assert_eq!(logged, 1);
}

async fn codes_are_listed_and_never_kept(engine: Engine) {
    let house = House::open(engine).await;
    let made = create(&house, |codes| codes.count = 5).await.unwrap();
    let texts: HashSet<&str> = made.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts.len(), 5);
    let list = async |limit: u32, before: &[u8]| {
        let request = wire::ListRedeemCodesRequest {
            limit,
            before: before.to_vec().into(),
        };
        let listed = told(house.orders().list_redeem_codes(ask(request)).await).unwrap();
        listed.codes
    };
    let all = list(10, &[]).await;
    assert_eq!(all.len(), 5);
    assert_eq!(list(2, &[]).await, all[..2]);
    assert_eq!(list(10, &all[1].code_id).await, all[2..]);
    for (id, text) in &made {
        let row = all.iter().find(|row| row.code_id == id.to_vec()).unwrap();
        assert_eq!(row.last_four, text[text.len() - 4..]);
    }
    // Whoever reads the tables cannot redeem anything.
    let columns = "hex(mac) || last_four || actor";
    let columns = match engine {
        Engine::Sqlite => columns.to_owned(),
        Engine::Postgres => columns.replace("hex(mac)", "encode(mac, 'escape')"),
    };
    let sql = format!("select {columns} from redeem_code");
    let kept: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
        .fetch_all(house.db.reader())
        .await
        .unwrap();
    assert!(
        kept.iter()
            .all(|row| !texts.iter().any(|text| row.contains(text)))
    );
    type Change = fn(&mut wire::CreateRedeemCodesRequest);
    let changes: [Change; 7] = [
        |codes| codes.count = 0,
        |codes| codes.count = 1_001,
        |codes| codes.credits = 0,
        |codes| codes.credits = -1,
        |codes| codes.credits = i64::MAX,
        |codes| codes.max_uses = u32::MAX,
        |codes| codes.expires_at = 1,
    ];
    for change in changes {
        assert_eq!(
            create(&house, change).await.unwrap_err(),
            "invalid_parameter"
        );
    }
    revoked_once(&house, made[0].0).await;
    let unknown = wire::RevokeRedeemCodeRequest {
        code_id: vec![1; 16].into(),
        by: None,
    };
    let gone = told(house.orders().revoke_redeem_code(ask(unknown)).await);
    assert_eq!(gone.unwrap_err(), "not_found");
}

async fn a_code_pays_what_is_owed(engine: Engine) {
    let shop = Shop::start().await;
    let house = House::with(engine, &shop.settings()).await;
    let balance = house.account_with(0).await;
    let order = id_of(&house.order(balance, "small").await.unwrap());
    let payment = shop.pay(&order, 1_000, "usd");
    let paid = of_session("evt_1", "checkout.session.completed", &order);
    house.take(paid).await.unwrap();
    let hold = chassis::mint();
    house.hold(hold, balance, 1_000_000_000).await.unwrap();
    house.settle(hold, crate::house::capture(50)).await.unwrap();
    shop.refund("re_1", &payment, 1_000, "succeeded");
    let refunded = of_payment("evt_2", "charge.refunded", &payment);
    house.take(refunded).await.unwrap();
    assert_eq!(house.order_now(balance, &order).await.owed, 50);
    let (_, code) = one(&house).await;
    let redeemed = house.redeem(balance, &code).await.unwrap();
    assert_eq!(
        (redeemed.credits, redeemed.balance.unwrap().posted),
        (70, 20)
    );
    assert_eq!(house.order_now(balance, &order).await.owed, 0);
    house.audit().await;
}

async fn the_test_balance_goes_back_to_its_default(engine: Engine) {
    let house = House::open(engine).await;
    let live = house.account_with(7).await;
    let test = BalanceId {
        mode: Mode::Test,
        ..live
    };
    let default = 10_000_000_000;
    let reset = async || {
        let request = wire::ResetTestBalanceRequest {
            context: context(test),
        };
        told(house.orders().reset_test_balance(ask(request)).await).unwrap()
    };
    house.give(chassis::mint(), test, -default).await.unwrap();
    assert_eq!(reset().await.posted, default);
    house.give(chassis::mint(), test, 5).await.unwrap();
    for _ in 0..2 {
        assert_eq!(reset().await.posted, default);
    }
    // Never below what is held.
    house.give(chassis::mint(), test, default).await.unwrap();
    house
        .hold(chassis::mint(), test, default + 3)
        .await
        .unwrap();
    let balance = reset().await;
    assert_eq!((balance.posted, balance.held), (default + 3, default + 3));
    let resets = join_all((0..20).map(|_| reset())).await;
    assert!(resets.iter().all(|balance| balance.posted == default + 3));
    assert_eq!(
        house.figures(live).await,
        (7, 0, 0),
        "live credit is never touched"
    );
    house.audit().await;
}
