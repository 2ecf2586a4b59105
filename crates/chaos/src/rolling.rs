//! A new version of everything, process by process, as an orchestrator brings it: three processes of every role under load, one after
//! another told to stop and started again. No request fails, every stream ends as it should, every task is done and told.

use anyhow::Result;
use testkit::{Aio, Role, Shape, Traffic};

use crate::{Length, progress};

/// Every role that has replicas, whoever calls others first.
const ROLES: [Role; 5] = [
    Role::Edge,
    Role::Chat,
    Role::Media,
    Role::Webhooks,
    Role::Billing,
];
/// What the account begins with: credits, and the same in micro-credits.
const CREDITS: i64 = 1_000_000;
const CREDIT: i64 = CREDITS * 1_000_000;
/// Who is to stop says so for a while before it takes nothing more. Open requests then have less time than the longest streams take, and the
/// holds of those that are cut off end soon.
const SETTINGS: [(&str, &str); 8] = [
    ("AIO_SERVER__DRAIN_DELAY", "3s"),
    ("AIO_SERVER__SHUTDOWN_GRACE", "6s"),
    ("AIO_LIMITS__CHAT__BILLING__HOLD_TTL", "45s"),
    ("AIO_LIMITS__CHAT__BILLING__SETTLE_WINDOW", "10s"),
    ("AIO_LIMITS__CHAT__FAILOVER__WINDOW", "1s"),
    ("AIO_LIMITS__CHAT__SLOW_READER_TIMEOUT", "5s"),
    ("AIO_LIMITS__CHAT__REPLAY__STORE_WINDOW", "1s"),
    ("AIO_LIMITS__UPSTREAM__TOTAL_TIMEOUT", "20s"),
];
/// How often each process is replaced.
const ROUNDS: usize = 2;

pub(crate) async fn rolling(length: Length) -> Result<String> {
    let mut aio = Aio::in_shape(Shape::Split3, &SETTINGS).await?;
    let account = aio.account(CREDITS).await?;
    let balancer = aio.balancer().await?;
    let traffic = Traffic::new(aio.kept_api(balancer.base(), &account.key)?).await?;
    let traffic = traffic.with_long_streams();
    let replicas = aio.replicas(Role::Edge);
    let mut stopped = 0_usize;
    let rolled = async {
        match length {
            // One of every role at the same moment.
            Length::Quick => {
                for number in 1..=replicas {
                    aio.roll(&ROLES, number).await?;
                    stopped = stopped.saturating_add(ROLES.len());
                    progress(&format!("split3/rolling: {stopped} processes replaced"));
                }
            }
            Length::Full => {
                for role in [ROLES; ROUNDS].as_flattened() {
                    for number in 1..=replicas {
                        aio.roll(&[*role], number).await?;
                        stopped = stopped.saturating_add(1);
                        progress(&format!("split3/rolling: {stopped} processes replaced"));
                    }
                }
            }
        }
        Ok(())
    };
    traffic.during(rolled).await?;
    let seen = traffic.check(CREDIT).await?;
    aio.finish().await?;
    Ok(format!("{stopped} processes replaced under load; {seen}"))
}
