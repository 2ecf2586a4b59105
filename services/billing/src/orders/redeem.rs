//! Use case: redeem a code. Once per code and account: who asks again is told the same and gets nothing more. Whatever is wrong
//! with a code, the answer is one and the same.

use domain::{AccountId, Caller, Micros, Mode, RedeemCode};
use serde_json::json;
use sqlx::AnyConnection;
use subtle::ConstantTimeEq as _;
use tracing::{info, instrument};

use super::{Orders, book, codes, error::Refusal};
use crate::{
    Error,
    audit_log::{self, Action, By, Change},
    ledger::{BalanceId, Op, Transfer},
    resend::until_known,
    store,
};

/// Who books, in the ledger.
pub(crate) const BY_CODE: &str = "redeem_code";

/// What became of a code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Redeemed {
    /// What it is worth.
    pub(crate) credits: Micros,
    /// Whether this account had redeemed it before.
    pub(crate) repeated: bool,
    /// Which balance it is on.
    pub(crate) balance: BalanceId,
}

impl Orders {
    /// Redeems a code for the balance of the caller's mode.
    ///
    /// # Errors
    /// When the code cannot be redeemed, or the database failed.
    #[instrument(skip_all, fields(account.id = %caller.account))]
    pub(crate) async fn redeem(&self, caller: &Caller, text: &str) -> Result<Redeemed, Error> {
        let redeemed = self.try_redeem(caller, text).await;
        let metrics = &self.inner.metrics;
        match &redeemed {
            Ok(redeemed) if !redeemed.repeated => {
                metrics.redeemed.inc();
                info!(credits = %redeemed.credits, "redeemed a code");
            }
            Err(Error::Orders(Refusal::Code)) => {
                metrics.wrong_codes.inc();
            }
            Ok(_) | Err(_) => {}
        }
        redeemed
    }

    async fn try_redeem(&self, caller: &Caller, text: &str) -> Result<Redeemed, Error> {
        let code = RedeemCode::parse(text).ok_or(Refusal::Code)?;
        let mac = codes::mac(&self.inner.key_mac, &code);
        let balance = BalanceId {
            account: caller.account,
            mode: caller.mode,
        };
        let db = &self.inner.db;
        until_known(&self.inner.config.limits, || {
            let now = db.now_micros();
            let by = By::from(caller);
            db.write(move |connection| Box::pin(redeem(connection, balance, mac, (by, now))))
        })
        .await
    }
}

async fn redeem(
    connection: &mut AnyConnection,
    id: BalanceId,
    mac: [u8; 32],
    (by, now): (By, i64),
) -> Result<Redeemed, Error> {
    let balance = store::order::lock_balance(connection, id).await?;
    let balance = balance.ok_or(Error::NotFound("account"))?;
    let code = store::code::by_mac(connection, &mac).await?;
    let code = code
        .filter(|code| bool::from(code.mac.as_slice().ct_eq(&mac)) && code.mode == id.mode)
        .ok_or(Refusal::Code)?;
    let account = id.account;
    if store::code::was_redeemed(connection, code.id, account).await? {
        return Ok(Redeemed {
            credits: code.credits,
            repeated: true,
            balance: id,
        });
    }
    if !store::code::take_use(connection, code.id, now).await? {
        return Err(Refusal::Code.into());
    }
    let transfer = book::derived(&[b"code", &code.id.to_bytes(), &account.to_bytes()]);
    store::code::insert_redemption(connection, code.id, account, transfer, now).await?;
    let op = Op::Transfer {
        id: transfer,
        transfer: Transfer {
            balance: id,
            amount: code.credits,
            actor: BY_CODE.to_owned(),
            reason: code.id.to_string(),
        },
    };
    let available = balance.available().map_err(book::out_of_range)?;
    let available = available.plus(code.credits).map_err(book::out_of_range)?;
    let mut ops = vec![op];
    ops.extend(owed(connection, account, id.mode, available, now).await?);
    book::apply(connection, &ops, now).await?;
    let change = Change {
        whose: (Some(account), Some(id.mode)),
        action: Action::CreditsRedeem,
        subject: account.to_string(),
        detail: json!({ "code_id": code.id.to_string(), "microcredits": code.credits.get() }),
    };
    audit_log::note(connection, &by, change, now).await?;
    Ok(Redeemed {
        credits: code.credits,
        repeated: false,
        balance: id,
    })
}

/// What takes what the account owes: of live credit only.
async fn owed(
    connection: &mut AnyConnection,
    account: AccountId,
    mode: Mode,
    available: Micros,
    now: i64,
) -> Result<Vec<Op>, Error> {
    match mode {
        Mode::Live => book::collect(connection, account, available, now).await,
        Mode::Test => Ok(Vec::new()),
    }
}
