//! Responses that are kept, so that they can be looked at and continued: sealed, for a while, and only for the account and mode that made
//! them. What is in one is the edge's: it is not read here.

use chassis::{clock::micros, secrets::Sealer};
use db::Db;
use domain::{AccountId, Mode, OperationId};
use prost::Message as _;
use proto::{Fault, chat::v1::KeptResponse, code};
use tracing::error;

use crate::{StoreError, config::ResponseLimits, store::response as table};

/// The rows of `response`.
pub(crate) struct Responses {
    db: Db,
    sealer: Sealer,
    limits: ResponseLimits,
}

/// Whose response, and which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) operation: OperationId,
}

// === impl Responses ===

impl Responses {
    pub(crate) fn new(db: Db, sealer: Sealer, limits: ResponseLimits) -> Self {
        Self { db, sealer, limits }
    }

    /// Keeps one. `false`: it is too long.
    pub(crate) async fn keep(
        &self,
        place: Place,
        response: &KeptResponse,
    ) -> Result<bool, StoreError> {
        if response.encoded_len() > self.limits.max_bytes {
            return Ok(false);
        }
        let sealed = self.sealer.seal(&place.name(), &response.encode_to_vec())?;
        let now = self.db.now_micros();
        let times = (now, now.saturating_add(micros(self.limits.kept)));
        let write: Result<(), StoreError> = self
            .db
            .write(move |connection| Box::pin(table::insert(connection, place, sealed, times)))
            .await;
        write.map(|()| true)
    }

    /// A kept one.
    ///
    /// # Errors
    /// NOT_FOUND: it is another's, was deleted, is kept no longer, or never was.
    pub(crate) async fn get(&self, place: Place) -> Result<KeptResponse, Fault> {
        let found = table::content(self.db.reader(), place, self.db.now_micros());
        let sealed = self.db.read(found).await?.ok_or_else(unknown)?;
        let opened = self.sealer.open(&place.name(), &sealed).ok();
        let response = opened.and_then(|plain| KeptResponse::decode(plain.as_slice()).ok());
        response.ok_or_else(|| {
            error!(operation = %place.operation, "a kept response does not open: was secrets.content_key changed?");
            unknown()
        })
    }

    /// Forgets one for good.
    ///
    /// # Errors
    /// NOT_FOUND, as of [`Responses::get`].
    pub(crate) async fn delete(&self, place: Place) -> Result<(), Fault> {
        let now = self.db.now_micros();
        let write: Result<bool, StoreError> = self
            .db
            .write(move |connection| Box::pin(table::empty(connection, place, now)))
            .await;
        if write? { Ok(()) } else { Err(unknown()) }
    }
}

// === impl Place ===

impl Place {
    /// The place that sealed content belongs to.
    fn name(&self) -> Vec<u8> {
        let mode = self.mode.as_str();
        format!(
            "response/{}/{mode}/{}/content",
            self.account, self.operation
        )
        .into_bytes()
    }
}

fn unknown() -> Fault {
    Fault::new(code::NOT_FOUND, "there is no such response for this key")
}
