//! `POST /quote`: what a paid request would cost, and `POST /messages/count_tokens`: how long it is. The service that would take the request
//! says it, by the same code.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use chassis::rpc;
use domain::{
    Micros,
    catalogue::{CHAT_ROUTE, EMBEDDINGS_ROUTE, MESSAGES_ROUTE, RESPONSES_ROUTE},
};
use http::StatusCode;
use proto::{
    chat::v1::QuoteRequest as ChatQuote, common::v1::Quote, media::v1::QuoteRequest as MediaQuote,
    price_factor_from_wire,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{
    App, anthropic,
    auth::{Quoting, Scoped},
    body,
    error::ApiError,
    http::{fields::Fields, json, max_cost, media::Shape, responses, success},
    responses::renamed,
};

/// Routes that chat serves.
const TOKEN_ROUTES: [&str; 4] = [
    CHAT_ROUTE,
    EMBEDDINGS_ROUTE,
    MESSAGES_ROUTE,
    RESPONSES_ROUTE,
];

/// A quote.
#[derive(Serialize, ToSchema)]
#[schema(as = Quote)]
pub(crate) struct Quoted {
    #[schema(value_type = f64)]
    expected_credits: Micros,
    #[schema(value_type = f64)]
    max_credits: Micros,
    affordable: bool,
    price_version: String,
    #[schema(value_type = Object)]
    resolved: Box<RawValue>,
    #[schema(value_type = f64)]
    price_factor: Micros,
    expected_microcredits: i64,
    max_microcredits: i64,
}

/// What is read here of what chat makes of a request.
#[derive(Deserialize)]
struct Resolved {
    input_tokens_expected: u64,
}

/// Says what a request would cost, and charges nothing.
pub(crate) async fn quote(
    State(app): State<Arc<App>>,
    caller: Scoped<Quoting>,
    request: Request,
) -> Result<Response, ApiError> {
    let limits = &app.config.limits;
    let max_cost = max_cost(request.headers())?;
    let largest = limits.bodies.chat.max(limits.bodies.media);
    let text = body::read(request, largest, &limits.bodies).await?;
    let (route, body) = asked(&app, &text)?;
    let meant = route.clone();
    let (context, models) = (Some(caller.context()), caller.identity.models.clone());
    let quote = if TOKEN_ROUTES.contains(&route.as_str()) {
        let body = match route.as_str() {
            MESSAGES_ROUTE => anthropic::request::translated(&body)?,
            RESPONSES_ROUTE => responses::open(&app, caller.context(), &body).await?.1,
            _ => body,
        };
        let request = ChatQuote {
            context,
            body,
            models,
            max_cost,
            route,
        };
        let request = rpc::request(request, limits.deadlines.submit);
        let answer = app.clients.chat.clone().quote(request).await;
        answer.map_err(|status| complaint(&meant, status.into()))?
    } else {
        let shape = Shape::of(&app, &route, &body)?;
        let request = MediaQuote {
            context,
            route,
            body: shape.body().cloned().unwrap_or(body),
            models,
            max_cost,
        };
        let request = rpc::request(request, limits.deadlines.submit);
        app.clients.media.clone().quote(request).await?
    };
    success(StatusCode::OK, &Quoted::try_from(quote.into_inner())?)
}

/// How many tokens the input of `POST /messages` probably has, and charges nothing.
pub(crate) async fn count_tokens(
    State(app): State<Arc<App>>,
    caller: Scoped<Quoting>,
    request: Request,
) -> Result<Response, ApiError> {
    let limits = &app.config.limits;
    let body = body::read(request, limits.bodies.chat, &limits.bodies).await?;
    let request = ChatQuote {
        context: Some(caller.context()),
        body: anthropic::request::to_count(&body)?,
        models: caller.identity.models.clone(),
        max_cost: 0,
        route: MESSAGES_ROUTE.to_owned(),
    };
    let request = rpc::request(request, limits.deadlines.submit);
    let quote = app.clients.chat.clone().quote(request).await;
    let quote = quote
        .map_err(|status| complaint(MESSAGES_ROUTE, status.into()))?
        .into_inner();
    let Resolved {
        input_tokens_expected,
    } = serde_json::from_slice(&quote.resolved).map_err(|_| ApiError::internal())?;
    let counted = serde_json::json!({ "input_tokens": input_tokens_expected });
    Ok(json(StatusCode::OK, counted.to_string().into()))
}

/// The route that is meant, and the body for it, as it stands in the text.
fn asked(app: &App, text: &Bytes) -> Result<(String, Bytes), ApiError> {
    let mut routes: Vec<&str> = Vec::new();
    for model in app.catalogue.models() {
        if !routes.contains(&model.route.as_str()) {
            routes.push(&model.route);
        }
    }
    // Routes of the same models in other words.
    routes.extend([MESSAGES_ROUTE, RESPONSES_ROUTE]);
    let mut fields = Fields::parse(text)?;
    let allowed = format!("one of {}", routes.join(", "));
    let known = |word: &str| routes.contains(&word).then(|| word.to_owned());
    let route = fields.word("route", &allowed, known);
    fields.require("route", route.as_ref());
    let body = fields.raw("body");
    fields.require("body", body.as_ref());
    fields.finish()?;
    let body = body.map(|raw| text.slice_ref(raw.get().as_bytes()));
    Ok((route.unwrap_or_default(), body.unwrap_or_default()))
}

/// What chat complains of, by the names that the customer knows.
fn complaint(route: &str, error: ApiError) -> ApiError {
    match route {
        MESSAGES_ROUTE => anthropic::renamed(error.fault().clone()).into(),
        RESPONSES_ROUTE => renamed(error.fault().clone()).into(),
        _ => error,
    }
}

// === impl Quoted ===

impl TryFrom<Quote> for Quoted {
    type Error = ApiError;

    fn try_from(quote: Quote) -> Result<Self, ApiError> {
        let factor = price_factor_from_wire(quote.price_factor)?;
        Ok(Self {
            expected_credits: Micros::new(quote.expected),
            max_credits: Micros::new(quote.max),
            affordable: quote.affordable,
            price_version: quote.price_version,
            resolved: serde_json::from_slice(&quote.resolved).map_err(|_| ApiError::internal())?,
            // A decimal of six places is written as an amount is.
            price_factor: Micros::new(factor.parts_per_million()),
            expected_microcredits: quote.expected,
            max_microcredits: quote.max,
        })
    }
}
