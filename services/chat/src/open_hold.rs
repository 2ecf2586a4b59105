//! An open hold, which ends exactly once: captured or released. One that is dropped is released. A request's Idempotency-Key goes
//! with it: it is free again when the hold was released for certain, and not before.

use std::{mem, sync::Arc};

use domain::{Micros, OperationId};
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
        hold: OperationId,
        granted: Micros,
        payer: Context,
    ) -> Self {
        Self {
            billing,
            hold,
            granted,
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

    /// Charges `amount`, trying for as long as `settle_window`. Returns what was charged.
    ///
    /// # Errors
    /// BILLING_UNAVAILABLE; a release is then on its way, and nothing that is not yet delivered may be delivered.
    pub(crate) async fn capture(
        mut self,
        amount: Micros,
        receipt: Vec<u8>,
    ) -> Result<Micros, Fault> {
        let request = capture_request(self.hold, amount, receipt, self.payer.clone());
        let settled = self.billing.settle(request).await;
        self.state = State::Settled;
        settled.map_err(|fault| {
            error!(hold = %self.hold, code = fault.code.word, amount = amount.get(), "an answer could not be charged");
            self.billing.metrics.unbilled.inc();
            let receipt = br#"{"free":"billing_unavailable"}"#.to_vec();
            self.billing.release_later(self.hold, receipt, self.claim.take());
            unavailable(self.billing.retry_after())
        })
    }

    /// Gives everything back, and the request's key: at once if billing answers, else in the background.
    pub(crate) async fn release(mut self, receipt: Vec<u8>) {
        let request = release_request(self.hold, receipt.clone());
        let released = self.billing.settle_once(request).await;
        self.state = State::Settled;
        let claim = self.claim.take();
        match (released, claim) {
            (Ok(_), Some(claim)) => claim.free().await,
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
            let receipt = br#"{"free":"dropped"}"#.to_vec();
            self.billing
                .release_later(self.hold, receipt, self.claim.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use chassis::{Tasks, mint, rpc};
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
        let billing = Billing::new(
            channel,
            BillingLimits::default(),
            tasks.clone(),
            metrics.clone(),
        );
        let payer = Context::default();
        drop(OpenHold::new(
            Arc::new(billing),
            mint(),
            Micros::new(7),
            payer,
        ));
        assert_eq!(metrics.dropped.get(), 1);
        assert!(tasks.stop(Duration::from_secs(5)).await);
        assert_eq!(
            calls.recv().await.as_deref(),
            Some("/aio.billing.v1.Billing/Settle")
        );
    }
}
