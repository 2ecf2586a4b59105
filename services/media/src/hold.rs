//! Sets a task's price aside, once billing keeps the price list it is computed with.

use std::time::Duration;

use domain::{Caller, Micros};
use proto::{
    Fault,
    billing::v1::{GetBalanceRequest, HoldKind, HoldRequest, KeepPriceListRequest},
    code,
};

use crate::{Media, task::Task};

/// How long one try of a hold may take; a try that is lost is made again with the same id.
const HOLD_TRY: Duration = Duration::from_millis(500);

/// Why the price of a task is not held.
pub(crate) enum NotHeld {
    /// The first and only try was refused.
    Surely(Fault),
    /// A try before was not answered, and may hold yet, perhaps much later: whoever was asked may have stood still.
    Perhaps(Fault),
}

/// Holds the task's price. Lost answers are asked for again: the id makes that safe.
pub(crate) async fn hold(media: &Media, caller: &Caller, task: &Task) -> Result<(), NotHeld> {
    let request = HoldRequest {
        context: Some(caller.into()),
        hold_id: task.id.to_vec().into(),
        kind: HoldKind::Media.into(),
        amount: task.held.get(),
        floor: task.held.get(),
        ttl_ms: 0,
        price_version: task.price_version.clone(),
    };
    let until = tokio::time::Instant::now().checked_add(media.config.submit.hold_timeout);
    let mut refused: fn(Fault) -> NotHeld = NotHeld::Surely;
    loop {
        let fault = match hold_once(media, &request).await {
            Ok(()) => return Ok(()),
            Err(fault) => fault,
        };
        let again = matches!(
            fault.kind(),
            proto::Kind::Timeout | proto::Kind::Unavailable | proto::Kind::Internal
        );
        if fault.kind() != proto::Kind::InsufficientCredits {
            refused = NotHeld::Perhaps;
        }
        if !again {
            return Err(refused(fault));
        }
        if until.is_none_or(|until| tokio::time::Instant::now() >= until) {
            return Err(refused(away()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The price list goes first, once: what is held by it must be explained by it, whatever comes later.
async fn hold_once(media: &Media, request: &HoldRequest) -> Result<(), Fault> {
    let kept = &media.peers.list_kept;
    kept.get_or_try_init(|| keep_list(media)).await?;
    let mut billing = media.peers.billing.clone();
    let held = billing.hold(chassis::rpc::request(request.clone(), HOLD_TRY));
    held.await.map(drop).map_err(Fault::from)
}

async fn keep_list(media: &Media) -> Result<(), Fault> {
    let list = KeepPriceListRequest {
        version: media.catalogue.version().to_owned(),
        body: media.catalogue.list().to_owned(),
    };
    let mut prices = media.peers.prices.clone();
    let kept = prices.keep_price_list(chassis::rpc::request(list, HOLD_TRY));
    kept.await.map(drop).map_err(Fault::from)
}

/// What a caller could spend now.
///
/// # Errors
/// What billing says, and BILLING_UNAVAILABLE when it does not answer.
pub(crate) async fn available(media: &Media, caller: &Caller) -> Result<Micros, Fault> {
    let request = GetBalanceRequest {
        context: Some(caller.into()),
    };
    let message = chassis::rpc::request(request, media.config.submit.hold_timeout);
    let balance = media.peers.billing.clone().get_balance(message).await;
    let balance = balance.map_err(Fault::from).map_err(|fault| {
        let transient = matches!(
            fault.kind(),
            proto::Kind::Timeout | proto::Kind::Unavailable | proto::Kind::Internal
        );
        if transient { away() } else { fault }
    })?;
    let balance = balance.into_inner();
    if balance.frozen {
        return Err(Fault::of(code::ACCOUNT_FROZEN));
    }
    let available = Micros::new(balance.posted).minus(Micros::new(balance.held));
    available.map_err(|_| Fault::of(code::INTERNAL))
}

fn away() -> Fault {
    Fault::of(code::BILLING_UNAVAILABLE).retry_after(Duration::from_secs(2))
}
