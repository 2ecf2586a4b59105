//! Bodies and queries about webhooks, read.

use std::{collections::BTreeMap, time::Duration};

use chassis::config::duration;
use domain::{AccountId, DeliveryId, EndpointId, EventType, TaskId, ids};
use http::Uri;
use proto::webhooks::v1::{
    CreateEndpointRequest, EventTypes, FindDeliveriesRequest, Header, Headers, RecoverRequest,
    UpdateEndpointRequest,
};

use crate::{
    error::ApiError,
    http::{
        admin::nothing,
        fields::Fields,
        query::{Page, Params},
    },
};

/// Characters of the longest URL.
const MAX_URL_CHARS: usize = 2_048;
/// Characters of the longest description.
const MAX_DESCRIPTION_CHARS: usize = 500;
/// Characters of the longest type of an event.
const MAX_TYPE_CHARS: usize = 64;
/// How long what signed before signs as well, unless the request says so.
const OVERLAP: Duration = Duration::from_secs(86_400);

/// How a delivery can stand.
const STATES: [&str; 4] = ["due", "inflight", "delivered", "dead"];
const STATE: &str = "be due, inflight, delivered or dead";
/// What an account must be.
pub(super) const ACCOUNT: &str = "be the id of an account";

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// About what is theirs.
    Customer,
    /// About everybody's: they may name an account.
    Operator,
}

/// The id of an endpoint. What is none names nothing.
pub(super) fn endpoint(id: &str) -> Result<EndpointId, ApiError> {
    EndpointId::parse(id).ok_or_else(|| nothing("webhook endpoint for this key"))
}

/// The id of a delivery. What is none names nothing.
pub(super) fn delivery(id: &str) -> Result<DeliveryId, ApiError> {
    DeliveryId::parse(id).ok_or_else(|| nothing("webhook delivery for this key"))
}

/// The body that registers an endpoint.
pub(super) fn new_endpoint(body: &[u8]) -> Result<CreateEndpointRequest, ApiError> {
    let mut fields = Fields::parse(body)?;
    let url = fields.text("url", 1, MAX_URL_CHARS);
    fields.require("url", url.as_ref());
    let request = CreateEndpointRequest {
        context: None,
        url: url.unwrap_or_default(),
        events: events(&mut fields).unwrap_or_default(),
        headers: headers(&mut fields).unwrap_or_default(),
        per_second: fields.count("per_second").unwrap_or_default(),
        description: description(&mut fields).unwrap_or_default(),
        signature: signature(&mut fields).unwrap_or_default(),
    };
    fields.finish()?;
    Ok(request)
}

/// The body that changes an endpoint; `null` takes away what can be taken away.
pub(super) fn change(body: &[u8]) -> Result<UpdateEndpointRequest, ApiError> {
    let mut fields = Fields::parse(body)?;
    let all_events = fields.is_null("events").then(EventTypes::default);
    let no_headers = fields.is_null("headers").then(Headers::default);
    let no_limit = fields.is_null("per_second").then_some(0);
    let no_description = fields.is_null("description").then(String::new);
    let named = events(&mut fields).map(|types| EventTypes { types });
    let request = UpdateEndpointRequest {
        whose: None,
        endpoint_id: bytes::Bytes::new(),
        url: fields.text("url", 1, MAX_URL_CHARS),
        events: named.or(all_events),
        disabled: fields.flag("disabled"),
        headers: headers(&mut fields)
            .map(|headers| Headers { headers })
            .or(no_headers),
        per_second: fields.count("per_second").or(no_limit),
        description: description(&mut fields).or(no_description),
        signature: signature(&mut fields),
    };
    fields.finish()?;
    Ok(request)
}

/// The body of a rotation; there may be none.
pub(super) fn overlap(body: &[u8]) -> Result<Duration, ApiError> {
    let mut fields = Fields::parse(or_empty(body))?;
    let overlap = fields.word(
        "overlap",
        "a duration, such as 24h, or 0s for none",
        duration::parse,
    );
    fields.finish()?;
    Ok(overlap.unwrap_or(OVERLAP))
}

/// The body that asks for a sample; there may be none. Empty: the endpoint's first type.
pub(super) fn kind(body: &[u8]) -> Result<String, ApiError> {
    let mut fields = Fields::parse(or_empty(body))?;
    let kind = fields.text("type", 1, MAX_TYPE_CHARS);
    fields.finish()?;
    Ok(kind.unwrap_or_default())
}

/// The body of a recovery, of one endpoint if its path names one.
pub(super) fn recovery(
    body: &[u8],
    endpoint: Option<EndpointId>,
    asks: Asks,
) -> Result<RecoverRequest, ApiError> {
    let mut fields = Fields::parse(or_empty(body))?;
    let since = fields.moment("since");
    fields.require("since", since.as_ref());
    let until = fields.moment("until");
    if until.is_some_and(|until| until <= since.unwrap_or_default()) {
        fields.invalid("until", "be later than since");
    }
    let named = match endpoint {
        None => fields.word(
            "endpoint_id",
            "the id of a webhook endpoint",
            EndpointId::parse,
        ),
        Some(_) => endpoint,
    };
    let account = match asks {
        Asks::Customer => None,
        Asks::Operator => fields.word("account_id", "the id of an account", AccountId::parse),
    };
    fields.finish()?;
    Ok(RecoverRequest {
        whose: None,
        since: since.unwrap_or_default(),
        until: until.unwrap_or_default(),
        endpoint_id: named.map(EndpointId::to_vec).unwrap_or_default().into(),
        account_id: account.map(AccountId::to_vec).unwrap_or_default().into(),
    })
}

