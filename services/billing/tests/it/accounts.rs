//! Accounts, their opening credit, and the operator's key.

use billing::ledger::BalanceId;
use chassis::secrets::Secrets;
use domain::{ApiKey, Micros, Mode, Secret};

use crate::house::{House, code};

#[tokio::test]
async fn a_new_account_has_play_money_and_no_live_credit() {
    let house = House::open().await;
    let account = house
        .billing
        .create_account("  acme  ", None)
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

#[tokio::test]
async fn opening_credit_is_configured_and_can_be_named() {
    let house = House::with("[accounts]\ntest_credits = 5\nbonus = 2").await;
    let account = house.billing.create_account("a", None).await.unwrap().id;
    let (test, live) = (Mode::Test, Mode::Live);
    let figures = async |account, mode| house.figures(BalanceId { account, mode }).await.0;
    assert_eq!(figures(account, test).await, 5_000_000);
    assert_eq!(figures(account, live).await, 2_000_000);
    for named in [0, 7] {
        let named = Micros::new(named);
        let account = house.billing.create_account("b", Some(named)).await;
        assert_eq!(figures(account.unwrap().id, test).await, named.get());
    }
    house.audit().await;
}

#[tokio::test]
async fn what_is_wrong_with_an_account_is_said() {
    let house = House::open().await;
    let long = "x".repeat(201);
    for name in ["", "  ", "a\nb", &long] {
        let refused = house.billing.create_account(name, None).await;
        assert_eq!(code(refused), "invalid_parameter", "{name:?}");
    }
    let refused = house
        .billing
        .create_account("a", Some(Micros::new(-1)))
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

#[tokio::test]
async fn accounts_are_listed_page_by_page() {
    let house = House::open().await;
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

#[tokio::test]
async fn the_bootstrap_key_is_taken_once() {
    let random = |byte| Secret::new(ApiKey::from_random(Mode::Live, &[byte; 36]).expose());
    let (first, other) = (random(1), random(2));
    let mut house = House::open().await;
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

#[tokio::test]
async fn a_bootstrap_key_must_be_a_live_key() {
    let house = House::open().await;
    let test = ApiKey::from_random(Mode::Test, &[1; 36]);
    for text in ["secret", test.expose()] {
        let refused = house.billing.bootstrap(&Secret::new(text)).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("AIO_BOOTSTRAP_KEY") && !error.contains(text));
    }
}

#[tokio::test]
async fn only_the_mac_of_a_key_is_kept() {
    let house = House::open().await;
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
