//! The earlier task that a task goes on from: found when it is submitted, and kept in the words of the provider that ran it, who alone can go
//! on from it.

use std::time::Duration;

use domain::{
    Caller, TaskId,
    catalogue::{Earlier, Model, ParamType, Resolved},
};
use proto::{Fault, code};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Error, Media, read,
    state::State,
    store,
    submit::{SOON, Submission},
    task::{Output, Request, Task},
};

/// What a provider calls an output.
const ID: &str = "id";
/// A task that is not told where, goes on so long before the end of what it goes on from: a provider takes no moment behind it.
const BEFORE_THE_END: Duration = Duration::from_secs(1);

/// Where a task goes on from: kept sealed with its request.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Who ran the earlier task.
    pub(crate) provider: String,
    /// Parameters as that provider knows them: its own name of the job in the place of our task's id, and what is taken from the earlier task.
    pub(crate) words: Map<String, Value>,
}

/// An earlier task that one task alone may go on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Once {
    /// The parameter that names it.
    pub(crate) param: String,
    pub(crate) origin: TaskId,
}

/// A parameter that names an earlier task.
struct Named<'a> {
    param: &'a str,
    earlier: &'a Earlier,
    id: &'a str,
}

/// The parameters with what they take from the earlier task, and that task, if they name one.
pub(crate) async fn find(
    media: &Media,
    submission: &Submission,
    model: &Model,
    parameters: Resolved,
) -> Result<(Resolved, Option<Box<Origin>>), Error> {
    let Some(named) = Named::of(model, &parameters) else {
        return Ok((parameters, None));
    };
    let (task, outputs) = named.look(media, &submission.caller).await?;
    let (Some(provider), Some(job)) = (task.provider.clone(), task.job.clone()) else {
        return Err(named.unknown().into());
    };
    let mut routes = model.candidates(&parameters);
    if !routes.any(|route| route.provider == provider) {
        let why = format!("another task: {provider}, which made this one, cannot go on from it");
        return Err(named.refuse(&why).into());
    }
    if media.accesses.access(task.mode, &provider).is_none() {
        let message =
            format!("{provider}, which made the earlier task, is not configured any more");
        return Err(Fault::new(code::NO_PROVIDER, message).into());
    }
    let made_from = task.parameters();
    if named.earlier.is_refused(&made_from) {
        return Err(named.lacks().into());
    }
    let mut words = named.words(model, &parameters, &outputs)?;
    words.insert(named.param.to_owned(), Value::String(job));
    let inherited = model.inherit(parameters.clone(), &made_from);
    let inherited = inherited.map_err(Fault::from_problems)?;
    model.fit(&inherited, &mut words);
    Ok((inherited, Some(Box::new(Origin { provider, words }))))
}

/// The earlier task that a task alone may go on from, if there is one.
pub(crate) fn once(media: &Media, task: &Task) -> Option<Once> {
    let parameters = task.parameters();
    let named = Named::of(media.catalogue.find(&task.model)?, &parameters)?;
    Some(Once {
        param: named.param.to_owned(),
        origin: TaskId::parse(named.id).filter(|_| named.earlier.once)?,
    })
}

/// Refuses a task where another one has gone on from what it alone may go on from.
pub(crate) async fn check_once(media: &Media, task: &Task) -> Result<(), Error> {
    let Some(once) = once(media, task) else {
        return Ok(());
    };
    let found = async {
        let mut connection = media.db.reader().acquire().await?;
        store::task::by_once(&mut *connection, &task.route, &once).await
    };
    match media.db.read(found).await? {
        Some((by, state)) => Err(once.taken((by, state)).into()),
        None => Ok(()),
    }
}

// === impl Once ===

impl Once {
    /// The refusal where another task was there before. Whether one whose price is not held yet will be a task is known in a moment.
    pub(crate) fn taken(&self, (by, state): (TaskId, State)) -> Fault {
        let param = &self.param;
        if state == State::Reserving {
            let message = format!(
                "{param} is what another request names that is just being accepted: try again in a moment"
            );
            return Fault::new(code::IDEMPOTENCY_IN_PROGRESS, message)
                .param(param)
                .retry_after(SOON);
        }
        let message = format!(
            "{param} must be a task that this was not made of before: {by} makes it, or has made it, and it is made once"
        );
        Fault::new(code::INVALID_PARAMETER, message).param(param)
    }
}

// === impl Named ===

impl<'a> Named<'a> {
    fn of(model: &'a Model, parameters: &'a Resolved) -> Option<Self> {
        model.params.iter().find_map(|param| {
            Some(Self {
                param: &param.name,
                earlier: param.earlier()?,
                id: parameters.get(&param.name)?.as_str()?,
            })
        })
    }

    fn refuse(&self, why: &str) -> Fault {
        let message = format!("{} must be {why}", self.param);
        Fault::new(code::INVALID_PARAMETER, message).param(self.param)
    }

    /// The same words for an unknown task, for another's, and for one of another model.
    fn unknown(&self) -> Fault {
        let made_by: Vec<&str> = self.earlier.models().collect();
        let message = format!(
            "{} must be the id of a task of {} that is this account's",
            self.param,
            made_by.join(" or ")
        );
        Fault::new(code::NOT_FOUND, message).param(self.param)
    }

    /// The refusal of a task that has nothing of the kind to go on from.
    fn lacks(&self) -> Fault {
        let param = self.earlier.output.as_deref().unwrap_or(self.param);
        let made_with: Vec<String> = self
            .earlier
            .not
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let message = format!(
            "{param} must be an output of a task that was not made with {}, as {} was",
            made_with.join(" and "),
            self.id
        );
        Fault::new(code::NOT_FOUND, message).param(param)
    }

