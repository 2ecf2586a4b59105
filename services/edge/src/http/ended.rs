//! Tasks whose end is waited for, so that what they made is the answer: how long that may take, and what is read of one that has ended.

use std::time::Duration;

use proto::{Code, code};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::ApiError;

/// What a task takes beyond its deadline until everybody has heard of its end.
pub(super) const GRACE: Duration = Duration::from_secs(15);

/// What is read of an ended task's view.
#[derive(Deserialize)]
pub(super) struct Ended {
    error: Option<Failure>,
    consumed_credits: Box<RawValue>,
}

/// What is read of a failure.
#[derive(Deserialize)]
struct Failure {
    code: String,
    message: String,
}

// === impl Ended ===

impl Ended {
    /// What an ended task cost, as JSON has it.
    ///
    /// # Errors
    /// Why it failed, if it did.
    pub(super) fn paid(
        view: &[u8],
        not_yet: impl FnOnce() -> ApiError,
    ) -> Result<Box<RawValue>, ApiError> {
        let Ok(ended) = serde_json::from_slice::<Self>(view) else {
            return Err(not_yet());
        };
        let Some(Failure { code, message }) = ended.error else {
            return Ok(ended.consumed_credits);
        };
        let code = Code::find(&code).unwrap_or(code::INTERNAL);
        Err(ApiError::new(code, message))
    }
}
