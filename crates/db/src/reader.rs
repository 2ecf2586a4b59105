//! Reading: a pool of connections, and how long an answer may take. It writes nothing.

use std::{future::Future, time::Duration};

use sqlx::AnyPool;
use tokio::time::timeout;

use crate::{Error, Limits, postgres};

/// What the way to a server and back may take on top of what the server itself may take.
const WAY: Duration = Duration::from_secs(1);

/// Connections for reading. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pool: AnyPool,
    /// How long an answer may take; a file needs no limit, as it cannot fall silent.
    longest: Option<Duration>,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn of_file(pool: AnyPool) -> Self {
        Self {
            pool,
            longest: None,
        }
    }

    /// Of a server, which ends by itself what runs too long, unless it was told not to.
    pub(crate) fn of_server(pool: AnyPool, limits: &Limits) -> Self {
        let server = match limits.statement_timeout {
            Duration::ZERO => limits.write_timeout,
            limit => limit,
        };
        let longest = limits.acquire_timeout.saturating_add(server);
        Self {
            pool,
            longest: Some(longest.saturating_add(WAY)),
        }
    }

    pub(crate) const fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// As [`crate::Db::read`] says.
    pub(crate) async fn read<T, E>(
        &self,
        question: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        E: From<Error>,
    {
        let Some(longest) = self.longest else {
            return question.await;
        };
        timeout(longest, question)
            .await
            .unwrap_or_else(|_| Err(postgres::silent().into()))
    }
}
