//! `GET /models`: the catalogue, as far as the key may use it, in OpenAI's shape.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use bytes::Bytes;
use chassis::clock::now_micros;
use domain::{Catalogue, Moment, catalogue::Model};
use http::StatusCode;
use proto::{Fault, code};

use crate::{
    App,
    auth::{AnyKey, Scoped},
    error::ApiError,
    http::{Segments, json},
};

/// Every model's listing, written once for each time that its price changes: nothing else of the catalogue does while we run.
pub(crate) struct Listings(Vec<Vec<Dated>>);

/// A listing, from a moment on.
struct Dated {
    from: Option<Moment>,
    listing: Bytes,
}

// === impl Listings ===

impl Listings {
    /// Writes the listings, in the catalogue's order.
    pub(crate) fn new(catalogue: &Catalogue) -> Result<Self, serde_json::Error> {
        let written = catalogue.models().iter().map(Dated::all);
        written.collect::<Result<_, _>>().map(Self)
    }

    /// The listings of now, in the catalogue's order.
    fn now(&self) -> impl Iterator<Item = &Bytes> {
        let now = Moment::from_micros(now_micros());
        let in_force = move |dated: &&Dated| dated.from.is_none_or(|from| from <= now);
        let models = self.0.iter();
        models.filter_map(move |all| Some(&all.iter().filter(in_force).last()?.listing))
    }
}

// === impl Dated ===

impl Dated {
    fn all(model: &Model) -> Result<Vec<Self>, serde_json::Error> {
        let dates = model.prices().map(|price| price.effective_from);
        let written = dates.map(|from| {
            let listing = model.listing(from.unwrap_or_default());
            Ok(Self {
                from,
                listing: serde_json::to_vec(&listing)?.into(),
            })
        });
        written.collect()
    }
}

/// `GET /models`.
pub(crate) async fn list(State(app): State<Arc<App>>, caller: Scoped<AnyKey>) -> Response {
    let listings = app.prepared.listings.now();
    let models = app.catalogue.models().iter().zip(listings);
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
    let listings = app.prepared.listings.now();
    let mut listed = app.catalogue.models().iter().zip(listings);
    let listing = model.and_then(|model| listed.find(|(other, _)| other.slug == model.slug));
    match listing {
        Some((_, listing)) => Ok(json(StatusCode::OK, listing.clone())),
        None => {
            let message = "there is no such model for this key; GET /api/v1/models lists them";
            Err(Fault::new(code::NOT_FOUND, message).param("id").into())
        }
    }
}
