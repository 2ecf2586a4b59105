//! Accounts, their opening credit, and the operator's key.

use billing::{By, NewAccount, ledger::BalanceId};
use chassis::secrets::Secrets;
use db::Engine;
use domain::{AccountId, ApiKey, Micros, Mode, Secret};

use crate::house::{House, code, on_both_engines};

on_both_engines!(
    a_new_account_has_play_money_and_no_live_credit,
    opening_credit_is_configured_and_can_be_named,
    an_account_that_is_asked_for_again_gets_nothing_again,
    what_is_wrong_with_an_account_is_said,
    accounts_are_listed_page_by_page,
    the_bootstrap_key_is_taken_once,
    a_bootstrap_key_must_be_a_live_key,
    only_the_mac_of_a_key_is_kept,
);

async fn a_new_account_has_play_money_and_no_live_credit(engine: Engine) {
    let house = House::open(engine).await;
    let account = house
        .billing
        .create_account("  acme  ", None, By::operator())
        .await
        .unwrap();
    assert_eq!(account.name, "acme");
    let balance = |mode| BalanceId {
        account: account.id,
        mode,
    };
    let test = (10_000_000_000, 0, 0);
    assert_eq!(house.figures(balance(Mode::Test)).await, test);
    assert_eq!(house.figures(balance(Mode::Live)).await, (0, 0, 0));
    house.audit().await;
}

async fn opening_credit_is_configured_and_can_be_named(engine: Engine) {
    let house = House::with(engine, "[accounts]\ntest_credits = 5\nbonus = 2").await;
    let account = house
        .billing
        .create_account("a", None, By::operator())
        .await
        .unwrap()
        .id;
    let (test, live) = (Mode::Test, Mode::Live);
    let figures = async |account, mode| house.figures(BalanceId { account, mode }).await.0;
    assert_eq!(figures(account, test).await, 5_000_000);
    assert_eq!(figures(account, live).await, 2_000_000);
    for named in [0, 7] {
        let named = Micros::new(named);
        let account = house
            .billing
            .create_account("b", Some(named), By::operator())
            .await;
        assert_eq!(figures(account.unwrap().id, test).await, named.get());
    }
    house.audit().await;
}

async fn what_is_wrong_with_an_account_is_said(engine: Engine) {
    let house = House::open(engine).await;
    let long = "x".repeat(201);
    for name in ["", "  ", "a\nb", &long] {
        let refused = house
            .billing
            .create_account(name, None, By::operator())
            .await;
        assert_eq!(code(refused), "invalid_parameter", "{name:?}");
    }
    let refused = house
        .billing
        .create_account("a", Some(Micros::new(-1)), By::operator())
        .await;
    assert_eq!(code(refused), "invalid_parameter");
    let nobody = BalanceId {
        account: chassis::mint(),
        mode: Mode::Live,
    };
    assert_eq!(code(house.billing.balance(nobody).await), "not_found");
    assert_eq!(
        code(house.give(chassis::mint(), nobody, 5).await),
        "not_found"
    );
    assert_eq!(
        code(house.hold(chassis::mint(), nobody, 5).await),
        "not_found"
    );
}

async fn accounts_are_listed_page_by_page(engine: Engine) {
    let house = House::open(engine).await;
    let mut ids = vec![house.billing.operator()];
    for _ in 0..4 {
        ids.push(house.account_with(0).await.account);
    }
    let mut listed = Vec::new();
    loop {
        let page = house.billing.list_accounts(listed.last().copied(), 2).await;
        let page = page.unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        listed.extend(page.into_iter().map(|account| account.id));
    }
    assert_eq!(listed, ids);
}

async fn the_bootstrap_key_is_taken_once(engine: Engine) {
    let random = |byte| Secret::new(ApiKey::from_random(Mode::Live, &[byte; 36]).expose());
    let (first, other) = (random(1), random(2));
    let mut house = House::open(engine).await;
    for _ in 0..2 {
        house.billing.bootstrap(&first).await.unwrap();
        house.billing.bootstrap(&first).await.unwrap();
        // A change is ignored.
        house.billing.bootstrap(&other).await.unwrap();
        let identity = house.billing.authenticate(first.expose()).await.unwrap();
        assert_eq!(identity.account, house.billing.operator());
        assert_eq!(identity.mode, Mode::Live);
        assert_eq!(identity.scopes, ["read", "manage", "admin"]);
        let refused = house.billing.authenticate(other.expose()).await;
        assert_eq!(code(refused), "invalid_key");
        house = house.reopen().await;
    }
}

async fn a_bootstrap_key_must_be_a_live_key(engine: Engine) {
    let house = House::open(engine).await;
    let test = ApiKey::from_random(Mode::Test, &[1; 36]);
    for text in ["secret", test.expose()] {
        let refused = house.billing.bootstrap(&Secret::new(text)).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("AIO_BOOTSTRAP_KEY") && !error.contains(text));
    }
}

async fn only_the_mac_of_a_key_is_kept(engine: Engine) {
    let house = House::open(engine).await;
    let key = ApiKey::from_random(Mode::Live, &[9; 36]);
    let secret = Secret::new(key.expose());
    house.billing.bootstrap(&secret).await.unwrap();
    let row: (Vec<u8>, String) = sqlx::query_as("select mac, last_four from api_key")
        .fetch_one(house.db.reader())
        .await
        .unwrap();
    assert_eq!(row.0, house.secrets.key_mac().mac(key.expose()));
    assert_ne!(row.0, Secrets::random().key_mac().mac(key.expose()));
    assert!(key.expose().ends_with(&row.1) && row.1.len() == 4);
}

async fn an_account_that_is_asked_for_again_gets_nothing_again(engine: Engine) {
    let house = House::with(engine, "[accounts]\nbonus = 2").await;
    let id: AccountId = chassis::mint();
    for name in ["a", "b"] {
        let new = NewAccount {
            id: Some(id),
            name: name.to_owned(),
            test_credits: None,
        };
        let account = house.billing.open_account(new, By::operator()).await;
        let account = account.unwrap();
        assert_eq!((account.id, account.name.as_str()), (id, "a"));
    }
    let live = BalanceId {
        account: id,
        mode: Mode::Live,
    };
    assert_eq!(house.figures(live).await.0, 2_000_000);
    house.audit().await;
}
