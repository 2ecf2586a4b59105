//! Patience: wait for a condition, never for an amount of time.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// How long anything may take on a machine that has other things to do. No test asserts that something is faster.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `condition` gives something.
///
/// # Errors
/// An error of the condition, at once; after [`PATIENCE`], that `what` did not come about.
pub async fn eventually<T, F>(what: &str, mut condition: F) -> Result<T>
where
    F: AsyncFnMut() -> Result<Option<T>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition().await? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {PATIENCE:?} in vain: {what}");
        }
        sleep(PAUSE).await;
    }
}
