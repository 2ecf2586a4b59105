//! What simulators of jobs share: a job is planned by its directive, refused, billed, called back about, and found again by its id.

pub(crate) mod fields;

use chassis::clock::now_micros;
use http::{HeaderMap, Uri};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer, at_once, bill, callback,
    directive::Outcome,
    inputs,
    job::{Job, State, directive_of},
    kie,
    made::{Kind, Made},
    signer::Signature,
};

/// Until so much of its time has passed, in percent, a job waits.
const WAITS: u8 = 30;

/// What a submit asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) made: Made,
    /// Micro-US-dollars for all of it.
    pub(crate) price: i64,
    /// Where to call.
    pub(crate) callback: Option<String>,
}

/// Reads a submit, or says what is wrong with it.
pub(crate) type Read = fn(&Map<String, Value>) -> Result<Asked, String>;

/// A submit: whose, of which model, and its body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Submit<'a> {
    /// On the bill and in links.
    pub(crate) provider: &'static str,
    pub(crate) model: &'a str,
    pub(crate) body: &'a [u8],
}

/// Why a job is not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// What is wrong with its input.
    Input(String),
    /// Too many requests.
    TooFast,
    /// No capacity.
    NoRoom,
    /// The account is empty.
    NoFunds,
    /// No key was shown.
    NoKey,
    /// The sandbox itself failed.
    Broken,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Waiting,
    Working,
    Done,
    Failed,
    Moderated,
    /// Nobody knows it.
    Unknown,
    /// The answer is not JSON.
    Malformed,
}

/// Takes a job, whose id is all there is to know of it. `told` is what a callback says when it is done.
pub(crate) async fn take(
    sandbox: &Sandbox,
    submit: Submit<'_>,
    read: Read,
    told: fn(&str) -> Value,
) -> Result<(String, Job), Refused> {
    let (asked, input) = submit.read(read)?;
    let job = plan(sandbox, &input, asked.made).await?;
    let id = job.encode();
    let told = told(&id);
    record(sandbox, (&submit, &input), &asked, (&id, &job, &told)).await?;
    Ok((id, job))
}

/// As [`take`], where a callback is signed.
pub(crate) async fn take_signed(
    sandbox: &Sandbox,
    submit: Submit<'_>,
    read: Read,
    told: fn(&str) -> Value,
    signature: Signature,
) -> Result<(String, Job), Refused> {
    let (mut asked, input) = submit.read(read)?;
    let job = plan(sandbox, &input, asked.made).await?;
    let id = job.encode();
    let told = told(&id);
    let order = callback::Order {
        outcome: job.outcome,
        due: job.due(),
        url: asked.callback.take(),
    };
    record(sandbox, (&submit, &input), &asked, (&id, &job, &told)).await?;
    let caller = &sandbox.caller;
    caller.call_back_signed(order, &told, Some(signature));
    Ok((id, job))
}

/// What an input's directive makes of it.
pub(crate) async fn plan(sandbox: &Sandbox, input: &Value, made: Made) -> Result<Job, Refused> {
    let fetched = inputs::check(sandbox, input).await;
    fetched.map_err(Refused::Input)?;
    let directive = directive_of(input, &sandbox.config.bounds());
    let refusals = [
        (Outcome::RateLimited, Refused::TooFast),
        (Outcome::Overloaded, Refused::NoRoom),
        (Outcome::OutOfBalance, Refused::NoFunds),
    ];
    let refusal = refusals.into_iter().find(|row| row.0 == directive.outcome);
    if let Some((_, why)) = refusal {
        return Err(why);
    }
    let delay = sandbox.config.default_delay;
    Ok(Job::new(&directive, delay, seed(input), made))
}

/// The seed of an input, wherever it stands.
fn seed(input: &Value) -> Option<i64> {
    let mut places = ["/seed", "/parameters/seed"].iter();
    places.find_map(|place| input.pointer(place)?.as_i64())
}

