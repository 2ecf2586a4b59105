//! Conversions between wire and domain, where every value is checked once.

use domain::{AccountId, Caller, Id, Mode, PriceFactor, Scope, ids::Kind as IdKind};

use crate::{Fault, code, common::v1 as wire};

/// A message from a peer that does not hold together. Never a customer's fault.
#[derive(Debug, thiserror::Error)]
#[error("malformed internal message: {0}")]
pub struct WireError(&'static str);

impl From<WireError> for Fault {
    fn from(_: WireError) -> Self {
        Self::of(code::INTERNAL)
    }
}

impl From<WireError> for tonic::Status {
    fn from(error: WireError) -> Self {
        Fault::from(error).into()
    }
}

/// Reads an id of 16 bytes.
///
/// # Errors
/// When there are not exactly 16 bytes.
pub fn id_from_wire<K: IdKind>(bytes: &[u8]) -> Result<Id<K>, WireError> {
    Id::from_slice(bytes).ok_or(WireError("an id is not 16 bytes"))
}

/// Reads a mode.
///
/// # Errors
/// When the mode is missing or not known.
pub fn mode_from_wire(mode: i32) -> Result<Mode, WireError> {
    match wire::Mode::try_from(mode) {
        Ok(wire::Mode::Test) => Ok(Mode::Test),
        Ok(wire::Mode::Live) => Ok(Mode::Live),
        Ok(wire::Mode::Unspecified) | Err(_) => Err(WireError("no mode")),
    }
}

/// Writes a mode.
pub fn mode_to_wire(mode: Mode) -> wire::Mode {
    match mode {
        Mode::Test => wire::Mode::Test,
        Mode::Live => wire::Mode::Live,
    }
}

/// Reads what an account pays of a price; 0 is what a sender says that does not know of it.
///
/// # Errors
/// When it is not allowed.
pub fn price_factor_from_wire(parts_per_million: i64) -> Result<PriceFactor, WireError> {
    if parts_per_million == 0 {
        return Ok(PriceFactor::ONE);
    }
    PriceFactor::new(parts_per_million).ok_or(WireError("a price factor is out of range"))
}

/// Reads who asks.
///
/// # Errors
/// When the context is missing or does not hold together.
pub fn context_from_wire(context: Option<wire::Context>) -> Result<Caller, WireError> {
    let context = context.ok_or(WireError("no context"))?;
    let account: AccountId = id_from_wire(&context.account_id)?;
    let key = if context.key_id.is_empty() {
        None
    } else {
        Some(id_from_wire::<domain::ids::Key>(&context.key_id)?)
    };
    let user = if context.user_id.is_empty() {
        None
    } else {
        Some(id_from_wire::<domain::ids::User>(&context.user_id)?)
    };
    Ok(Caller {
        account,
        mode: mode_from_wire(context.mode)?,
        key,
        user,
        scopes: context
            .scopes
            .iter()
            .filter_map(|word| Scope::parse(word))
            .collect(),
        price_factor: price_factor_from_wire(context.price_factor)?,
        request_id: context.request_id,
    })
}

impl From<&Caller> for wire::Context {
    fn from(caller: &Caller) -> Self {
        Self {
            account_id: caller.account.to_bytes().to_vec().into(),
            mode: mode_to_wire(caller.mode).into(),
            key_id: caller
                .key
                .map(|key| key.to_bytes().to_vec().into())
                .unwrap_or_default(),
            scopes: caller
                .scopes
                .iter()
                .map(|scope| scope.as_str().to_owned())
                .collect(),
            request_id: caller.request_id.clone(),
            price_factor: caller.price_factor.parts_per_million(),
            user_id: caller
                .user
                .map(|user| user.to_vec().into())
                .unwrap_or_default(),
        }
    }
}
