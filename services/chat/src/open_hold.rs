//! An open hold, which ends exactly once: captured or released. One that is dropped is released. A request's Idempotency-Key goes
//! with it: it is free again when the hold was released for certain, and not before.

use std::{mem, sync::Arc};

use domain::{Micros, OperationId, charge::Ending, receipt::Receipt};
use proto::{Fault, common::v1::Context};
use tokio::runtime::Handle;
use tracing::error;

use crate::{
    billing::{Billing, capture_request, release_request, unavailable},
    claim::Claim,
};

/// Credit set aside, and not yet settled.
pub(crate) struct OpenHold {
    billing: Arc<Billing>,
    hold: OperationId,
    granted: Micros,
    /// What is known of its receipt, should nobody settle it.
    draft: Box<Receipt>,
    payer: Option<Context>,
    state: State,
    claim: Option<Claim>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Settled,
}

// === impl OpenHold ===

impl OpenHold {
    /// Takes responsibility for an open hold, and for telling who pays.
    pub(crate) fn new(
        billing: Arc<Billing>,
        (hold, granted): (OperationId, Micros),
        draft: &Receipt,
        payer: Context,
    ) -> Self {
        Self {
            billing,
            hold,
            granted,
            draft: Box::new(draft.clone()),
            payer: Some(payer),
            state: State::Open,
            claim: None,
        }
    }

    /// The request has an Idempotency-Key. Then it is not charged late: when its hold has expired, another one may have its key.
    #[must_use]
    pub(crate) fn with_claim(mut self, claim: Option<Claim>) -> Self {
        if claim.is_some() {
            self.payer = None;
        }
        self.claim = claim;
        self
    }

    /// The most that can be charged.
    pub(crate) fn granted(&self) -> Micros {
        self.granted
    }

    /// Charges what the receipt says, trying for as long as `settle_window`. Returns what was charged.
    ///
    /// # Errors
    /// BILLING_UNAVAILABLE; a release is then on its way, and nothing that is not yet delivered may be delivered.
    pub(crate) async fn capture(mut self, receipt: Receipt) -> Result<Micros, Fault> {
        let amount = receipt.total();
        let (hold, payer) = (self.hold, self.payer.clone());
        let request = capture_request(hold, amount, receipt.to_json(), payer);
        // On the heap only while it runs: a request carries what it may ever wait for with it, and lasts as long as its stream.
        let settled = Box::pin(self.billing.settle(request)).await;
        self.state = State::Settled;
        settled.map_err(|fault| {
            error!(hold = %self.hold, code = fault.code.word, amount = amount.get(), "an answer could not be charged");
            self.billing.metrics.unbilled.inc();
            let free = receipt.free(Ending::BillingUnavailable, self.granted);
            self.billing
                .release_later(self.hold, free.to_json(), self.claim.take());
            unavailable(self.billing.retry_after())
        })
    }

    /// Gives everything back, and the request's key: at once if billing answers, else in the background.
    pub(crate) async fn release(mut self, draft: Receipt, ending: Ending) {
        let receipt = draft.free(ending, self.granted).to_json();
        let request = release_request(self.hold, receipt.clone());
        let released = Box::pin(self.billing.settle_once(request)).await;
        self.state = State::Settled;
        let claim = self.claim.take();
        match (released, claim) {
            (Ok(_), Some(claim)) => Box::pin(claim.free()).await,
            (Ok(_), None) => {}
            (Err(_), claim) => self.billing.release_later(self.hold, receipt, claim),
        }
    }
}

impl Drop for OpenHold {
    fn drop(&mut self) {
        if mem::replace(&mut self.state, State::Settled) == State::Settled {
            return;
        }
        error!(hold = %self.hold, "a hold was dropped without being settled");
        self.billing.metrics.dropped.inc();
        // Without a runtime the process is ending: then the hold ends by itself.
        if Handle::try_current().is_ok() {
            let free = self.draft.as_ref().clone();
            let free = free.free(Ending::Internal, self.granted);
            self.billing
                .release_later(self.hold, free.to_json(), self.claim.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use chassis::{Tasks, mint, rpc};
    use domain::{Catalogue, Moment, PriceFactor, charge::Kind, price::Applied, receipt::Subject};
    use tokio::sync::mpsc;
    use tower::service_fn;

    use super::*;
    use crate::{BillingLimits, metrics::Metrics};

    #[tokio::test]
    async fn what_nobody_settles_is_released() {
        let (seen, mut calls) = mpsc::unbounded_channel();
        let channel = rpc::in_process(service_fn(
            move |request: http::Request<tonic::body::Body>| {
                seen.send(request.uri().path().to_owned()).unwrap();
                async {
                    Ok::<_, Infallible>(
                        tonic::Status::from(Fault::new(proto::code::HOLD_CONFLICT, "")).into_http(),
                    )
                }
            },
        ));
        let (tasks, metrics) = (Tasks::default(), Metrics::default());
        let catalogue = Arc::new(Catalogue::built_in().unwrap());
        let gemini = catalogue.find("gemini").unwrap();
        let price = gemini.prices().next().unwrap();
        let draft = Receipt::of(Subject {
            route: gemini.route.clone(),
            kind: Kind::ChatWhole,
            model: gemini.slug.clone(),
            price_version: catalogue.version().to_owned(),
            applied: Applied::of_tokens(price, Moment::default(), PriceFactor::ONE),
            tags: domain::Tags::default(),
        });
        let billing = Billing::new(
            channel,
            Arc::clone(&catalogue),
            BillingLimits::default(),
            tasks.clone(),
            metrics.clone(),
        );
        let open = (mint(), Micros::new(7));
        let payer = Context::default();
        drop(OpenHold::new(Arc::new(billing), open, &draft, payer));
        assert_eq!(metrics.dropped.get(), 1);
        assert!(tasks.stop(Duration::from_secs(5)).await);
        assert_eq!(
            calls.recv().await.as_deref(),
            Some("/aio.billing.v1.Billing/Settle")
        );
    }
}
