//! Responses that are kept, so that they can be looked at and continued: sealed, for a while, and only for the account and mode that made
//! them. What is in one is the edge's: it is not read here.

use chassis::{clock::micros, secrets::Sealer};
use db::Db;
use domain::{AccountId, Mode, OperationId};
use prost::Message as _;
use proto::{Fault, chat::v1::KeptResponse, code};
use tracing::error;

use crate::{StoreError, config::ResponseLimits, store::response as table};

/// What is kept, with its limits.
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

/// What is kept of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The conversation up to its end.
    Conversation,
    /// What the customer read.
    Object,
}

// === impl Responses ===

impl Responses {
    pub(crate) fn new(db: Db, sealer: Sealer, limits: ResponseLimits) -> Self {
        Self { db, sealer, limits }
    }

    /// Keeps one. `false`: it is too long, or its account keeps as much as it may.
    pub(crate) async fn keep(
        &self,
        place: Place,
        response: &KeptResponse,
    ) -> Result<bool, StoreError> {
        if response.encoded_len() > self.limits.max_bytes {
            return Ok(false);
        }
        let seal = |part, plain| self.sealer.seal(&place.name(part), plain);
        let sealed = (
            seal(Part::Conversation, &response.conversation)?,
            seal(Part::Object, &response.object)?,
        );
        let now = self.db.now_micros();
        let times = (now, now.saturating_add(micros(self.limits.kept)));
        let most = i64::try_from(self.limits.max_total_bytes).unwrap_or(i64::MAX);
        self.db
            .write(move |connection| {
                Box::pin(table::insert(connection, place, sealed, times, most))
            })
            .await
    }

    /// A part of a kept one; the other is left empty.
    ///
    /// # Errors
    /// NOT_FOUND: it is another's, was deleted, is kept no longer, or never was.
    pub(crate) async fn get(&self, place: Place, part: Part) -> Result<KeptResponse, Fault> {
        let found = table::part(self.db.reader(), place, part, self.db.now_micros());
        let sealed = self.db.read(found).await?.ok_or_else(unknown)?;
        let opened = self.sealer.open(&place.name(part), &sealed);
        let plain = opened.map_err(|_| {
            error!(operation = %place.operation, "a kept response does not open: was secrets.content_key changed?");
            unknown()
        })?;
        let mut response = KeptResponse::default();
        match part {
            Part::Conversation => response.conversation = plain.into(),
            Part::Object => response.object = plain.into(),
        }
        Ok(response)
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
    /// The place that a sealed part belongs to.
    fn name(&self, part: Part) -> Vec<u8> {
        let (mode, part) = (self.mode.as_str(), part.as_str());
        format!("response/{}/{mode}/{}/{part}", self.account, self.operation).into_bytes()
    }
}

// === impl Part ===

impl Part {
    /// Its column.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Conversation => "conversation",
            Self::Object => "object",
        }
    }
}

fn unknown() -> Fault {
    Fault::new(code::NOT_FOUND, "there is no such response for this key")
}
