//! What is settled before any money moves: the request, who can serve it, and what it can cost at most. Pure.

use std::sync::Arc;

use bytes::Bytes;
use domain::{
    Caller, Catalogue, OperationId, Problem,
    catalogue::{Category, ChatLimits, Model},
    price::Price,
};
use proto::{Fault, code};

use crate::{
    Service,
    bill::Subject,
    bound::{Ask, Bound},
    fault::{internal, refused},
    request::{self, Refusal, Request},
    route::Candidate,
};

/// A request as the edge hands it over.
pub(crate) struct Order {
    /// Who asks.
    pub(crate) caller: Caller,
    /// The operation, which is also the hold.
    pub(crate) operation: OperationId,
    /// The customer's JSON.
    pub(crate) body: Bytes,
    /// Models the key may use; empty means all.
    pub(crate) models: Vec<String>,
}

/// A request that can be served, if there is credit for it.
pub(crate) struct Plan {
    pub(crate) caller: Caller,
    pub(crate) operation: OperationId,
    pub(crate) body: Bytes,
    pub(crate) request: Request,
    /// The model's slug.
    pub(crate) model: String,
    pub(crate) price: Price,
    pub(crate) candidates: Arc<[Candidate]>,
    pub(crate) bound: Bound,
    pub(crate) ask: Ask,
}

/// Checks a request and finds out what it takes.
///
/// # Errors
/// Everything wrong with the request; a model that does not exist, is served elsewhere or is not allowed; no provider.
pub(crate) fn plan(service: &Service, order: Order) -> Result<Plan, Fault> {
    let request = request::parse(&order.body, service.config.max_choices).map_err(refused)?;
    let (model, limits) = chat_model(&service.catalogue, &request.model)?;
    allowed(model, &order.models)?;
    within(&request, model, &limits)?;
    let candidates = service.routes.candidates(&model.slug, order.caller.mode)?;
    let bound = Bound::of(&request, &limits);
    // The sums are far from the limit of 64 bits; a price list that is not, cannot be served.
    let ask = bound
        .ask(&model.price, service.config.least_output)
        .map_err(|_| internal())?;
    Ok(Plan {
        caller: order.caller,
        operation: order.operation,
        body: order.body,
        request,
        model: model.slug.clone(),
        price: model.price.clone(),
        candidates,
        bound,
        ask,
    })
}

fn chat_model<'a>(catalogue: &'a Catalogue, name: &str) -> Result<(&'a Model, ChatLimits), Fault> {
    let unknown = |message: String| Fault::new(code::UNKNOWN_MODEL, message).param("model");
    let Some(model) = catalogue.find(name) else {
        let known: Vec<&str> = catalogue
            .models()
            .iter()
            .filter(|model| model.category == Category::Chat)
            .map(|model| model.slug.as_str())
            .collect();
        let name: String = name.chars().take(MAX_QUOTED).collect();
        return Err(unknown(format!(
            "no chat model is called {name:?}; there is {}",
            known.join(", ")
        )));
    };
    let limits = model.chat.ok_or_else(|| {
        let (slug, route) = (&model.slug, &model.route);
        unknown(format!(
            "{slug} is not a chat model; it is served by /api/v1/{route}"
        ))
    })?;
    Ok((model, limits))
}

/// So much of an unknown name is said back.
const MAX_QUOTED: usize = 60;

/// The key's own list of models.
fn allowed(model: &Model, names: &[String]) -> Result<(), Fault> {
    if model.allowed_by(names) {
        return Ok(());
    }
    let message = format!(
        "this key may not use {}; it may use {}",
        model.slug,
        names.join(", ")
    );
    Err(Fault::new(code::MODEL_NOT_ALLOWED, message).param("model"))
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

// === impl Plan ===

impl Plan {
    /// The fixed part of its receipt, before anybody was asked.
    pub(crate) fn subject(&self, price_version: &str) -> Subject {
        Subject {
            model: self.model.clone(),
            provider: String::new(),
            price_version: price_version.to_owned(),
            attempts: Vec::new(),
        }
    }
}
