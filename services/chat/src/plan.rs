//! What is settled before any money moves: the request, who can serve it, and what it can cost at most. Pure.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    Caller, Micros, Mode, Moment, OperationId, Problem,
    catalogue::{ChatLimits, EmbeddingLimits, Model},
    charge::Kind,
    price::Applied,
    receipt::{Receipt, Subject},
};
use proto::Fault;

use crate::{
    Service,
    bound::{Bound, Rate, Terms},
    fault::{internal, refused, too_dear},
    providers::Urls,
    request::{self, Refusal, Request, Wanted},
    route::Candidate,
    surface::Surface,
    tiers::{Tiers, lot_of},
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
    /// When it came: the price in force then counts.
    pub(crate) at: Moment,
}

/// A request that can be served, if there is credit for it.
pub(crate) struct Plan {
    surface: Surface,
    pub(crate) caller: Caller,
    pub(crate) operation: OperationId,
    pub(crate) body: Bytes,
    pub(crate) request: Request,
    /// The model's slug.
    pub(crate) model: String,
    pub(crate) rate: Rate,
    pub(crate) candidates: Arc<Tiers<Candidate>>,
    pub(crate) bound: Bound,
    pub(crate) terms: Terms,
    at: Moment,
}

/// Checks a request and finds out what it takes.
///
/// # Errors
/// Everything wrong with the request; a model that does not exist, is served elsewhere or is not allowed; no provider; a limit of
/// the customer's own that no useful answer is within.
pub(crate) fn plan(service: &Service, submission: Submission) -> Result<Plan, Fault> {
    let surface = submission.surface;
    let request = match surface {
        Surface::Chat | Surface::Messages => {
            request::parse(&submission.body, service.config.max_choices)
        }
        Surface::Embeddings => request::embeddings::parse(&submission.body),
    };
    let request = request.map_err(refused)?;
    let model = service
        .catalogue
        .choose(surface.models(), &request.model, &submission.models)?;
    // The catalogue lets no other model onto a route than one that has its limits.
    let bound = match surface {
        Surface::Chat | Surface::Messages => {
            let limits = model.chat.ok_or_else(internal)?;
            within(&request, model, &limits)?;
            Bound::of(&request, &limits)
        }
        Surface::Embeddings => {
            let limits = model.embedding.ok_or_else(internal)?;
            few_enough(&request, model, &limits)?;
            Bound::of_input(&request)
        }
    };
    let candidates = service
        .routes
        .candidates(&model.slug, submission.caller.mode)?;
    let rate = Rate {
        price: model.price_at(submission.at).ok_or_else(internal)?.clone(),
        factor: submission.caller.price_factor,
    };
    // The sums are far from the limit of 64 bits; a price list that is not, cannot be served.
    let terms = bound
        .terms(&rate, service.config.output.least)
        .map_err(|_| internal())?;
    let terms = terms.within(submission.max_cost).map_err(too_dear)?;
    Ok(Plan {
        surface,
        caller: submission.caller,
        operation: submission.operation,
        body: submission.body,
        request,
        model: model.slug.clone(),
        rate,
        candidates,
        bound,
        terms,
        at: submission.at,
    })
}

/// What only the model knows: how much output there can be.
fn within(request: &Request, model: &Model, limits: &ChatLimits) -> Result<(), Fault> {
    if request
        .max_output
        .is_none_or(|tokens| tokens <= limits.max_output)
    {
        return Ok(());
    }
    let field = if request.spans.max_tokens.is_some() {
        "max_tokens"
    } else {
        "max_completion_tokens"
    };
    let allowed = format!("be at most {} for {}", limits.max_output, model.slug);
    Err(refused(Refusal::Problems(vec![Problem::invalid(
        field, allowed,
    )])))
}

/// How many texts a model takes at once.
fn few_enough(request: &Request, model: &Model, limits: &EmbeddingLimits) -> Result<(), Fault> {
    let most = limits.max_inputs;
    if request.inputs <= most {
        return Ok(());
    }
    let allowed = format!("hold at most {most} inputs for {}", model.slug);
    Err(refused(Refusal::Problems(vec![Problem::invalid(
        "input", allowed,
    )])))
}

// === impl Plan ===

impl Plan {
    /// What is done with URLs before anything was fetched.
    pub(crate) fn urls(&self) -> Urls<'static> {
        match self.caller.mode {
            Mode::Test => Urls::Shown,
            Mode::Live => Urls::Unfetched,
        }
    }

    /// What stands for the requests that it belongs to, if the customer says which: they find the same provider's cache.
    pub(crate) fn affinity(&self) -> Option<u64> {
        let Request {
            cache_key, tags, ..
        } = &self.request;
        let key = cache_key.as_ref().or(tags.user.as_ref())?;
        Some(lot_of(&(self.caller.account.to_string(), key)))
    }

    /// Its receipt as far as it is known before anybody was asked.
    pub(crate) fn draft(&self, price_version: &str) -> Receipt {
        Receipt::of(Subject {
            route: self.surface.route().to_owned(),
            kind: match self.request.answer {
                Wanted::Whole => Kind::ChatWhole,
                Wanted::Stream | Wanted::StreamWithUsage => Kind::ChatStream,
            },
            model: self.model.clone(),
            price_version: price_version.to_owned(),
            applied: Applied::of_tokens(&self.rate.price, self.at, self.rate.factor),
            tags: self.request.tags.clone(),
        })
    }
}
