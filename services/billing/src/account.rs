//! Use cases: make an account, list accounts, and the operator's own account with its first key.

use db::Db;
use domain::{AccountId, ApiKey, Micros, Mode, PriceFactor, Scope, Secret};
use serde_json::json;
use sqlx::AnyConnection;
use tracing::{info, warn};

use crate::{
    Billing, Error,
    audit_log::{self, Action, By, Change},
    config::{Config, Limits},
    error::StartError,
    key::{self, NewKey},
    ledger::{BalanceId, Caps, Op, Transfer},
    resend::until_known,
    store::{self, AccountRow},
};

/// Who books what nobody asked for.
pub(crate) const ACTOR: &str = "operator";
/// Why an account's first credit is booked, in the ledger.
pub(crate) const OPENING: &str = "opening credit";

/// Whether an account may ask for anything new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Good,
    /// The operator has stopped it.
    Frozen,
}

/// An account that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewAccount {
    /// Its id, from whoever may ask twice; `None`: a new one.
    pub id: Option<AccountId>,
    /// What people call it.
    pub name: String,
    /// Play money in test mode; `None`: as much as is configured.
    pub test_credits: Option<Micros>,
}

/// What a new account starts with, by whom, and when.
#[derive(Clone, Debug)]
struct Opening {
    test: Micros,
    live: Micros,
    by: By,
    now: i64,
}

// === impl Billing ===

impl Billing {
    /// Makes an account; without `test_credits` it gets the configured play money.
    ///
    /// # Errors
    /// When the name or the credit is not allowed, or the database failed.
    pub async fn create_account(
        &self,
        name: &str,
        test_credits: Option<Micros>,
        by: By,
    ) -> Result<AccountRow, Error> {
        let new = NewAccount {
            id: None,
            name: name.to_owned(),
            test_credits,
        };
        self.open_account(new, by).await
    }

    /// The same; of an id that is there already, it gives nothing again and answers with the account.
    ///
    /// # Errors
    /// As there.
    pub async fn open_account(&self, new: NewAccount, by: By) -> Result<AccountRow, Error> {
        create_account(&self.db, &self.config, new, by).await
    }
}

/// Makes an account with its two balances and its opening credit, in one transaction. One whose id is there already gets nothing again.
///
/// # Errors
/// When the name or the credit is not allowed, or the database failed.
async fn create_account(
    db: &Db,
    config: &Config,
    new: NewAccount,
    by: By,
) -> Result<AccountRow, Error> {
    let name = checked_text("name", &new.name, &config.limits)?;
    let test = new
        .test_credits
        .unwrap_or_else(|| config.accounts.test_amount());
    if test < Micros::ZERO {
        return Err(Error::invalid("test_credits", "not be negative"));
    }
    let opening = Opening {
        test,
        live: config.accounts.bonus_amount(),
        by,
        now: db.now_micros(),
    };
    let named = (new.id.unwrap_or_else(chassis::mint), name);
    db.write(move |connection| Box::pin(open_account(connection, named, opening)))
        .await
}

/// Lists accounts in the order they were made, after the one named.
///
/// # Errors
/// When the database failed.
pub(crate) async fn list_accounts(
    db: &Db,
    after: Option<AccountId>,
    limit: u32,
) -> Result<Vec<AccountRow>, Error> {
    db.read(async {
        let mut connection = db.reader().acquire().await?;
        store::account::list(&mut connection, after, i64::from(limit.clamp(1, 1_000))).await
    })
    .await
}

/// Stops an account, or lets it go on.
///
/// # Errors
/// When there is no such account, or the database failed.
pub(crate) async fn set_standing(
    db: &Db,
    account: AccountId,
    standing: Standing,
    by: By,
) -> Result<(), Error> {
    let now = db.now_micros();
    let frozen = standing == Standing::Frozen;
    db.write(move |connection| {
        Box::pin(async move {
            if !store::account::exists(connection, account).await? {
                return Err(Error::NotFound("account"));
            }
            if !store::account::freeze(connection, account, frozen.then_some(now)).await? {
                return Ok(());
            }
            let change = Change {
                whose: (Some(account), None),
                action: Action::AccountUpdate,
                subject: account.to_string(),
                detail: json!({ "after": { "frozen": frozen } }),
            };
            audit_log::note(connection, &by, change, now).await
        })
    })
    .await?;
    info!(account.id = %account, ?standing, "an account's standing was set");
    Ok(())
}

