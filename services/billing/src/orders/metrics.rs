//! What is counted about orders.

use prometheus_client::{metrics::counter::Counter, registry::Registry};

/// What is counted about orders. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// Events of Stripe's that were taken.
    pub(crate) taken: Counter,
    /// Events that had been taken before.
    pub(crate) repeated: Counter,
    /// Events that are none of ours.
    pub(crate) ignored: Counter,
    /// Events whose signature is not right.
    pub(crate) forged: Counter,
    /// Payments that are not what was asked for.
    pub(crate) to_review: Counter,
    /// Codes that were redeemed.
    pub(crate) redeemed: Counter,
    /// Tries to redeem what cannot be.
    pub(crate) wrong_codes: Counter,
}

// === impl Metrics ===

impl Metrics {
    /// Makes the metrics known.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for (name, help, counter) in [
            (
                "aio_billing_payment_events_taken",
                "Events of the payment provider that were taken",
                &metrics.taken,
            ),
            (
                "aio_billing_payment_events_repeated",
                "Events of the payment provider that had been taken before",
                &metrics.repeated,
            ),
            (
                "aio_billing_payment_events_ignored",
                "Events of the payment provider that are about nothing of ours",
                &metrics.ignored,
            ),
            (
                "aio_billing_payment_events_forged",
                "Events whose signature is missing, wrong or too old",
                &metrics.forged,
            ),
            (
                "aio_billing_payments_to_review",
                "Payments that are not what the order asked for: a person must look",
                &metrics.to_review,
            ),
            (
                "aio_billing_codes_redeemed",
                "Redeem codes that were redeemed",
                &metrics.redeemed,
            ),
            (
                "aio_billing_codes_refused",
                "Tries to redeem a code that cannot be redeemed",
                &metrics.wrong_codes,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        metrics
    }
}
