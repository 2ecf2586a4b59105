//! Sets credit aside before a provider is asked, once billing keeps the price list it is computed with; looks at balances.

use std::{sync::Arc, time::Duration};

use chassis::{Tasks, rpc};
use domain::{Caller, Catalogue, Micros, OperationId, charge::Ending, receipt::Receipt};
use proto::{
    Fault, Kind,
    billing::v1::{
        GetBalanceRequest, HoldKind, HoldReply, HoldRequest, KeepPriceListRequest, Outcome,
        SettleRequest, billing_caller::BillingCaller, prices_caller::PricesCaller,
    },
    code,
    common::v1::Context,
};
use tokio::{sync::OnceCell, time::Instant};
use tracing::{Span, warn};

use crate::{
    BillingLimits, bound::Terms, claim::Claim, fault::internal, metrics::Metrics,
    open_hold::OpenHold, replay::Ended,
};

/// Billing, as this service uses it.
pub(crate) struct Billing {
    client: BillingCaller,
    prices: PricesCaller,
    catalogue: Arc<Catalogue>,
    /// Whether billing keeps the catalogue's price list: any receipt can then be computed again.
    kept: OnceCell<()>,
    limits: BillingLimits,
    tasks: Tasks,
    pub(crate) metrics: Metrics,
}

/// Whose credit is set aside, and for what.
pub(crate) struct Holding<'a> {
    /// Who pays.
    pub(crate) caller: &'a Caller,
    /// The operation, which is also the hold.
    pub(crate) operation: OperationId,
    /// How much.
    pub(crate) terms: Terms,
    /// What is known of its receipt.
    pub(crate) draft: &'a Receipt,
    /// The Idempotency-Key that is free again once the hold has ended without a charge.
    pub(crate) claim: Option<Claim>,
}

