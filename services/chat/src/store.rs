//! All SQL of chat, one function per statement.

pub(crate) mod cache;
pub(crate) mod replay;
pub(crate) mod response;
mod room;