    /// The task, which has completed.
    async fn look(&self, media: &Media, caller: &Caller) -> Result<(Task, Vec<Output>), Error> {
        let id = TaskId::parse(self.id).ok_or_else(|| self.unknown())?;
        let (task, outputs) = match read::get(media, caller, id).await {
            Err(Error::Fault(fault)) if fault.code == code::NOT_FOUND => {
                return Err(self.unknown().into());
            }
            found => found?,
        };
        if !self.earlier.models().any(|model| model == task.model) {
            return Err(self.unknown().into());
        }
        match task.state {
            State::Completed => Ok((task, outputs)),
            State::Reserving | State::Queued | State::Starting | State::Running => {
                let why = "a task that has completed: this one has not ended yet";
                Err(self.refuse(why).into())
            }
            State::Failed => {
                let why = "a task that has completed: this one has failed";
                Err(self.refuse(why).into())
            }
        }
    }

    /// What the provider is told of the output that is named, if one must be.
    fn words(
        &self,
        model: &Model,
        parameters: &Resolved,
        outputs: &[Output],
    ) -> Result<Map<String, Value>, Fault> {
        let mut words = Map::new();
        let Some(param) = &self.earlier.output else {
            return Ok(words);
        };
        let named = parameters.get(param);
        let output = named.and_then(|named| chosen(named, outputs));
        let found = output.and_then(|output| Some((output, output.fact(ID)?)));
        let Some((output, id)) = found else {
            let message = format!(
                "{param} must be one of the outputs of {}, of those that are kept still",
                self.id
            );
            return Err(Fault::new(code::NOT_FOUND, message).param(param));
        };
        words.insert(param.clone(), id.into());
        for param in &model.params {
            let fact = param.inherits.as_deref().and_then(|fact| output.fact(fact));
            if let (Some(fact), ParamType::Text { .. }, false) =
                (fact, &param.of, parameters.contains_key(&param.name))
            {
                words.insert(param.name.clone(), fact.into());
            }
        }
        let lasts = output.duration_millis.map(Duration::from_millis);
        if let Some(moment) = &self.earlier.moment {
            let given = parameters.get(moment).and_then(Value::as_f64);
            words.extend(within(moment, given, lasts)?);
        }
        Ok(words)
    }
}

/// The result that is named: by its place, or by what its provider calls it.
fn chosen<'o>(named: &Value, outputs: &'o [Output]) -> Option<&'o Output> {
    let mut results = outputs.iter().filter(|output| output.is_result());
    match named {
        Value::Number(place) => results.find(|output| place.as_u64() == Some(output.number.into())),
        Value::String(id) => results.find(|output| output.fact(ID) == Some(id)),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A moment of what lasts so long: as it was given, else shortly before the end.
fn within(
    param: &str,
    given: Option<f64>,
    lasts: Option<Duration>,
) -> Result<Option<(String, Value)>, Fault> {
    let Some(given) = given else {
        let end = lasts.map(|lasts| {
            let half = lasts.checked_div(2).unwrap_or_default();
            lasts.saturating_sub(BEFORE_THE_END).max(half)
        });
        return Ok(end.map(|end| (param.to_owned(), json!(end.as_secs_f64()))));
    };
    let moment = Duration::try_from_secs_f64(given).unwrap_or_default();
    if !moment.is_zero() && lasts.is_none_or(|lasts| moment < lasts) {
        return Ok(None);
    }
    let most = lasts.map_or_else(String::new, |lasts| {
        format!(
            " and below {}, which is how many seconds the earlier one lasts",
            lasts.as_secs_f64()
        )
    });
    let message = format!("{param} must be above 0{most}");
    Err(Fault::new(code::INVALID_PARAMETER, message).param(param))
}

// === impl Task ===

impl Task {
    /// Whether a provider can be asked for it.
    pub(crate) fn is_for(&self, provider: &str) -> bool {
        let request = self.request.as_ref();
        request.is_none_or(|request| request.is_for(provider))
    }
}

// === impl Request ===

impl Request {
    /// Whether a provider can be asked for it: of what goes on from an earlier task, only who ran that.
    pub(crate) fn is_for(&self, provider: &str) -> bool {
        let origin = self.origin.as_ref();
        origin.is_none_or(|origin| origin.provider == provider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_lies_within_what_it_is_a_moment_of() {
        let lasts = Duration::from_millis(12_500);
        let told = |given, lasts| {
            within("at", given, lasts)
                .map(|word| word.map(|(_, moment)| moment))
                .map_err(|fault| fault.message)
        };
        assert_eq!(told(None, Some(lasts)), Ok(Some(json!(11.5))));
        let brief = Duration::from_millis(1_000);
        assert_eq!(told(None, Some(brief)), Ok(Some(json!(0.5))));
        assert_eq!(told(None, None), Ok(None));
        for good in [0.001, 5.0, 12.499] {
            assert_eq!(told(Some(good), Some(lasts)), Ok(None), "{good}");
        }
        assert_eq!(told(Some(9_999.0), None), Ok(None));
        let why =
            "at must be above 0 and below 12.5, which is how many seconds the earlier one lasts";
        for wrong in [0.0, -1.0, 12.5, 13.0, 1e300, f64::NAN] {
            assert_eq!(
                told(Some(wrong), Some(lasts)),
                Err(why.to_owned()),
                "{wrong}"
            );
        }
        assert_eq!(told(Some(0.0), None), Err("at must be above 0".to_owned()));
    }
}