/// Writes a job down, and calls back about it if it is one that does.
pub(crate) async fn record(
    sandbox: &Sandbox,
    (submit, input): (&Submit<'_>, &Value),
    asked: &Asked,
    (id, job, told): (&str, &Job, &Value),
) -> Result<(), Refused> {
    let row = bill::Job {
        id: id.to_owned(),
        provider: submit.provider.to_owned(),
        model: submit.model.to_owned(),
        kind: job.made.kind.billed_as().to_owned(),
        prompt_hash: bill::hash(&format!("{} {input}", submit.model)),
        at: job.start,
        billed: billed(job.outcome, asked.price),
    };
    let call = callback::Order {
        outcome: job.outcome,
        due: job.due(),
        url: asked.callback.clone(),
    };
    match sandbox.bill.record(row).await {
        Ok(()) => {
            sandbox.caller.call_back(call, told);
            Ok(())
        }
        Err(error) => {
            tracing::error!(%error, "the sandbox failed");
            Err(Refused::Broken)
        }
    }
}

/// What the provider would charge, in micro-US-dollars.
pub(crate) fn billed(outcome: Outcome, price: i64) -> i64 {
    price * at_once::billed(outcome)
}

/// How a job stands now.
pub(crate) fn standing(job: &Job) -> Standing {
    match job.state(now_micros()) {
        State::Pending(percent) if percent < WAITS => Standing::Waiting,
        State::Pending(_) => Standing::Working,
        State::Ready => Standing::Done,
        State::Failed => Standing::Failed,
        State::RequestModerated | State::ContentModerated => Standing::Moderated,
        State::Unknown => Standing::Unknown,
        State::Malformed => Standing::Malformed,
    }
}

/// Where a job's files are, as this caller reaches them.
pub(crate) fn links(
    sandbox: &Sandbox,
    provider: &str,
    job: &Job,
    (headers, uri): (&HeaderMap, &Uri),
) -> Vec<String> {
    let origin = answer::origin(headers, uri).unwrap_or_default();
    at_once::links(sandbox, job, (provider, &origin))
}

/// A film of a shape (`16:9`), of so many lines (`720p`), and so long.
pub(crate) fn film(ratio: Option<&str>, lines: Option<&str>, seconds: u16) -> Made {
    let told = [("aspect_ratio", ratio), ("resolution", lines)];
    let told = told.map(|(name, word)| (name.to_owned(), json!(word)));
    let (width, height) = kie::Asked(&Map::from_iter(told)).video();
    Made {
        kind: Kind::Mp4,
        count: 1,
        width,
        height,
        seconds,
    }
    .fitted()
}

/// So many pictures of a size.
pub(crate) fn pictures((width, height): (u16, u16), count: u8) -> Made {
    Made {
        kind: Kind::Png,
        count,
        width,
        height,
        seconds: 0,
    }
    .fitted()
}

/// Width and height of `1280*720`.
pub(crate) fn sides(size: &str) -> Option<(u16, u16)> {
    let (width, height) = size.split_once('*')?;
    Some((width.parse().ok()?, height.parse().ok()?))
}

/// The seconds that a number or a text says.
pub(crate) fn seconds(value: Option<&Value>, usual: u16) -> u16 {
    let Some(value) = value else { return usual };
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    text.parse().unwrap_or(usual)
}

// === impl Submit ===

impl Submit<'_> {
    /// What it asks for, and all that it was sent.
    pub(crate) fn read(&self, read: Read) -> Result<(Asked, Value), Refused> {
        let sent: Map<String, Value> = serde_json::from_slice(self.body)
            .map_err(|_| Refused::Input("the body is not a JSON object".to_owned()))?;
        let asked = read(&sent).map_err(Refused::Input)?;
        Ok((asked, Value::Object(sent)))
    }
}

/// A member of an object that is a text.
pub(crate) fn text<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn films_have_the_asked_shape() {
        let shape = |ratio, lines, seconds| {
            let made = film(ratio, lines, seconds);
            (made.width, made.height, made.seconds)
        };
        assert_eq!(shape(Some("9:16"), Some("1080p"), 8), (1_080, 1_920, 8));
        assert_eq!(shape(None, None, 0), (1_280, 720, 1));
        assert_eq!(shape(Some("1:1"), Some("720P"), 5), (720, 720, 5));
    }

    #[test]
    fn what_is_asked_is_read() {
        assert_eq!(sides("1280*720"), Some((1_280, 720)));
        assert_eq!(sides("1280x720"), None);
        for (value, read) in [(json!(7), 7), (json!("8"), 8), (json!("long"), 5)] {
            assert_eq!(seconds(Some(&value), 5), read);
        }
        assert_eq!(seconds(None, 5), 5);
        assert_eq!(seed(&json!({ "parameters": { "seed": 7 } })), Some(7));
        assert_eq!(seed(&json!({ "seed": 8 })), Some(8));
    }

    #[test]
    fn what_fails_is_free_and_what_is_told_twice_is_billed_once() {
        for (outcome, price) in [
            (Outcome::Success, 7),
            (Outcome::Fail, 0),
            (Outcome::Vanish, 7),
            (Outcome::Overreport, 700),
        ] {
            assert_eq!(billed(outcome, 7), price);
        }
    }
}
