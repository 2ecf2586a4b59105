//! Use cases: make redeem codes, list them, revoke one. A code is shown once; what is kept is its keyed MAC.

use chassis::{clock::rfc3339, secrets::KeyMac};
use domain::{Micros, Mode, RedeemCode, RedeemCodeId};
use rand::RngExt as _;
use serde_json::json;
use tracing::{info, instrument};

use super::Orders;
use crate::{
    Error,
    audit_log::{self, Action, By, Change},
    store::{
        self,
        code::{CodeRow, Revoked},
    },
};

/// What new codes are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewCodes {
    /// How many.
    pub(crate) count: u32,
    /// What each is worth.
    pub(crate) credits: Micros,
    /// Whose balance of which mode.
    pub(crate) mode: Mode,
    /// How many accounts may redeem each; 0 means one.
    pub(crate) max_uses: u32,
    /// Microseconds UTC.
    pub(crate) expires_at: Option<i64>,
    /// Who makes them.
    pub(crate) by: By,
}

/// The MAC under which a code is kept: never that of an API key.
pub(super) fn mac(macs: &KeyMac, code: &RedeemCode) -> [u8; 32] {
    macs.mac(&format!("redeem-code:{}", code.expose()))
}

impl Orders {
    /// Makes codes: all of them, or none.
    ///
    /// # Errors
    /// When a field has a value that is not allowed, or the database failed.
    #[instrument(skip_all, fields(count = wanted.count))]
    pub(crate) async fn create_codes(
        &self,
        wanted: NewCodes,
    ) -> Result<Vec<(CodeRow, RedeemCode)>, Error> {
        let inner = &self.inner;
        let now = inner.db.now_micros();
        let wanted = self.checked(wanted, now)?;
        let made: Vec<(CodeRow, RedeemCode)> = (0..wanted.count)
            .map(|_| {
                let code = RedeemCode::from_random(&rand::rng().random());
                (row(&wanted, &code, &inner.key_mac, now), code)
            })
            .collect();
        let rows: Vec<CodeRow> = made.iter().map(|(row, _)| row.clone()).collect();
        let by = wanted.by.clone();
        inner
            .db
            .write(move |connection| {
                Box::pin(async move {
                    for row in &rows {
                        store::code::insert(connection, row).await?;
                        audit_log::note(connection, &by, new_code(row), now).await?;
                    }
                    Ok::<_, Error>(())
                })
            })
            .await?;
        info!(actor = wanted.by.actor, credits = %wanted.credits, mode = wanted.mode.as_str(), "made redeem codes");
        Ok(made)
    }

    /// A page of codes, the newest first.
    ///
    /// # Errors
    /// When the database failed.
    pub(crate) async fn list_codes(
        &self,
        before: Option<RedeemCodeId>,
        limit: u32,
    ) -> Result<Vec<CodeRow>, Error> {
        let (db, limit) = (&self.inner.db, i64::from(limit.clamp(1, 1_000)));
        db.read(async {
            let mut connection = db.reader().acquire().await?;
            store::code::list(&mut connection, before, limit).await
        })
        .await
    }

    /// Revokes a code, for good. Revoking it again changes nothing; what was redeemed stays redeemed.
    ///
    /// # Errors
    /// When there is no such code, or the database failed.
    #[instrument(skip_all, fields(code.id = %id))]
    pub(crate) async fn revoke_code(&self, id: RedeemCodeId, by: By) -> Result<(), Error> {
        let db = &self.inner.db;
        let now = db.now_micros();
        db.write(move |connection| {
            Box::pin(async move {
                match store::code::revoke(connection, id, now).await? {
                    Revoked::Now => {}
                    Revoked::Before => return Ok(()),
                    Revoked::Unknown => return Err(Error::NotFound("redeem code")),
                }
                let change = Change {
                    whose: (None, None),
                    action: Action::CodeRevoke,
                    subject: id.to_string(),
                    detail: json!({}),
                };
                audit_log::note(connection, &by, change, now).await
            })
        })
        .await?;
        info!("revoked a redeem code");
        Ok(())
    }

    fn checked(&self, mut wanted: NewCodes, now: i64) -> Result<NewCodes, Error> {
        let config = &self.inner.config;
        let codes = &config.orders.codes;
        if !(1..=codes.at_once).contains(&wanted.count) {
            let allowed = format!("be from 1 to {}", codes.at_once);
            return Err(Error::invalid("count", allowed));
        }
        let most = Micros::from_credits(1).times(u64::from(codes.max_credits));
        let most = most.unwrap_or(Micros::ZERO);
        if wanted.credits <= Micros::ZERO || wanted.credits > most {
            let allowed = format!("be more than 0 and at most {most}");
            return Err(Error::invalid("credits", allowed));
        }
        if wanted.max_uses > codes.max_uses {
            let allowed = format!("be from 1 to {}", codes.max_uses);
            return Err(Error::invalid("max_uses", allowed));
        }
        if wanted.expires_at.is_some_and(|moment| moment <= now) {
            return Err(Error::invalid("expires_at", "lie in the future"));
        }
        wanted.max_uses = wanted.max_uses.max(1);
        Ok(wanted)
    }
}

/// What a new code is, as the audit log tells it.
fn new_code(row: &CodeRow) -> Change {
    Change {
        whose: (None, None),
        action: Action::CodeCreate,
        subject: row.id.to_string(),
        detail: json!({
            "last_four": row.last_four,
            "mode": row.mode.as_str(),
            "microcredits": row.credits.get(),
            "max_uses": row.max_uses,
            "expires_at": row.expires_at.map(rfc3339),
        }),
    }
}

fn row(wanted: &NewCodes, code: &RedeemCode, macs: &KeyMac, now: i64) -> CodeRow {
    CodeRow {
        id: chassis::mint(),
        mac: mac(macs, code).to_vec(),
        last_four: code.last_four().to_owned(),
        mode: wanted.mode,
        credits: wanted.credits,
        max_uses: i64::from(wanted.max_uses),
        uses: 0,
        actor: wanted.by.actor.clone(),
        created_at: now,
        expires_at: wanted.expires_at,
        revoked_at: None,
    }
}
