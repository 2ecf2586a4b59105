//! What the catalogue promises: through what others see of it.
#![expect(clippy::unwrap_used, reason = "a test helper fails by panicking")]

mod documented;
mod space;
