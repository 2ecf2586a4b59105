//! Use case for operators: what waits, what is under way, and what was given up.

use db::Backlog;

use crate::{Error, Shared, store::overview as table};

/// What is seen of everybody's deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overview {
    pub(crate) due: Backlog,
    pub(crate) inflight: Backlog,
    pub(crate) dead: Backlog,
    /// Endpoints that are told nothing.
    pub(crate) disabled: Backlog,
    /// Whether the operator is told of what could not be delivered.
    pub(crate) alerts: bool,
}

/// Looks.
///
/// # Errors
/// When the database failed.
pub(crate) async fn overview(shared: &Shared) -> Result<Overview, Error> {
    let count = async |select| {
        let counted = Backlog::count(shared.db.reader(), select);
        shared.db.read(counted).await
    };
    Ok(Overview {
        due: count(table::DUE).await?,
        inflight: count(table::INFLIGHT).await?,
        dead: count(table::DEAD).await?,
        disabled: count(table::DISABLED).await?,
        alerts: shared.config.alert_url.is_some(),
    })
}
