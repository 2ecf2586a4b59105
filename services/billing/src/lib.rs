//! billing
#![warn(clippy::arithmetic_side_effects)]

pub mod ledger;
