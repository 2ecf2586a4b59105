//! webhooks: being built.
