//! A new hold as it stands in SQL.

use domain::{KeyId, Micros};

use crate::{
    ledger::{BalanceId, Changes, HoldState, Kind, Stored},
    store::row::{Hex, state_word},
};

/// A new row of `hold`. A tombstone names nobody.
pub(super) struct NewHold<'a> {
    pub(super) id: Hex,
    pub(super) owner: Option<BalanceId>,
    pub(super) kind: Option<&'static str>,
    pub(super) state: &'static str,
    pub(super) amount: Micros,
    pub(super) floor: Micros,
    pub(super) granted: Micros,
    pub(super) captured: Micros,
    pub(super) written_off: Micros,
    pub(super) key: Option<KeyId>,
    pub(super) budgeted: bool,
    pub(super) price_version: &'a str,
    pub(super) expires_at: Option<i64>,
}

// === impl NewHold ===

impl NewHold<'_> {
    /// Whether it is open, and not closed from the beginning.
    pub(super) fn is_open(&self) -> bool {
        self.state == state_word(HoldState::Open)
    }
}

/// New holds and tombstones, in the order of their ids.
pub(super) fn new_holds(changes: &Changes) -> Vec<NewHold<'_>> {
    let mut holds: Vec<_> = changes.new_holds.iter().collect();
    holds.sort_unstable_by_key(|(id, _)| *id);
    holds
        .into_iter()
        .map(|(id, stored)| new_hold((*id).into(), stored))
        .collect()
}

fn new_hold(id: Hex, stored: &Stored) -> NewHold<'_> {
    let Stored::Hold(hold) = stored else {
        return NewHold {
            id,
            owner: None,
            kind: None,
            state: state_word(HoldState::Tombstone),
            amount: Micros::ZERO,
            floor: Micros::ZERO,
            granted: Micros::ZERO,
            captured: Micros::ZERO,
            written_off: Micros::ZERO,
            key: None,
            budgeted: false,
            price_version: "",
            expires_at: None,
        };
    };
    let (kind, expires_at) = match hold.terms.kind {
        Kind::Chat { expires_at } => ("chat", Some(expires_at)),
        Kind::Media => ("media", None),
    };
    NewHold {
        id,
        owner: Some(hold.terms.balance),
        kind: Some(kind),
        state: state_word(hold.state),
        amount: hold.terms.amount,
        floor: hold.terms.floor,
        granted: hold.granted,
        captured: hold.captured,
        written_off: hold.written_off,
        key: hold.terms.key,
        budgeted: hold.budgeted,
        price_version: &hold.terms.price_version,
        expires_at,
    }
}
