//! The models that a request may be answered by, and who is asked for them, in which order.

use std::{collections::VecDeque, sync::Arc};

use domain::{
    Micros, Problem, ProblemKind,
    catalogue::{ChatLimits, Model},
};
use proto::{Fault, code};

use crate::{
    Service,
    bound::{Bound, Rate},
    candidate::Candidate,
    fault::{internal, refused},
    plan::{Plan, Submission},
    request::{
        Refusal, Request,
        routing::{Fallbacks, Preferences, Sort},
    },
    route::Serving,
    surface::Surface,
};

/// One model, as it would be asked and charged.
pub(crate) struct Offer {
    /// Its slug.
    pub(crate) model: String,
    pub(crate) rate: Rate,
    pub(crate) bound: Bound,
    pub(crate) serving: Arc<Serving>,
}

/// One candidate, and which model it would serve.
pub(crate) struct Stop<'p> {
    pub(crate) offer: &'p Arc<Offer>,
    pub(crate) candidate: &'p Candidate,
}

/// What a request may be answered by: at least one, in the order in which they are asked. And the model that it asked for first, if it named
/// several.
pub(crate) type Offers = (Vec<Arc<Offer>>, Option<String>);

/// Finds the models that a request names.
///
/// # Errors
/// A model that does not exist, is served elsewhere or is not allowed; more of them than may be; providers that none of them has; a request that
/// one of them does not take; nobody who is left to serve any of them.
pub(crate) fn offers(
    service: &Service,
    submission: &Submission,
    request: &Request,
) -> Result<Offers, Fault> {
    let models = models(service, submission, request)?;
    let wishes = request.routing.provider.as_deref();
    if let Some(wishes) = wishes {
        if !service.config.failover.customers_choose {
            return Err(no_choice());
        }
        check_names(wishes, &models)?;
    }
    let requested = models.first().filter(|_| models.len() > 1);
    let requested = requested.map(|model| model.slug.clone());
    let mut offers = Vec::with_capacity(models.len());
    let mut refusal: Option<Fault> = None;
    for model in &models {
        match offer(service, submission, (model, request)) {
            Ok(offer) => offers.push(Arc::new(offer)),
            // Another one may be served.
            Err(fault) if is_unserved(&fault) => refusal = refusal.or(Some(fault)),
            Err(fault) => return Err(fault),
        }
    }
    if offers.is_empty() {
        return Err(refusal.unwrap_or_else(internal));
    }
    Ok((offers, requested))
}

/// Whether somebody would serve the model if the installation, or the request's wishes, were others.
fn is_unserved(fault: &Fault) -> bool {
    fault.code == code::NO_PROVIDER || fault.param.as_deref() == Some(PROVIDER)
}

/// The field with the wishes.
const PROVIDER: &str = "provider";

/// The models, each once.
fn models<'s>(
    service: &'s Service,
    submission: &Submission,
    request: &Request,
) -> Result<Vec<&'s Model>, Fault> {
    let (named, most) = (&request.routing.models, service.config.failover.max_models);
    if named.len() > most {
        let allowed = format!("hold at most {most} names");
        let problem = Problem::invalid("models", allowed);
        return Err(refused(Refusal::Problems(vec![problem])));
    }
    let route = submission.surface.models();
    let choose = |name: &str| {
        let chosen = service.catalogue.choose(route, name, &submission.models);
        chosen.map_err(Fault::from)
    };
    let mut models: Vec<&Model> = Vec::with_capacity(1);
    if named.is_empty() || !request.model.is_empty() {
        models.push(choose(&request.model)?);
    }
    for (place, name) in named.iter().enumerate() {
        let model = choose(name).map_err(|fault| {
            let param = format!("models[{place}]");
            Fault::new(fault.code, format!("{param}: {}", fault.message)).param(param)
        })?;
        if models.iter().all(|known| known.slug != model.slug) {
            models.push(model);
        }
    }
    Ok(models)
}

/// The operator chooses.
fn no_choice() -> Fault {
    let problem = Problem {
        kind: ProblemKind::Unknown,
        message: format!(
            "{PROVIDER} is not a field here: who serves a model is not for requests to choose"
        ),
        param: PROVIDER.to_owned(),
    };
    refused(Refusal::Problems(vec![problem]))
}

