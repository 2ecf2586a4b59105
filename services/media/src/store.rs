//! All SQL of media.

pub(crate) mod attempt;
pub(crate) mod output;
pub(crate) mod task;