/// The query that looks for deliveries.
pub(super) fn search(
    uri: &Uri,
    asks: Asks,
) -> Result<(Page<ids::Delivery>, FindDeliveriesRequest), ApiError> {
    let mut query = Params::parse(uri);
    let page: Page<ids::Delivery> = query.page();
    let task = query.read("task_id", "be the id of a task", TaskId::parse);
    let endpoint = query.read(
        "endpoint_id",
        "be the id of a webhook endpoint",
        EndpointId::parse,
    );
    let state = query.read("state", STATE, |word| {
        STATES.contains(&word).then(|| word.to_owned())
    });
    let allowed = format!("be one of {}", words(EventType::ALL));
    let kind = query.read("type", &allowed, EventType::parse);
    let (since, until) = (query.moment("since"), query.moment("until"));
    let account = match asks {
        Asks::Customer => None,
        Asks::Operator => query.read("account_id", ACCOUNT, AccountId::parse),
    };
    query.finish()?;
    let request = FindDeliveriesRequest {
        whose: None,
        limit: page.limit,
        before: page.behind(),
        task_id: task.map(TaskId::to_vec).unwrap_or_default().into(),
        endpoint_id: endpoint.map(EndpointId::to_vec).unwrap_or_default().into(),
        state: state.unwrap_or_default(),
        r#type: kind.map(EventType::as_str).unwrap_or_default().to_owned(),
        since: since.unwrap_or_default(),
        until: until.unwrap_or_default(),
        account_id: account.map(AccountId::to_vec).unwrap_or_default().into(),
    };
    Ok((page, request))
}

fn or_empty(body: &[u8]) -> &[u8] {
    if body.is_empty() { b"{}" } else { body }
}

fn events(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let allowed = format!("these types: {}", words(EventType::ALL));
    let is_known = |word: &str| EventType::parse(word).is_some();
    fields.words("events", &allowed, is_known)
}

/// Which headers may be, webhooks says.
fn headers(fields: &mut Fields<'_>) -> Option<Vec<Header>> {
    let raw = fields.raw("headers")?;
    let Ok(named) = serde_json::from_str::<BTreeMap<String, String>>(raw.get()) else {
        fields.invalid(
            "headers",
            "be an object of names and values, which are texts",
        );
        return None;
    };
    let headers = named
        .into_iter()
        .map(|(name, value)| Header { name, value });
    Some(headers.collect())
}

fn description(fields: &mut Fields<'_>) -> Option<String> {
    fields.text("description", 0, MAX_DESCRIPTION_CHARS)
}

fn signature(fields: &mut Fields<'_>) -> Option<String> {
    fields.word("signature", "v1, v1a or both", |word| {
        ["v1", "v1a", "both"]
            .contains(&word)
            .then(|| word.to_owned())
    })
}

fn words(types: &[EventType]) -> String {
    let words: Vec<&str> = types.iter().map(|known| known.as_str()).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_takes_away_what_can_be_taken_away() {
        let body = br#"{"events":null,"headers":null,"per_second":null,"description":null}"#;
        let cleared = change(body).unwrap();
        assert_eq!(cleared.events, Some(EventTypes::default()));
        assert_eq!(cleared.headers, Some(Headers::default()));
        assert_eq!(
            (cleared.per_second, cleared.description.as_deref()),
            (Some(0), Some(""))
        );
        assert_eq!(
            (cleared.url, cleared.disabled, cleared.signature),
            (None, None, None)
        );
        assert_eq!(change(b"{}").unwrap(), UpdateEndpointRequest::default());
    }

    #[test]
    fn a_rotation_overlaps_for_a_day_unless_it_says_otherwise() {
        assert_eq!(overlap(b"").unwrap(), OVERLAP);
        assert_eq!(overlap(br#"{"overlap":"0s"}"#).unwrap(), Duration::ZERO);
        assert!(overlap(br#"{"overlap":"soon"}"#).is_err());
        assert!(overlap(br#"{"for":"1h"}"#).is_err());
    }

    #[test]
    fn only_operators_name_an_account() {
        let id = AccountId::NIL.to_string();
        let body = format!(r#"{{"since":"2030-01-31T12:00:00Z","account_id":"{id}"}}"#);
        assert!(recovery(body.as_bytes(), None, Asks::Customer).is_err());
        assert!(recovery(body.as_bytes(), None, Asks::Operator).is_ok());
        let uri: Uri = format!("/v1/webhooks/deliveries?account_id={id}")
            .parse()
            .unwrap();
        assert!(search(&uri, Asks::Customer).is_err());
        assert!(search(&uri, Asks::Operator).is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_recovery_is_said() {
        let param = |body: &str| {
            let refused = recovery(body.as_bytes(), None, Asks::Customer)
                .err()
                .unwrap();
            refused.fault().param.clone().unwrap_or_default()
        };
        assert_eq!(param("{}"), "since");
        assert_eq!(param(r#"{"since":"yesterday"}"#), "since");
        assert_eq!(
            param(r#"{"since":"2030-01-31T12:00:00Z","endpoint_id":"7"}"#),
            "endpoint_id"
        );
        let backwards = r#"{"since":"2030-01-31T12:00:00Z","until":"2030-01-31T12:00:00Z"}"#;
        assert_eq!(param(backwards), "until");
    }
}