fn check_names(wishes: &Preferences, models: &[&Model]) -> Result<(), Fault> {
    let mut known: Vec<&str> = Vec::new();
    for route in models.iter().flat_map(|model| &model.providers) {
        if !known.contains(&route.provider.as_str()) {
            known.push(&route.provider);
        }
    }
    let slugs: Vec<&str> = models.iter().map(|model| model.slug.as_str()).collect();
    let problems = wishes.unknown(&known, &slugs);
    if problems.is_empty() {
        return Ok(());
    }
    Err(refused(Refusal::Problems(problems)))
}

// === impl Offer ===

impl Offer {
    /// The output of one choice that `granted` pays for: the limit the provider is given.
    pub(crate) fn affordable(&self, granted: Micros) -> u64 {
        self.bound.affordable(&self.rate, granted)
    }
}

fn offer(
    service: &Service,
    submission: &Submission,
    (model, request): (&Model, &Request),
) -> Result<Offer, Fault> {
    // The catalogue lets no other model onto a route than one that has its limits.
    let bound = match submission.surface {
        Surface::Chat | Surface::Messages | Surface::Responses => {
            let limits = model.chat.ok_or_else(internal)?;
            within(request, model, &limits)?;
            Bound::of(request, &limits)
        }
        Surface::Embeddings => {
            let limits = model.embedding.ok_or_else(internal)?;
            few_enough(request, model, limits.max_inputs)?;
            Bound::of_input(request)
        }
    };
    let serving = service
        .routes
        .serving(&model.slug, submission.caller.mode)?;
    if let Some(wishes) = request.routing.provider.as_deref() {
        let mut candidates = serving.iter();
        if !candidates.any(|candidate| wishes.allows(&candidate.provider)) {
            return Err(nobody_left(model, &serving));
        }
    }
    Ok(Offer {
        model: model.slug.clone(),
        rate: Rate {
            price: model.price_at(submission.at).ok_or_else(internal)?.clone(),
            factor: submission.caller.price_factor,
        },
        bound,
        serving,
    })
}

/// The wishes leave none of those who could serve.
fn nobody_left(model: &Model, serving: &Serving) -> Fault {
    let mut names: Vec<&str> = serving.iter().map(|one| one.provider.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let (slug, names) = (&model.slug, names.join(", "));
    let allowed = format!("leave a provider that serves {slug} here: {names}");
    refused(Refusal::Problems(vec![Problem::invalid(PROVIDER, allowed)]))
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
fn few_enough(request: &Request, model: &Model, most: u64) -> Result<(), Fault> {
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
    /// Everybody who may be asked, in no order that counts.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        let wishes = self.request.routing.provider.as_deref();
        let all = self.offers.iter().flat_map(|offer| offer.serving.iter());
        all.filter(move |one| wishes.is_none_or(|wishes| wishes.allows(&one.provider)))
    }

    /// Everybody who may be asked, in the order of this request: one model after another. Who asked us to slow down is last, whatever
    /// model it serves.
    pub(crate) fn in_order(&self) -> VecDeque<Stop<'_>> {
        let mut stops = VecDeque::new();
        for offer in &self.offers {
            let line = self.line(&offer.serving).into_iter();
            stops.extend(line.map(|candidate| Stop { offer, candidate }));
        }
        // The sort is stable: apart from that, the order stays.
        stops
            .make_contiguous()
            .sort_by_key(|stop| stop.candidate.is_limited());
        stops
    }

    /// Those who serve one model.
    fn line<'s>(&self, serving: &'s Serving) -> Vec<&'s Candidate> {
        let wanted = self.request.answer;
        let mut line = serving.in_order(self.affinity(), wanted);
        let Some(wishes) = self.request.routing.provider.as_deref() else {
            return line;
        };
        if wishes.sort == Some(Sort::Latency) {
            line.sort_by_cached_key(|candidate| candidate.rank(wanted));
        }
        line.retain(|candidate| wishes.allows(&candidate.provider));
        line.sort_by_key(|candidate| wishes.place(&candidate.provider));
        let alone = wishes.fallbacks == Fallbacks::Refused && wishes.order.is_empty();
        if let Some(first) = line.first().filter(|_| alone) {
            let first = first.provider.as_str();
            line.retain(|candidate| candidate.provider == first);
        }
        line
    }
}
