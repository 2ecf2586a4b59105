//! All SQL of chat, one function per statement.

pub(crate) mod replay;
pub(crate) mod response;
