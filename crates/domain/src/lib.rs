//! The words and the sums every room shares: ids, money, keys, usage, the catalogue of models, prices.
//! Pure: no async, no clock, no IO, no wire formats but the catalogue's own files.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod caller;
pub mod catalogue;
pub mod charge;
mod event;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod json;
mod key;
mod moment;
mod money;
pub mod price;
mod problem;
mod provider;
pub mod receipt;
mod redeem_code;
mod secret;
mod tags;
pub mod transcript;
mod usage;

pub use caller::{Caller, Mode, Scope};
pub use catalogue::Catalogue;
pub use event::EventType;
pub use ids::{
    AccountId, DeliveryId, EndpointId, EventId, FileId, Id, KeyId, OperationId, OrderId,
    RedeemCodeId, TaskId, UserId,
};
pub use key::{ApiKey, KeyFormatError};
pub use moment::Moment;
pub use money::{Micros, MoneyError};
pub use price::PriceFactor;
pub use problem::{Problem, ProblemKind};
pub use provider::{Dialect, KnownProvider, OutputLimit, PROVIDERS, Thoughts, conventional_name};
pub use redeem_code::RedeemCode;
pub use secret::Secret;
pub use tags::{Tag, Tags};
pub use usage::{TokenClass, Usage};
