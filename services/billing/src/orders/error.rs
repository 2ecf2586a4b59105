//! What can go wrong with orders and codes, and what of it leaves the house.

use chassis::telemetry::causes;
use proto::{Fault, code};
use tracing::error;
use upstream::Failure;

/// What can go wrong with orders and codes.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Stripe is not set up: the setting, and the variable that is it as well.
    #[error("{0} is not set")]
    NotConfigured(&'static str, &'static str),
    /// A test key wants to buy.
    #[error("a test key cannot buy")]
    LiveKeyNeeded,
    /// Stripe did not do what was asked.
    #[error("Stripe failed")]
    Provider(#[source] Failure),
    /// Stripe answered something that is not its protocol.
    #[error("Stripe answered what it should not: {0}")]
    Answer(&'static str),
    /// An event that is not Stripe's, or too old.
    #[error("an event's signature is not right")]
    Signature,
    /// An event that is Stripe's and cannot be read.
    #[error("an event cannot be read")]
    Event,
    /// A code that is not worth anything to this account.
    #[error("the code cannot be redeemed")]
    Code,
}

// === impl Refusal ===

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotConfigured(setting, variable) => Self::new(
                code::PAYMENTS_NOT_CONFIGURED,
                format!(
                    "payments are not set up here: the operator sets {setting} (environment variable {variable})"
                ),
            ),
            Refusal::LiveKeyNeeded => Self::of(code::LIVE_KEY_NEEDED),
            Refusal::Provider(ref failure) => {
                // What Stripe says of a request of ours is for the operator alone.
                let detail = failure.detail().unwrap_or_default();
                error!(error = %causes(&refusal), detail, "Stripe failed");
                let fault = Self::of(code::PAYMENT_PROVIDER_FAILED);
                match failure.retry_after() {
                    Some(wait) => fault.retry_after(wait),
                    None => fault,
                }
            }
            Refusal::Answer(_) => {
                error!(error = %causes(&refusal), "Stripe failed");
                Self::of(code::PAYMENT_PROVIDER_FAILED)
            }
            Refusal::Signature => Self::of(code::INVALID_SIGNATURE),
            Refusal::Event => Self::new(code::INVALID_JSON, "the body is not an event"),
            Refusal::Code => Self::of(code::INVALID_REDEEM_CODE),
        }
    }
}
