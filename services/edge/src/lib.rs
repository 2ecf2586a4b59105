//! edge: being built.
