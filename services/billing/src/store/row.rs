//! Row types, and how ids, modes and states are written in SQL.

use std::fmt;

use domain::{AccountId, EventId, Id, KeyId, Micros, Mode, PriceFactor, ids::Kind as IdKind};
use sqlx::{Row as _, any::AnyRow};

use crate::{
    Error,
    ledger::{BalanceId, HoldState, Posting, PostingKind},
};

/// A row of `account`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its id.
    pub id: AccountId,
    /// By which operators know it.
    pub name: String,
    /// Microseconds UTC.
    pub created_at: i64,
    /// What it pays of a price.
    pub price_factor: PriceFactor,
}

/// A row of `audit_log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLogRow {
    /// Rising.
    pub id: EventId,
    /// Whose things were changed; `None`: nobody's in particular.
    pub account: Option<AccountId>,
    /// Of which balance; `None`: of the account.
    pub mode: Option<Mode>,
    /// A key's id, or `operator`.
    pub actor: String,
    /// The request that did it; empty: none.
    pub request: String,
    /// What was done, such as `key.create`.
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// What became of it, as JSON.
    pub detail: String,
    /// Microseconds UTC.
    pub created_at: i64,
}

/// A row of `price_list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceListRow {
    /// The hash of the text.
    pub version: String,
    /// The text.
    pub body: String,
    /// When it was kept first, microseconds UTC.
    pub created_at: i64,
}

/// A row of `api_key`.
#[derive(Clone, Debug)]
pub(crate) struct KeyRow {
    pub(crate) id: KeyId,
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) name: String,
    pub(crate) mac: Vec<u8>,
    pub(crate) last_four: String,
    pub(crate) previous: Option<PreviousSecret>,
    pub(crate) scopes: Vec<String>,
    pub(crate) models: Vec<String>,
    pub(crate) ip_allow: Vec<String>,
    pub(crate) rpm: u32,
    pub(crate) concurrency: u32,
    pub(crate) max_open_tasks: u32,
    pub(crate) created_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) revoked_at: Option<i64>,
}

/// The secret of a key before its last rotation.
#[derive(Clone, Debug)]
pub(crate) struct PreviousSecret {
    pub(crate) mac: Vec<u8>,
    pub(crate) last_four: String,
    /// It opens what the key opens until then, microseconds UTC.
    pub(crate) until: i64,
}

/// An id as it stands in SQL: 16 bytes, in texts 32 hex digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hex(pub(super) [u8; 16]);

// === impl Hex ===

impl<K: IdKind> From<Id<K>> for Hex {
    fn from(id: Id<K>) -> Self {
        Self(id.to_bytes())
    }
}

impl<K: IdKind> From<Hex> for Id<K> {
    fn from(hex: Hex) -> Self {
        Self::from_uuid(uuid::Uuid::from_bytes(hex.0))
    }
}

impl Hex {
    /// An id as it stands in a column.
    pub(super) fn from_slice(bytes: &[u8]) -> Result<Self, Error> {
        let bytes = bytes.try_into();
        Ok(Self(
            bytes.map_err(|_| Error::Corrupt("an id is not 16 bytes"))?,
        ))
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        let mut text = [0; 32];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// Reads an id.
pub(super) fn id<K: IdKind>(row: &AnyRow, column: &str) -> Result<Id<K>, Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    Id::from_slice(&bytes).ok_or(Error::Corrupt("an id is not 16 bytes"))
}

/// Reads an id, where none is empty.
pub(super) fn optional_id<K: IdKind>(row: &AnyRow, column: &str) -> Result<Option<Id<K>>, Error> {
    let bytes: Vec<u8> = row.try_get(column)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = Id::from_slice(&bytes).ok_or(Error::Corrupt("an id is not 16 bytes"))?;
    Ok(Some(id))
}

/// Reads an amount.
pub(super) fn micros(row: &AnyRow, column: &str) -> Result<Micros, Error> {
    Ok(Micros::new(row.try_get(column)?))
}

/// Reads a mode.
pub(super) fn mode(row: &AnyRow) -> Result<Mode, Error> {
    mode_of(&row.try_get::<String, _>("mode")?)
}

/// Reads the word of a mode.
pub(crate) fn mode_of(word: &str) -> Result<Mode, Error> {
    Mode::parse(word).ok_or(Error::Corrupt("a mode is neither test nor live"))
}

/// Which balance a row belongs to.
pub(super) fn balance_id(account: Hex, mode: &str) -> Result<BalanceId, Error> {
    Ok(BalanceId {
        account: account.into(),
        mode: mode_of(mode)?,
    })
}

/// A balance's account and mode as they stand in SQL.
pub(super) fn balance_words(id: BalanceId) -> (Hex, &'static str) {
    (id.account.into(), id.mode.as_str())
}

/// A state's word in SQL.
pub(super) const fn state_word(state: HoldState) -> &'static str {
    match state {
        HoldState::Open => "open",
        HoldState::Captured => "captured",
        HoldState::Released => "released",
        HoldState::Expired => "expired",
        HoldState::Late => "late",
        HoldState::Tombstone => "tombstone",
    }
}

/// Reads a hold's state.
pub(super) fn state(word: &str) -> Result<HoldState, Error> {
    [
        HoldState::Open,
        HoldState::Captured,
        HoldState::Released,
        HoldState::Expired,
        HoldState::Late,
        HoldState::Tombstone,
    ]
    .into_iter()
    .find(|state| state_word(*state) == word)
    .ok_or(Error::Corrupt("a hold's state is not known"))
}

/// A posting's kind as a word in SQL, the account it is of, and the platform account on its other side.
pub(super) fn posting_words(posting: &Posting) -> (&'static str, Hex, Hex) {
    let customer = posting.balance.account.into();
    match posting.kind {
        PostingKind::Capture => ("capture", customer, REVENUE),
        PostingKind::WriteOff => ("write_off", LOSSES, REVENUE),
        PostingKind::TopUp => ("top_up", customer, ISSUED),
        PostingKind::Adjustment => ("adjustment", customer, ISSUED),
    }
}

/// The platform account that charges go to.
const REVENUE: Hex = Hex([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
/// The platform account that given credit comes from.
const ISSUED: Hex = Hex([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
/// The platform account that pays for what could not be charged.
const LOSSES: Hex = Hex([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
