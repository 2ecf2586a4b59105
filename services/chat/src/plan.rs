//! What is settled before any money moves: the request, who can serve it, and what it can cost at most. Pure.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    Caller, Micros, Mode, Moment, OperationId,
    charge::Kind,
    price::Applied,
    receipt::{Receipt, Subject},
};
use proto::Fault;

use crate::{
    Service,
    bound::Terms,
    cache::Wish,
    fault::{internal, refused, too_dear},
    files::Known,
    offer::{Offer, offers},
    providers::Urls,
    request::{self, Refusal, Request, Wanted, texts::Texts},
    surface::Surface,
    tiers::lot_of,
};

/// A request as the edge hands it over.
#[derive(Clone)]
pub(crate) struct Submission {
    /// What is asked for.
    pub(crate) surface: Surface,
    /// Who asks.
    pub(crate) caller: Caller,
    /// The operation, which is also the hold.
    pub(crate) operation: OperationId,
    /// The customer's JSON.
    pub(crate) body: Bytes,
    /// Models the key may use; empty means all.
    pub(crate) models: Vec<String>,
    /// The customer's Idempotency-Key.
    pub(crate) idempotency_key: Option<String>,
    /// The customer's own limit of the cost.
    pub(crate) max_cost: Option<Micros>,
    /// How many seconds old an answer from the cache may be, if it is asked; 0: as usual.
    pub(crate) cache_max_age: Option<i64>,
    /// When it came: the price in force then counts.
    pub(crate) at: Moment,
}

/// A request that can be served, if there is credit for it.
pub(crate) struct Plan {
    pub(crate) surface: Surface,
    pub(crate) caller: Caller,
    pub(crate) operation: OperationId,
    pub(crate) body: Bytes,
    pub(crate) request: Request,
    /// The files that it names, in their order, once they were looked at.
    pub(crate) files: Vec<Known>,
    /// The model asked for first, if several were named.
    pub(crate) requested: Option<String>,
    /// The models that may answer, in the order in which they are asked; at least one.
    pub(crate) offers: Vec<Arc<Offer>>,
    /// The one that answers; the first of them until that is known.
    pub(crate) answering: Arc<Offer>,
    pub(crate) terms: Terms,
    /// What it asks of the cache, if it asks.
    pub(crate) wish: Option<Box<Wish>>,
    at: Moment,
}

/// Checks a request and finds out what it takes.
///
/// # Errors
/// Everything wrong with the request; a model that does not exist, is served elsewhere or is not allowed; no provider; a limit of
/// the customer's own that no useful answer is within; an answer from the cache of an age that may not be asked for.
pub(crate) fn plan(service: &Service, submission: Submission) -> Result<Plan, Fault> {
    let surface = submission.surface;
    let request = read(service, surface, &submission.body).map_err(refused)?;
    let (offers, requested) = offers(service, &submission, &request)?;
    let terms = terms(&offers, service.config.output.least)?;
    let terms = terms.within(submission.max_cost).map_err(too_dear)?;
    let wish = service.cache.wish(&submission)?;
    let answering = Arc::clone(offers.first().ok_or_else(internal)?);
    Ok(Plan {
        surface,
        caller: submission.caller,
        operation: submission.operation,
        body: submission.body,
        request,
        files: Vec::new(),
        requested,
        offers,
        answering,
        terms,
        wish,
        at: submission.at,
    })
}

/// Reads a body.
pub(crate) fn read(service: &Service, surface: Surface, body: &Bytes) -> Result<Request, Refusal> {
    let mut request = match surface {
        Surface::Chat | Surface::Messages | Surface::Responses => {
            request::parse(body, service.config.max_choices)
        }
        Surface::Embeddings => request::embeddings::parse(body),
    }?;
    if surface.is_translated() {
        request.spans.respell_limit();
    }
    Ok(request)
}

/// What is held pays for whichever model answers: the highest of their prices, and of those of their smallest answers.
fn terms(offers: &[Arc<Offer>], least_output: u64) -> Result<Terms, Fault> {
    let nothing = Terms {
        amount: Micros::ZERO,
        floor: Micros::ZERO,
    };
    offers.iter().try_fold(nothing, |highest, offer| {
        // The sums are far from the limit of 64 bits; a price list that is not, cannot be served.
        let terms = offer.bound.terms(&offer.rate, least_output);
        let terms = terms.map_err(|_| internal())?;
        Ok(Terms {
            amount: highest.amount.max(terms.amount),
            floor: highest.floor.max(terms.floor),
        })
    })
}

// === impl Plan ===

impl Plan {
    /// What of the request is text that the model reads.
    pub(crate) fn texts(&self) -> Texts<'_> {
        let body = std::str::from_utf8(&self.body).unwrap_or_default();
        match self.surface {
            Surface::Chat | Surface::Messages | Surface::Responses => Texts::of_chat(body),
            Surface::Embeddings => Texts::of_embeddings(body),
        }
    }

    /// What is done with URLs before anything was fetched.
    pub(crate) fn urls(&self) -> Urls<'static> {
        match self.caller.mode {
            Mode::Test => Urls::Shown,
            Mode::Live => Urls::Unfetched,
        }
    }

    /// What stands for the requests that it belongs to, if the customer says which: they find the same provider's cache.
    pub(crate) fn affinity(&self) -> Option<u64> {
        let Request { routing, tags, .. } = &self.request;
        let key = routing.cache_key.as_ref().or(tags.user.as_ref())?;
        Some(lot_of(&(self.caller.account.to_string(), key)))
    }

    /// Its receipt as far as it is known before anybody was asked.
    pub(crate) fn draft(&self, price_version: &str) -> Receipt {
        let Offer { model, rate, .. } = &*self.answering;
        let receipt = Receipt::of(Subject {
            route: self.surface.route().to_owned(),
            kind: match self.request.answer {
                Wanted::Whole => Kind::ChatWhole,
                Wanted::Stream | Wanted::StreamWithUsage => Kind::ChatStream,
            },
            model: model.clone(),
            price_version: price_version.to_owned(),
            applied: Applied::of_tokens(&rate.price, self.at, rate.factor),
            tags: self.request.tags.clone(),
        });
        Receipt {
            requested_model: self.requested.clone(),
            ..receipt
        }
    }
}
