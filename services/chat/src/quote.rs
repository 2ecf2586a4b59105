//! The use case: what a chat request would cost. A dry run: the plan is the one of the request itself, and nothing is held.

use domain::{Micros, Usage};
use proto::{Fault, common::v1::Quote};
use serde::Serialize;

use crate::{
    Service,
    estimate::input,
    fault::internal,
    files::outlined,
    offer::Offer,
    plan::{Plan, Submission, plan},
    providers::Order,
    request::Wanted,
    urls,
};

/// The parameters as they would be used; a wire form. It holds no content.
#[derive(Serialize)]
struct Resolved<'a> {
    model: &'a str,
    /// Every model that may answer, if the request names several: what is held pays for any of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<Vec<&'a str>>,
    stream: bool,
    n: u64,
    max_tokens: u64,
    /// The most tokens of input there can be.
    input_tokens_bound: u64,
    /// So many there are by our count, by which a stream that is cut is charged too.
    input_tokens_expected: u64,
}

/// Says what a request would cost.
///
/// # Errors
/// What the request itself would be refused with, but for a balance that is too low; BILLING_UNAVAILABLE.
pub(crate) async fn quote(service: &Service, submission: Submission) -> Result<Quote, Fault> {
    let mut plan = plan(service, submission)?;
    urls::check(service, &plan).await?;
    plan.files = service.files.look(&plan).await?;
    can_be_asked(service, &plan)?;
    let most = service.config.output.estimate.input_bytes;
    let input = input(&plan, &plan.answering.bound, most).await.tokens;
    let expected = expected(&plan, input, service.config.output.expected)?;
    let Offer { model, bound, .. } = &*plan.answering;
    let all = plan.offers.iter().map(|offer| offer.model.as_str());
    let resolved = Resolved {
        model,
        models: plan.requested.as_ref().map(|_| all.collect()),
        stream: plan.request.answer != Wanted::Whole,
        n: bound.choices,
        max_tokens: bound.output,
        input_tokens_bound: bound.input(),
        input_tokens_expected: input,
    };
    let resolved = serde_json::to_vec(&resolved).map_err(|_| internal())?;
    let available = service.billing.available(&plan.caller).await?;
    Ok(Quote {
        expected: expected.min(plan.terms.amount).get(),
        max: plan.terms.amount.get(),
        affordable: available >= plan.terms.floor,
        price_version: service.catalogue.version().to_owned(),
        resolved: resolved.into(),
        price_factor: plan.answering.rate.factor.parts_per_million(),
    })
}

/// Whether one of the providers has words for the request.
fn can_be_asked(service: &Service, plan: &Plan) -> Result<(), Fault> {
    let outlined = outlined(service, plan)?;
    let order = Order {
        body: outlined.as_ref().map_or(&plan.body, |filled| &filled.body),
        request: outlined
            .as_ref()
            .map_or(&plan.request, |filled| &filled.request),
        max_output: plan.answering.bound.output,
        urls: plan.urls(),
    };
    let mut found = Ok(());
    for candidate in plan.candidates() {
        found = candidate.adapter.check(order);
        if found.is_ok() {
            break;
        }
    }
    found.map_err(|failure| upstream::fault(&failure, service.config.retry_after))
}

/// So much input, and a usual answer of the model that is asked first.
fn expected(plan: &Plan, input: u64, usual_output: u64) -> Result<Micros, Fault> {
    let Offer { bound, rate, .. } = &*plan.answering;
    let usage = Usage {
        input,
        output: bound.output.min(usual_output).saturating_mul(bound.choices),
        ..Usage::default()
    };
    let cost = rate.price.cost(usage, rate.factor);
    cost.map(|cost| cost.amount).map_err(|_| internal())
}
