//! The earlier task that a task goes on from: found when it is submitted, and kept in the words of the provider that ran it, who alone can go
//! on from it.

use domain::{
    TaskId,
    catalogue::{Model, ParamType, Resolved},
};
use proto::{Fault, code};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Error, Media, read, state::State, submit::Submission, task::Task};

/// Where a task goes on from: kept sealed with its request.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Who ran the earlier task.
    pub(crate) provider: String,
    /// Parameters as that provider knows them: its own name of the job in the place of our task's id.
    pub(crate) words: Map<String, Value>,
}

/// The earlier task that these parameters name, if they name one.
pub(crate) async fn find(
    media: &Media,
    submission: &Submission,
    model: &Model,
    parameters: &Resolved,
) -> Result<Option<Box<Origin>>, Error> {
    for param in &model.params {
        let ParamType::Task { model: of } = &param.of else {
            continue;
        };
        let Some(id) = parameters.get(&param.name).and_then(Value::as_str) else {
            continue;
        };
        let refuse = |why: &str| {
            let message = format!("{} must be {why}", param.name);
            Fault::new(code::INVALID_PARAMETER, message).param(&param.name)
        };
        let unknown = || {
            refuse(&format!(
                "the id of a task that {of} completed for this account"
            ))
        };
        let id = TaskId::parse(id).ok_or_else(unknown)?;
        let found = read::get(media, &submission.caller, id).await;
        let is_missing =
            |error: &Error| matches!(error, Error::Fault(fault) if fault.code == code::NOT_FOUND);
        let (task, _) = match found {
            Err(error) if is_missing(&error) => return Err(unknown().into()),
            found => found?,
        };
        if task.model != *of || task.state != State::Completed {
            return Err(unknown().into());
        }
        let served = |provider: &str| {
            let mut routes = model.candidates(parameters);
            routes.any(|route| route.provider == provider)
        };
        let (Some(provider), Some(job)) = (task.provider, task.job) else {
            return Err(unknown().into());
        };
        if !served(&provider) {
            let why =
                format!("another task: {provider}, which made this one, cannot go on from it");
            return Err(refuse(&why).into());
        }
        let words = Map::from_iter([(param.name.clone(), Value::String(job))]);
        return Ok(Some(Box::new(Origin { provider, words })));
    }
    Ok(None)
}

// === impl Task ===

impl Task {
    /// Where it goes on from.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.request.as_ref()?.origin.as_deref()
    }

    /// Whether a provider can be asked for it: of a task that goes on from another, only who ran that.
    pub(crate) fn is_for(&self, provider: &str) -> bool {
        self.origin()
            .is_none_or(|origin| origin.provider == provider)
    }
}
