//! What takes no input: removes sessions, links, challenges, forms, counts and acts whose time is over, and opens accounts that were left unopened. Of several
//! processes one does so at a time.

use std::sync::Arc;

use chassis::{Tasks, clock::micros, telemetry::causes};
use tracing::{info_span, warn};

use crate::{
    Error, Site,
    session::idle_since,
    sign::opened,
    store::{act, passkey, sent_form, session, sign_up, token},
};

/// Rows that are removed in one transaction.
const BATCH: i64 = 500;

/// Starts it.
pub(crate) fn start(site: &Arc<Site>, tasks: &Tasks) {
    let (site, stop) = (Arc::clone(site), tasks.clone());
    tasks.spawn_loop(info_span!("sweep"), move || {
        let (site, stop) = (Arc::clone(&site), stop.clone());
        async move {
            while !stop.is_stopping() {
                match site.db.alone("dashboard.sweep", || sweep(&site)).await {
                    Ok(Some(Err(error))) => {
                        warn!(error = %causes(&error), "cannot sweep");
                    }
                    Ok(Some(Ok(())) | None) => {}
                    Err(error) => warn!(error = %causes(&error), "cannot sweep"),
                }
                tokio::select! {
                    () = tokio::time::sleep(site.config.door.limits.sweep_every) => {}
                    () = stop.stopping() => {}
                }
            }
        }
    });
}

async fn sweep(site: &Arc<Site>) -> Result<(), Error> {
    let now = site.db.now_micros();
    let idle_since = idle_since(site, now);
    let acts = now.saturating_sub(micros(site.config.door.limits.lives.acts));
    loop {
        let write = site.db.write(move |connection| {
            Box::pin(async move {
                let sessions = session::clear(connection, now, idle_since, BATCH).await?;
                let acts = act::clear(connection, acts, BATCH).await?;
                Ok::<_, Error>(sessions.max(acts))
            })
        });
        if write.await? < BATCH.unsigned_abs() {
            break;
        }
    }
    let write = site.db.write(move |connection| {
        Box::pin(async move {
            sign_up::clear(connection, now).await?;
            token::clear(connection, now).await?;
            passkey::clear(connection, now).await?;
            sent_form::clear(connection, now).await?;
            Ok::<_, Error>(())
        })
    });
    write.await?;
    opened::open_all(site).await
}
