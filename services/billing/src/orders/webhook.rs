//! Use case: take an event of Stripe's. The signature is checked on the bytes as they came; then the payment is looked at, at
//! Stripe; what is seen there is booked together with the event, once.

use std::sync::Arc;

use chassis::clock;
use domain::OrderId;
use tracing::{debug, error, info, instrument};

use super::{
    Orders,
    book::{self, Outcome},
    error::Refusal,
    event::{Event, Subject},
    signature,
    stripe::Seen,
};
use crate::{
    Error,
    resend::until_known,
    store::{self, order::EventRow},
};

impl Orders {
    /// Takes an event. What is none of ours, or was taken before, is well as it is.
    ///
    /// # Errors
    /// When it is not Stripe's, Stripe cannot be asked, or the database failed: then it is to be sent again.
    #[instrument(skip_all, fields(event))]
    pub async fn take_event(&self, payload: &[u8], header: &str) -> Result<(), Error> {
        self.check(payload, header)?;
        let event = Event::read(payload).ok_or(Refusal::Event)?;
        tracing::Span::current().record("event", event.id.as_str());
        let outcome = self.outcome(event).await?;
        let metrics = &self.inner.metrics;
        match outcome {
            Outcome::Taken => metrics.taken.inc(),
            Outcome::Repeated => metrics.repeated.inc(),
            Outcome::Foreign => metrics.ignored.inc(),
            Outcome::Review => {
                metrics.taken.inc();
                metrics.to_review.inc()
            }
        };
        Ok(())
    }

    fn check(&self, payload: &[u8], header: &str) -> Result<(), Error> {
        let stripe = &self.inner.config.orders.stripe;
        let secret = stripe
            .webhook_secret
            .as_ref()
            .ok_or(Refusal::NotConfigured(
                "orders.stripe.webhook_secret",
                "STRIPE_WEBHOOK_SECRET",
            ))?;
        let now = clock::now_micros()
            .checked_div(clock::MICROS_PER_SECOND)
            .unwrap_or(0);
        if !signature::is_genuine(secret, header, payload, now, stripe.tolerance) {
            self.inner.metrics.forged.inc();
            debug!("an event came whose signature is not right");
            return Err(Refusal::Signature.into());
        }
        Ok(())
    }

    async fn outcome(&self, event: Event) -> Result<Outcome, Error> {
        let Some(subject) = event.subject else {
            return Ok(Outcome::Foreign);
        };
        let event = EventRow {
            id: event.id,
            kind: event.kind,
        };
        if self.knows(&event).await? {
            return Ok(Outcome::Repeated);
        }
        let stripe = self.stripe()?;
        let seen = match &subject {
            Subject::Session(id) => stripe.look_at_session(id).await?,
            Subject::Payment(id) => stripe.look_at_payment(id).await?,
        };
        let Some(order) = self.order_of(&seen).await? else {
            return Ok(Outcome::Foreign);
        };
        let kind = event.kind.clone();
        let outcome = self.book(event, order, seen).await?;
        match outcome {
            Outcome::Review => {
                let problem = "a payment is not what its order asked for: look at it at Stripe";
                error!(order.id = %order, kind, "{problem}");
            }
            Outcome::Taken => info!(order.id = %order, kind, "took an event"),
            Outcome::Repeated | Outcome::Foreign => {}
        }
        Ok(outcome)
    }

    /// Whether an event was taken before: Stripe need not be asked again.
    async fn knows(&self, event: &EventRow) -> Result<bool, Error> {
        let db = &self.inner.db;
        db.read(async {
            let mut connection = db.reader().acquire().await?;
            store::order::knows_event(&mut connection, &event.id).await
        })
        .await
    }

    /// Which order a payment is for: as it says itself, or as we know.
    async fn order_of(&self, seen: &Seen) -> Result<Option<OrderId>, Error> {
        if seen.order.is_some() {
            return Ok(seen.order);
        }
        let Some(payment) = &seen.payment else {
            return Ok(None);
        };
        let db = &self.inner.db;
        db.read(async {
            let mut connection = db.reader().acquire().await?;
            store::order::by_payment(&mut connection, payment).await
        })
        .await
    }

    async fn book(&self, event: EventRow, order: OrderId, seen: Seen) -> Result<Outcome, Error> {
        let facts = Arc::new((event, seen));
        let db = &self.inner.db;
        until_known(&self.inner.config.limits, || {
            let (facts, now) = (Arc::clone(&facts), db.now_micros());
            db.write(move |connection| {
                Box::pin(
                    async move { book::take(connection, &facts.0, order, &facts.1, now).await },
                )
            })
        })
        .await
    }
}
