//! How long an account's files are kept: what its tasks make, and what it uploads. As long as everybody's, unless an operator has said
//! otherwise; that counts for what comes from then on, and what is there already is kept as it was told.

use std::time::Duration;

use domain::AccountId;
use proto::{Fault, code};

use crate::{Error, Media, operator::By, store::retention as table};

/// The longest time that can be said, in seconds: ten years or so.
const LONGEST: u64 = 10 * 366 * 24 * 3600;

/// What an operator has said of an account's files, in seconds; `None`: nothing, they are kept as long as everybody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Of what its tasks make.
    pub(crate) outputs: Option<u64>,
    /// Of what it uploads: what a file is kept that does not say so itself, and at most.
    pub(crate) uploads: Option<u64>,
}

/// What has been said of an account.
pub(crate) async fn of(media: &Media, account: AccountId) -> Result<Retention, Error> {
    let found = table::of(media.db.reader(), account);
    Ok(media.db.read(found).await?.unwrap_or_default())
}

/// How long an account's uploads are kept.
pub(crate) async fn of_uploads(media: &Media, account: AccountId) -> Result<Duration, Error> {
    let said = of(media, account).await?.uploads;
    let usual = media.kept.uploads.limits.retention;
    Ok(said.map_or(usual, Duration::from_secs))
}

/// Says how long an account's files are kept from now on.
///
/// # Errors
/// What is wrong with it, naming the field.
pub(crate) async fn set(
    media: &Media,
    account: AccountId,
    (said, by): (Retention, By),
) -> Result<(), Error> {
    for (param, seconds) in [("outputs", said.outputs), ("files", said.uploads)] {
        if seconds.is_some_and(|seconds| !(1..=LONGEST).contains(&seconds)) {
            let days = LONGEST / (24 * 3600);
            let message = format!("{param} must be from 1s to {days}d");
            let fault = Fault::new(code::INVALID_PARAMETER, message).param(param);
            return Err(fault.into());
        }
    }
    let now = media.db.now_micros();
    media
        .db
        .write(move |connection| {
            Box::pin(async move { table::set(connection, account, (said, &by), now).await })
        })
        .await
}
