//! A new version of everything while customers go on: three processes of every role, those with one number at a time told to stop as an
//! orchestrator does it, and started again. No request fails, no stream ends in silence, nothing is lost or charged twice.

use anyhow::Result;
use testkit::{Aio, Role, Shape, Traffic};

use crate::say::UNHURRIED;

/// Every role that has replicas.
const ROLES: [Role; 5] = [
    Role::Edge,
    Role::Chat,
    Role::Media,
    Role::Webhooks,
    Role::Billing,
];
const CREDITS: i64 = 100_000;
/// Who is to stop says so for a while before it takes nothing more; and a small machine takes long to answer who connects.
const LEAVING: [(&str, &str); 2] = [
    ("AIO_SERVER__DRAIN_DELAY", "3s"),
    ("AIO_PEERS__CLIENT__CONNECT_TIMEOUT", "5s"),
];

#[tokio::test]
async fn a_rolling_restart_of_everything_fails_no_request() -> Result<()> {
    let settings = [&UNHURRIED[..], &LEAVING[..]].concat();
    let mut aio = Aio::in_shape(Shape::Split3, &settings).await?;
    let account = aio.account(CREDITS).await?;
    let balancer = aio.balancer().await?;
    let traffic = Traffic::new(aio.kept_api(balancer.base(), &account.key)?).await?;
    let rolled = async {
        for number in 1..=aio.replicas(Role::Edge) {
            aio.roll(&ROLES, number).await?;
        }
        Ok(())
    };
    traffic.during(rolled).await?;
    traffic.check(CREDITS * 1_000_000).await?;
    aio.finish().await
}
