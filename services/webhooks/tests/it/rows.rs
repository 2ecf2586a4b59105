//! Rows as the version before lanes wrote them: without a lane.

use chassis::{mint, secrets::Secrets};
use db::Db;
use domain::{AccountId, DeliveryId, EventId};
use sqlx::AnyConnection;

/// An event and its delivery.
pub(crate) struct Row {
    pub(crate) event: EventId,
    pub(crate) account: AccountId,
    pub(crate) state: &'static str,
    pub(crate) due_at: i64,
    pub(crate) url: String,
    /// Any bytes.
    pub(crate) origin: Vec<u8>,
}

/// Writes them, all in one transaction.
pub(crate) async fn write(secrets: &Secrets, db: &Db, rows: Vec<Row>) {
    let sealed = rows.into_iter().map(|row| {
        let id: DeliveryId = mint();
        let seal = |place: String, text: &str| {
            let sealed = secrets.content().seal(place.as_bytes(), text.as_bytes());
            sealed.unwrap()
        };
        let payload = seal(format!("event/{}/payload", row.event), "{}");
        let url = seal(format!("delivery/{id}/url"), &row.url);
        (id, row, payload, url)
    });
    let sealed: Vec<_> = sealed.collect();
    let written: Result<(), webhooks::Error> = db
        .write(move |connection| {
            Box::pin(async move {
                for (id, row, payload, url) in sealed {
                    insert(connection, id, row, (payload, url)).await?;
                }
                Ok(())
            })
        })
        .await;
    written.unwrap();
}

async fn insert(
    connection: &mut AnyConnection,
    id: DeliveryId,
    row: Row,
    (payload, url): (Vec<u8>, Vec<u8>),
) -> Result<(), webhooks::Error> {
    sqlx::query(
        "insert into event (id, account_id, mode, task_id, type, payload, created_at)
         values ($1, $2, 'test', $3, 'task.completed', $4, 1)",
    )
    .bind(row.event.to_vec())
    .bind(row.account.to_vec())
    .bind(Vec::<u8>::new())
    .bind(payload)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into delivery (id, event_id, url, origin, state, attempts, claims, due_at, lease_until, created_at)
         values ($1, $2, $3, $4, $5, 0, 0, $6, 1, 1)",
    )
    .bind(id.to_vec())
    .bind(row.event.to_vec())
    .bind(url)
    .bind(row.origin)
    .bind(row.state)
    .bind(row.due_at)
    .execute(connection)
    .await?;
    Ok(())
}
