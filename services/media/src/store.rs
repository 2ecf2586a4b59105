//! All SQL of media.

/// Every column of a [`Task`], in the order of [`read`].
macro_rules! columns {
    () => {
        "id, account, mode, route, model, state, version, request, held, charged, price_version, attempts, provider, job, \
         progress, polls, poll_failures, due_at, not_before, claims, lease_until, error, created_at, started_at, completed_at, \
         deadline_at, trace, price, line, queue_position, cancel_asked_at, heard_at, clips"
    };
}

pub(crate) mod attempt;
pub(crate) mod claim;
pub(crate) mod coming;
pub(crate) mod line;
pub(crate) mod list;
pub(crate) mod open;
pub(crate) mod operator;
pub(crate) mod output;
pub(crate) mod overview;
pub(crate) mod retention;
pub(crate) mod task;
pub(crate) mod upload;
