//! chat: being built.