/// The operator's own account, made at the first start. Of several processes that start at once, one makes it.
///
/// # Errors
/// When the database failed.
pub(crate) async fn operator_account(db: &Db, config: &Config) -> Result<AccountId, Error> {
    let opening = Opening {
        test: config.accounts.test_amount(),
        live: Micros::ZERO,
        by: By::operator(),
        now: db.now_micros(),
    };
    until_known(&config.limits, || {
        let opening = opening.clone();
        db.write(move |connection| {
            Box::pin(async move {
                if let Some(operator) = store::account::operator(connection).await? {
                    return Ok(operator.account);
                }
                let named = (chassis::mint(), ACTOR.to_owned());
                let account = open_account(connection, named, opening).await?;
                store::account::insert_operator(connection, account.id).await?;
                info!(account.id = %account.id, "made the operator's account");
                Ok(account.id)
            })
        })
    })
    .await
}

/// Makes `key` the operator's key, with scope `admin` and without `inference`. The first one stays: another one later is
/// ignored with a warning.
///
/// # Errors
/// When the text is not a live key, or the database failed.
pub(crate) async fn bootstrap_key(
    db: &Db,
    macs: &chassis::secrets::KeyMac,
    text: &Secret,
) -> Result<(), Error> {
    let unusable = |cause| Error::Start(StartError::BootstrapKey(cause));
    let given = ApiKey::parse(text.expose()).map_err(|error| unusable(Some(error)))?;
    if given.mode() != Mode::Live {
        return Err(unusable(None));
    }
    let mac = macs.mac(given.expose());
    let last_four = given.last_four().to_owned();
    let now = db.now_micros();
    db.write(move |connection| {
        Box::pin(async move {
            // Held until the end: of several processes that start at once, one makes the key.
            let operator = store::account::lock_operator(connection).await?;
            let operator = operator.ok_or(Error::Corrupt("there is no operator account"))?;
            if let Some(first) = operator.bootstrap_key {
                let known = store::key::by_mac(connection, &mac).await?;
                if known.is_none_or(|known| known.id != first) {
                    warn!(
                        "AIO_BOOTSTRAP_KEY was changed after the first start, or the operator's key was rotated; it is ignored"
                    );
                }
                return Ok(());
            }
            let row = key::row(
                NewKey {
                    account: operator.account,
                    name: "bootstrap".to_owned(),
                    mode: Mode::Live,
                    scopes: vec![Scope::Read, Scope::Manage, Scope::Admin],
                    models: Vec::new(),
                    caps: Caps::default(),
                    rpm: 0,
                    concurrency: 0,
                    max_open_tasks: 0,
                    ip_allow: Vec::new(),
                    expires_at: None,
                },
                mac,
                last_four,
                now,
            );
            store::key::insert(connection, &row).await?;
            key::note_new(connection, &By::operator(), &row, Caps::default()).await?;
            store::account::set_bootstrap_key(connection, row.id).await?;
            info!(key.id = %row.id, "AIO_BOOTSTRAP_KEY is now the operator's key");
            Ok(())
        })
    })
    .await
}

/// A text somebody typed, for the books: not empty, not too long, one line.
pub(crate) fn checked_text(
    param: &'static str,
    text: &str,
    limits: &Limits,
) -> Result<String, Error> {
    let text = text.trim();
    if text.is_empty()
        || text.chars().count() > limits.input.text_chars
        || text.chars().any(char::is_control)
    {
        let allowed = format!(
            "have 1 to {} characters, without line breaks",
            limits.input.text_chars
        );
        return Err(Error::invalid(param, allowed));
    }
    Ok(text.to_owned())
}

async fn open_account(
    connection: &mut AnyConnection,
    (id, name): (AccountId, String),
    opening: Opening,
) -> Result<AccountRow, Error> {
    let account = AccountRow {
        id,
        name,
        created_at: opening.now,
        price_factor: PriceFactor::ONE,
    };
    if !store::account::insert(connection, &account).await? {
        let known = store::account::get(connection, id).await?;
        return known.ok_or(Error::Corrupt("an account is there and is not"));
    }
    let mut ops = Vec::new();
    for (mode, amount) in [(Mode::Test, opening.test), (Mode::Live, opening.live)] {
        let balance = BalanceId {
            account: account.id,
            mode,
        };
        store::ledger::open_balance(connection, balance).await?;
        if amount > Micros::ZERO {
            ops.push(opening_credit(balance, amount));
        }
    }
    let decision = store::ledger::apply(connection, &ops, &[], opening.now).await?;
    for answer in decision.answers {
        answer?;
    }
    let change = Change {
        whose: (Some(account.id), None),
        action: Action::AccountCreate,
        subject: account.id.to_string(),
        detail: json!({
            "name": account.name,
            "test_microcredits": opening.test.get(),
            "live_microcredits": opening.live.get(),
        }),
    };
    audit_log::note(connection, &opening.by, change, opening.now).await?;
    Ok(account)
}

fn opening_credit(balance: BalanceId, amount: Micros) -> Op {
    Op::Transfer {
        id: chassis::mint(),
        transfer: Transfer {
            balance,
            amount,
            actor: ACTOR.to_owned(),
            reason: OPENING.to_owned(),
        },
    }
}