/// Sets credit aside: as much as asked, or what there is if that is at least the floor.
///
/// # Errors
/// Billing's refusal as it came (no credit, a spent cap); BILLING_UNAVAILABLE when it does not answer in time, with a release
/// on its way in case it did hold. The request's key is free once nothing is held for certain.
pub(crate) async fn hold(billing: &Arc<Billing>, wanted: Holding<'_>) -> Result<OpenHold, Fault> {
    let request = HoldRequest {
        context: Some(wanted.caller.into()),
        hold_id: wanted.operation.to_vec().into(),
        kind: HoldKind::Chat.into(),
        amount: wanted.terms.amount.get(),
        floor: wanted.terms.floor.get(),
        ttl_ms: i64::try_from(billing.limits.hold_ttl.as_millis()).unwrap_or(i64::MAX),
        price_version: wanted.draft.price_version.clone(),
    };
    let limits = &billing.limits;
    let until = Instant::now() + limits.hold_window;
    let mut pause = limits.first_pause;
    let mut tries = 0_u32;
    let refusal = loop {
        tries = tries.saturating_add(1);
        let left = until.saturating_duration_since(Instant::now());
        match billing.hold_once(&request, limits.hold_try.min(left)).await {
            Ok(reply) => {
                let granted = Micros::new(reply.granted);
                let payer = wanted.caller.into();
                let open = (wanted.operation, granted);
                let hold = OpenHold::new(Arc::clone(billing), open, wanted.draft, payer)
                    .with_claim(wanted.claim.clone());
                return accept(hold, &wanted).await;
            }
            Err(fault) => {
                if !is_transient(&fault) || until.saturating_duration_since(Instant::now()) <= pause
                {
                    break fault;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = billing.next_pause(pause);
    };
    // A try that was answered late, or not at all, may have held.
    if tries > 1 || is_transient(&refusal) {
        let free = wanted.draft.clone();
        let free = free.free(Ending::NeverAccepted, Micros::ZERO);
        billing.release_later(wanted.operation, free.to_json(), wanted.claim);
    } else if let Some(claim) = wanted.claim {
        claim.free().await;
    }
    if is_transient(&refusal) {
        warn!(code = refusal.code.word, "billing does not answer a hold");
        return Err(unavailable(limits.hold_window));
    }
    Err(refusal)
}

/// Billing must not grant less than the floor; what it does not grant cannot be used.
async fn accept(hold: OpenHold, wanted: &Holding<'_>) -> Result<OpenHold, Fault> {
    if hold.granted() >= wanted.terms.floor {
        return Ok(hold);
    }
    hold.release(wanted.draft.clone(), Ending::Internal).await;
    Err(internal())
}

/// Whether the same call may go through a moment later.
pub(crate) fn is_transient(fault: &Fault) -> bool {
    matches!(
        fault.kind(),
        Kind::Unavailable | Kind::Timeout | Kind::Internal | Kind::RateLimit
    )
}

/// Billing is away, and nothing was charged.
pub(crate) fn unavailable(wait: Duration) -> Fault {
    Fault::of(code::BILLING_UNAVAILABLE).retry_after(wait)
}

// === impl Billing ===

impl Billing {
    pub(crate) fn new(
        channel: rpc::Channel,
        catalogue: Arc<Catalogue>,
        limits: BillingLimits,
        tasks: Tasks,
        metrics: Metrics,
    ) -> Self {
        Self {
            client: BillingCaller::new(channel.clone()),
            prices: PricesCaller::new(channel),
            catalogue,
            kept: OnceCell::new(),
            limits,
            tasks,
            metrics,
        }
    }

    /// One try of a hold. The price list goes first, once: what is held by it must be explained by it, whatever comes later.
    async fn hold_once(&self, request: &HoldRequest, within: Duration) -> Result<HoldReply, Fault> {
        self.kept.get_or_try_init(|| self.keep_list(within)).await?;
        let mut client = self.client.clone();
        let held = client.hold(rpc::request(request.clone(), within)).await?;
        Ok(held.into_inner())
    }

    async fn keep_list(&self, within: Duration) -> Result<(), Fault> {
        let list = KeepPriceListRequest {
            version: self.catalogue.version().to_owned(),
            body: self.catalogue.list().to_owned(),
        };
        let mut prices = self.prices.clone();
        let kept = prices.keep_price_list(rpc::request(list, within)).await;
        kept.map(drop).map_err(Fault::from)
    }

    /// What a caller could spend now.
    ///
    /// # Errors
    /// What billing says, and BILLING_UNAVAILABLE when it does not answer.
    pub(crate) async fn available(&self, caller: &Caller) -> Result<Micros, Fault> {
        let request = GetBalanceRequest {
            context: Some(caller.into()),
        };
        let message = rpc::request(request, self.limits.hold_window);
        let balance = self.client.clone().get_balance(message).await;
        let balance = balance.map_err(Fault::from).map_err(|fault| {
            if is_transient(&fault) {
                unavailable(self.limits.hold_window)
            } else {
                fault
            }
        })?;
        let balance = balance.into_inner();
        if balance.frozen {
            return Err(Fault::of(code::ACCOUNT_FROZEN));
        }
        let available = Micros::new(balance.posted).minus(Micros::new(balance.held));
        available.map_err(|_| internal())
    }

    /// How customers are told to wait while billing is away.
    pub(crate) fn retry_after(&self) -> Duration {
        self.limits.hold_window
    }

    /// Settles until it is answered, for as long as `settle_window`: the amount charged.
    ///
    /// # Errors
    /// What billing said last.
    pub(crate) async fn settle(&self, request: SettleRequest) -> Result<Micros, Fault> {
        self.settle_within(request, self.limits.settle_window).await
    }

    /// Settles what an earlier process left open, for as long as a hold is tried: somebody waits for it who can come again.
    ///
    /// # Errors
    /// What billing said last.
    pub(crate) async fn settle_left(&self, request: SettleRequest) -> Result<Micros, Fault> {
        self.settle_within(request, self.limits.hold_window).await
    }

    /// Ends a hold without a charge, and says how it has ended: it may have been charged before. Nothing can be held under its id
    /// from then on.
    ///
    /// # Errors
    /// BILLING_UNAVAILABLE: nobody knows.
    pub(crate) async fn end(&self, hold: OperationId, reason: &[u8]) -> Result<Ended, Fault> {
        match self
            .settle_left(release_request(hold, reason.to_vec()))
            .await
        {
            Ok(_) => Ok(Ended::Released),
            // The one hold that cannot be released is one that was captured.
            Err(fault) if fault.code == code::HOLD_CONFLICT => Ok(Ended::Captured),
            Err(fault) => {
                warn!(%hold, code = fault.code.word, "billing does not say how a hold has ended");
                Err(unavailable(self.limits.hold_window))
            }
        }
    }

    async fn settle_within(
        &self,
        request: SettleRequest,
        window: Duration,
    ) -> Result<Micros, Fault> {
        let until = Instant::now() + window;
        let mut pause = self.limits.first_pause;
        loop {
            match self.settle_once(request.clone()).await {
                Ok(captured) => return Ok(captured),
                Err(fault) if !is_transient(&fault) => return Err(fault),
                Err(fault) if until.saturating_duration_since(Instant::now()) <= pause => {
                    return Err(fault);
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = self.next_pause(pause);
        }
    }

    /// One try.
    pub(crate) async fn settle_once(&self, request: SettleRequest) -> Result<Micros, Fault> {
        let message = rpc::request(request, self.limits.settle_try);
        match self.client.clone().settle(message).await {
            Ok(reply) => Ok(Micros::new(reply.into_inner().captured)),
            Err(status) => Err(status.into()),
        }
    }

    /// Releases a hold in the background, and frees its request's key then. If that fails too, the hold ends by itself.
    pub(crate) fn release_later(
        self: &Arc<Self>,
        hold: OperationId,
        receipt: Vec<u8>,
        claim: Option<Claim>,
    ) {
        let billing = Arc::clone(self);
        self.tasks.spawn(Span::current(), async move {
            if let Err(fault) = billing.settle(release_request(hold, receipt)).await {
                warn!(%hold, code = fault.code.word, "a hold could not be released; it ends by itself");
            } else if let Some(claim) = claim {
                claim.free().await;
            }
        });
    }

    fn next_pause(&self, pause: Duration) -> Duration {
        pause.saturating_mul(2).min(self.limits.settle_try)
    }
}

/// The end of a hold with a charge: however late, if whoever pays is named.
pub(crate) fn capture_request(
    hold: OperationId,
    amount: Micros,
    receipt: Vec<u8>,
    payer: Option<Context>,
) -> SettleRequest {
    SettleRequest {
        hold_id: hold.to_vec().into(),
        outcome: Outcome::Capture.into(),
        amount: amount.get(),
        receipt: receipt.into(),
        context: payer,
    }
}

/// The end of a hold without a charge.
pub(crate) fn release_request(hold: OperationId, receipt: Vec<u8>) -> SettleRequest {
    SettleRequest {
        hold_id: hold.to_vec().into(),
        outcome: Outcome::Release.into(),
        amount: 0,
        receipt: receipt.into(),
        context: None,
    }
}
