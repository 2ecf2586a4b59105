//! The URLs that a request names, above all in its messages, looked at before anything is held, whoever answers it: a provider that fetches them
//! itself may stand in the operator's own network. For test keys their form is enough; for live keys names are resolved as well, each host
//! once.

use std::collections::BTreeMap;

use domain::Mode;
use futures::future::join_all;
use proto::{Fault, Violation, code};
use upstream::{GuardedUrl, Refusal};

use crate::{Service, plan::Plan, request::elsewhere::Elsewhere};

/// So many problems are told; a request with more of them has one cause.
const MAX_PROBLEMS: usize = 16;

/// The URLs of one origin: any of them, as what they may reach depends on their origin alone, and the fields that name them.
type Origins<'p> = BTreeMap<String, (GuardedUrl, Vec<&'p str>)>;

/// # Errors
/// FORBIDDEN_URL with each field whose URL leads where we do not call.
pub(crate) async fn check(service: &Service, plan: &Plan) -> Result<(), Fault> {
    let urls = &plan.request.media.urls;
    if urls.is_empty() {
        return Ok(());
    }
    let (origins, mut problems) = by_form(service, urls);
    if plan.caller.mode == Mode::Live && problems.is_empty() {
        problems = by_address(service, origins).await?;
    }
    if problems.is_empty() {
        return Ok(());
    }
    problems.truncate(MAX_PROBLEMS);
    Err(Fault::from_violations(code::FORBIDDEN_URL, problems))
}

fn by_form<'p>(service: &Service, urls: &'p [Elsewhere]) -> (Origins<'p>, Vec<Violation>) {
    let (mut origins, mut problems) = (Origins::new(), Vec::new());
    for Elsewhere { param, url } in urls {
        match service.guard.admit(url) {
            Ok(url) => {
                let origin = url.as_url().origin().ascii_serialization();
                let (_, params) = origins.entry(origin).or_insert((url, Vec::new()));
                params.push(param.as_str());
            }
            Err(refusal) => problems.push(violation(param, &refusal)),
        }
        if problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    (origins, problems)
}

async fn by_address(service: &Service, origins: Origins<'_>) -> Result<Vec<Violation>, Fault> {
    let most = service.config.calls.inputs.max_hosts;
    if origins.len() > most {
        let message = format!("messages must name URLs of at most {most} different hosts");
        let fault = Fault::new(code::INVALID_PARAMETER, message);
        return Err(fault.param("messages"));
    }
    let checks = origins.values().map(async |(url, params)| {
        let refusal = service.guard.check_resolves(url).await.err()?;
        let problems = params.iter().map(|param| violation(param, &refusal));
        Some(problems.collect::<Vec<_>>())
    });
    let found = join_all(checks).await;
    Ok(found.into_iter().flatten().flatten().collect())
}

fn violation(param: &str, refusal: &Refusal) -> Violation {
    Violation {
        message: format!("{param} is refused: {refusal}"),
        param: param.to_owned(),
    }
}
