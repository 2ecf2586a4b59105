//! `GET /models`: the catalogue, as far as the key may use it, in OpenAI's shape.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use bytes::Bytes;
use domain::Catalogue;
use http::StatusCode;
use proto::{Fault, code};

use crate::{
    App,
    auth::{AnyKey, Scoped},
    error::ApiError,
    http::{Segments, json},
};

/// Every model's listing, written once: the catalogue does not change while we run.
pub(crate) struct Listings(Vec<Bytes>);

// === impl Listings ===

impl Listings {
    /// Writes the listings, in the catalogue's order.
    pub(crate) fn new(catalogue: &Catalogue) -> Result<Self, serde_json::Error> {
        let written = catalogue
            .models()
            .iter()
            .map(|model| serde_json::to_vec(&model.listing()).map(Bytes::from));
        written.collect::<Result<_, _>>().map(Self)
    }
}

/// `GET /models`.
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Scoped<AnyKey>) -> Response {
    let models = app.catalogue.models().iter().zip(&app.prepared.listings.0);
    let allowed = models.filter(|(model, _)| model.allowed_by(&caller.identity.models));
    let listings: Vec<&[u8]> = allowed.map(|(_, listing)| listing.as_ref()).collect();
    let parts: [&[u8]; 3] = [
        br#"{"object":"list","data":["#,
        &listings.join(&b','),
        b"]}",
    ];
    json(StatusCode::OK, parts.concat().into())
}

/// `GET /models/{id}`, by slug or alias.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    caller: Scoped<AnyKey>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let found = app.catalogue.find(&id);
    let model = found.filter(|model| model.allowed_by(&caller.identity.models));
    let mut listed = app.catalogue.models().iter().zip(&app.prepared.listings.0);
    let listing = model.and_then(|model| listed.find(|(other, _)| other.slug == model.slug));
    match listing {
        Some((_, listing)) => Ok(json(StatusCode::OK, listing.clone())),
        None => {
            let message = "there is no such model for this key; GET /api/v1/models lists them";
            Err(Fault::new(code::NOT_FOUND, message).param("id").into())
        }
    }
}
