//! ElevenLabs' Scribe (`POST /v1/speech-to-text`): a form with a recording, answered with what is said in it, word by word, and by whom. Its
//! transcript is read here for those who resell it, too.

mod words;

use serde_json::{Map, Value};
use upstream::{Call, Failure, ProviderClient};

use self::words::Scribed;
use super::{
    super::{
        Access, Order, Started,
        at_once::{self, Heard},
        transcript, wire,
    },
    KEY, REQUEST_ID, refusal,
};

/// Where it is asked.
const PATH: &str = "v1/speech-to-text";

/// Submits a recording, and waits for what is said in it. What they bill, they do not say.
pub(super) async fn transcribe(
    client: &ProviderClient,
    access: &Access,
    order: &Order<'_>,
) -> Result<Started, Failure> {
    let mut form = transcript::form(order.parameters)?;
    form.text("model_id", order.model);
    let url = wire::place(&access.base_url, PATH)?;
    let headers = wire::keyed(access, KEY, "");
    let (headers, body) = form.written(headers);
    let call = Call::submit(url, headers, body.into());
    let reply = match at_once::ask(client, call, refusal::classify).await? {
        Heard::Reply(reply) => reply,
        Heard::Failed(started) => return Ok(started),
    };
    let id = at_once::id(reply.headers(), REQUEST_ID);
    let scribed: Scribed = transcript::read(&reply.bytes().await?)?;
    let text = transcript::written(&scribed.transcript())?;
    Ok(at_once::told(&id, text, None))
}

/// The transcript in the result of somebody who resells it, as it is kept; `None`: it is none.
///
/// # Errors
/// Never in practice; serde's signature has one.
pub(in super::super) fn resold(result: &Map<String, Value>) -> Option<Result<String, Failure>> {
    let is_one = words::is_one(result);
    let scribed = is_one.then(|| serde_json::from_value(Value::Object(result.clone())));
    let scribed: Scribed = scribed?.ok()?;
    Some(transcript::written(&scribed.transcript()))
}

#[cfg(test)]
mod tests;
