//! The handlers, one file per thing a customer talks about. They read a request's shape, call one service, and write its
//! answer; they decide nothing.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod audit_log;
pub(crate) mod cache;
pub(crate) mod callback;
pub(crate) mod chat;
pub(crate) mod cover;
pub(crate) mod doubt;
mod ended;
pub(crate) mod fields;
pub(crate) mod file;
mod form;
pub(crate) mod health;
pub(crate) mod images;
pub(crate) mod keys;
pub(crate) mod lyrics;
pub(crate) mod media;
pub(crate) mod models;
pub(crate) mod music;
pub(crate) mod orders;
mod query;
pub(crate) mod quote;
pub(crate) mod range;
pub(crate) mod redeem;
pub(crate) mod responses;
pub(crate) mod speech;
pub(crate) mod task;
pub(crate) mod transcriptions;
pub(crate) mod uploads;
pub(crate) mod usage;
pub(crate) mod voices;
pub(crate) mod webhooks;
pub(crate) mod welcome;

use std::convert::Infallible;

use axum::{
    body::Body,
    extract::{FromRequestParts, Path},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use domain::Micros;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use proto::code;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::ApiError;

/// The name of the header by which a client makes a request safe to repeat.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The name of the header by which a client limits what a request may cost.
const MAX_COST: &str = "x-aio-max-cost-credits";
/// Characters of the longest Idempotency-Key.
const IDEMPOTENCY_KEY_LEN: usize = 255;

/// The parts of a path that vary. What is not UTF-8 becomes empty, which is no id of anything: the handler's own 404.
pub(crate) struct Segments<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Segments<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Default + Send,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        Ok(Self(
            path.map(|Path(segments)| segments).unwrap_or_default(),
        ))
    }
}

/// Says that an answer is that of an earlier request with the same Idempotency-Key.
fn put_replayed(headers: &mut HeaderMap) {
    headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
}

/// Answers in the envelope of our own routes.
fn success<T: Serialize>(status: StatusCode, data: &T) -> Result<Response, ApiError> {
    let data = serde_json::to_vec(data).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written");
        ApiError::internal()
    })?;
    Ok(enveloped(status, &data))
}

/// Answers in the envelope, around JSON that is there already.
fn enveloped(status: StatusCode, data: &[u8]) -> Response {
    let parts: [&[u8]; 3] = [br#"{"code":200,"message":"success","data":"#, data, b"}"];
    json(status, parts.concat().into())
}

/// Answers with JSON.
pub(crate) fn json(status: StatusCode, body: Bytes) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json")];
    (status, headers, Body::from(body)).into_response()
}

/// Forbids to keep an answer that holds a secret.
fn not_kept(mut response: Response) -> Response {
    let value = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, value);
    response
}

/// Writes a header whose value may not be one; then it is left out.
fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The client's Idempotency-Key; empty means none.
fn idempotency_key(headers: &HeaderMap) -> Result<String, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(String::new());
    };
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() || text.len() > IDEMPOTENCY_KEY_LEN {
        let message =
            format!("Idempotency-Key must be 1 to {IDEMPOTENCY_KEY_LEN} visible ASCII characters");
        let fault = proto::Fault::new(code::INVALID_PARAMETER, message).param("Idempotency-Key");
        return Err(fault.into());
    }
    Ok(text.to_owned())
}

/// The client's own limit of what the request may cost, in micro-credits; 0 means none.
fn max_cost(headers: &HeaderMap) -> Result<i64, ApiError> {
    let mut values = headers.get_all(MAX_COST).iter();
    let Some(value) = values.next() else {
        return Ok(0);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let amount = Micros::parse_credits(text).ok();
    match (
        amount.filter(|amount| *amount > Micros::ZERO),
        values.next(),
    ) {
        (Some(amount), None) => Ok(amount.get()),
        (Some(_), Some(_)) | (None, _) => {
            let message = format!(
                "{MAX_COST} must be one number of credits above 0, such as 2.5, with at most 6 decimal places"
            );
            let fault = proto::Fault::new(code::INVALID_PARAMETER, message).param(MAX_COST);
            Err(fault.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_cost_is_one_number_above_zero() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(MAX_COST, HeaderValue::from_str(value).unwrap());
            }
            max_cost(&headers).map_err(|error| error.fault().param.clone())
        };
        assert_eq!(read(&[]), Ok(0));
        assert_eq!(read(&["2.5"]), Ok(2_500_000));
        assert_eq!(read(&[" 0.000001 "]), Ok(1));
        for wrong in [
            &["0"][..],
            &["-1"],
            &[""],
            &["cheap"],
            &["1.1234567"],
            &["1", "2"],
            &["9e99"],
        ] {
            assert_eq!(read(wrong), Err(Some(MAX_COST.to_owned())), "{wrong:?}");
        }
    }
}
