//! The one table of URLs, and the routers made of it. Every route of the API is served below `/api/v1` and below `/v1`.

use std::sync::Arc;

use axum::{
    Router,
    routing::{MethodRouter, delete, get, patch, post, put},
};
use domain::Scope;
use http::Method;
use proto::{Fault, code};

use crate::{
    Door, Gate,
    error::ApiError,
    http::{
        account, admin, audit_log, callback, chat, cover, file, health, keys, media, models, music,
        orders, quote, redeem, responses, task, transcriptions, uploads, usage, voices, webhooks,
        welcome,
    },
    observe::ObserveLayer,
    openapi,
};

/// Where the routes of the API are served.
const PREFIXES: [&str; 2] = ["/api/v1", "/v1"];

/// One route, as the outside sees it.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path: of the API's routes below `/api/v1`, of others as it is.
    pub path: &'static str,
    /// What it needs. The handler's signature demands the same; a test compares.
    pub access: Access,
    serve: fn() -> MethodRouter<Gate>,
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing, and it is served beside the API.
    Open,
    /// Nothing.
    Public,
    /// Any good key.
    Key,
    /// A key with this scope.
    Scope(Scope),
    /// A key with one of these scopes.
    Either(Scope, Scope),
    /// A signed link, or a key with scope `read`.
    Link,
    /// A signed link, or a key with one of these scopes.
    LinkOr(Scope, Scope),
    /// No key: the request itself is signed.
    Signed,
    /// No key: nobody can guess the path.
    Capability,
}

const INFERENCE: Access = Access::Scope(Scope::Inference);
const READ: Access = Access::Scope(Scope::Read);
const QUOTING: Access = Access::Either(Scope::Inference, Scope::Read);
const KEPT: Access = Access::Either(Scope::Inference, Scope::Read);
const LINK_OR_KEPT: Access = Access::LinkOr(Scope::Inference, Scope::Read);
const MANAGE: Access = Access::Scope(Scope::Manage);
const ADMIN: Access = Access::Scope(Scope::Admin);

/// The table.
static ROUTES: &[Route] = &[
    row(Method::GET, "/", Access::Open, || get(welcome::page)),
    row(Method::GET, "/docs/errors.md", Access::Open, || {
        get(welcome::errors)
    }),
    row(Method::GET, "/healthz", Access::Open, || get(health::alive)),
    row(Method::GET, "/readyz", Access::Open, || get(health::ready)),
    row(Method::POST, "/chat/completions", INFERENCE, || {
        post(chat::complete)
    }),
    row(Method::POST, "/messages", INFERENCE, || {
        post(chat::messages)
    }),
    row(Method::POST, "/messages/count_tokens", QUOTING, || {
        post(quote::count_tokens)
    }),
    row(Method::POST, "/responses", INFERENCE, || {
        post(chat::respond)
    }),
    row(Method::GET, "/responses/{id}", KEPT, || get(responses::get)),
    row(Method::DELETE, "/responses/{id}", INFERENCE, || {
        delete(responses::delete)
    }),
    row(Method::POST, "/embeddings", INFERENCE, || post(chat::embed)),
    row(Method::POST, "/files", INFERENCE, || post(uploads::create)),
    row(Method::GET, "/files", KEPT, || get(uploads::list)),
    row(Method::GET, "/files/{id}", KEPT, || get(uploads::get)),
    row(Method::GET, "/files/{id}/content", LINK_OR_KEPT, || {
        get(uploads::content)
    }),
    row(Method::DELETE, "/files/{id}", INFERENCE, || {
        delete(uploads::delete)
    }),
    row(Method::POST, "/images/generations", INFERENCE, || {
        media::accepting("images/generations")
    }),
    row(Method::POST, "/videos/generations", INFERENCE, || {
        media::accepting("videos/generations")
    }),
    row(Method::POST, "/audio/music", INFERENCE, || {
        media::accepting("audio/music")
    }),
    row(Method::GET, "/audio/music/feed", READ, || get(music::feed)),
    row(Method::POST, "/audio/music/extend", INFERENCE, || {
        media::accepting("audio/music/extend")
    }),
    row(
        Method::POST,
        "/audio/music/cover/generate",
        INFERENCE,
        || media::accepting("audio/music/cover/generate"),
    ),
    row(Method::GET, "/audio/music/cover/status", READ, || {
        get(cover::status)
    }),
    row(
        Method::POST,
        "/audio/music/upload-cover/generate",
        INFERENCE,
        || media::accepting("audio/music/upload-cover/generate"),
    ),
    row(
        Method::GET,
        "/audio/music/upload-cover/status",
        READ,
        || get(music::upload_status),
    ),
    row(
        Method::POST,
        "/audio/music/timestamped-lyrics",
        INFERENCE,
        || media::accepting("audio/music/timestamped-lyrics"),
    ),
    row(Method::POST, "/audio/speech", INFERENCE, || {
        media::accepting("audio/speech")
    }),
    row(Method::GET, "/audio/voices", Access::Key, || {
        get(voices::list)
    }),
    row(Method::POST, "/audio/transcriptions", INFERENCE, || {
        post(transcriptions::create)
    }),
    row(Method::POST, "/images/tools/remove-bg", INFERENCE, || {
        media::accepting("images/tools/remove-bg")
    }),
    row(Method::POST, "/images/tools/upscale", INFERENCE, || {
        media::accepting("images/tools/upscale")
    }),
    row(Method::POST, "/images/tools/face-swap", INFERENCE, || {
        media::accepting("images/tools/face-swap")
    }),
    row(Method::POST, "/videos/tools/bg-remover", INFERENCE, || {
        media::accepting("videos/tools/bg-remover")
    }),
    row(Method::POST, "/videos/tools/upscale", INFERENCE, || {
        media::accepting("videos/tools/upscale")
    }),
    row(Method::POST, "/quote", QUOTING, || post(quote::quote)),
    row(Method::GET, "/models", Access::Key, || get(models::list)),
    row(Method::GET, "/models/{*id}", Access::Key, || {
        get(models::get)
    }),
    row(Method::GET, "/openapi.json", Access::Public, || {
        get(openapi::get)
    }),
    row(Method::GET, "/docs", Access::Public, || get(openapi::pages)),
    row(Method::GET, "/tasks", READ, || get(task::list)),
    row(Method::GET, "/tasks/{id}", READ, || get(task::get)),
    row(Method::POST, "/tasks/{id}/cancel", INFERENCE, || {
        post(task::cancel)
    }),
    row(
        Method::POST,
        "/callbacks/{token}",
        Access::Capability,
        || post(callback::hear),
    ),
    row(Method::GET, "/tasks/{id}/events", READ, || {
        get(task::events)
    }),
    row(Method::GET, "/tasks/{id}/files/{n}", Access::Link, || {
        get(file::get)
    }),
    row(Method::DELETE, "/tasks/{id}/files/{n}", INFERENCE, || {
        delete(task::delete_file)
    }),
    row(Method::GET, "/credits", READ, || get(account::credits)),
    row(Method::PUT, "/credits/alert", MANAGE, || {
        put(account::set_alert)
    }),
    row(Method::GET, "/usage", READ, || get(usage::usage)),
    row(Method::GET, "/operations", READ, || get(usage::operations)),
    row(Method::GET, "/operations/{id}/receipt", READ, || {
        get(usage::receipt)
    }),
    row(Method::GET, "/keys", MANAGE, || get(keys::list)),
    row(Method::POST, "/keys", MANAGE, || post(keys::create)),
    row(Method::POST, "/keys/{id}/rotate", MANAGE, || {
        post(keys::rotate)
    }),
    row(Method::PATCH, "/keys/{id}", MANAGE, || patch(keys::update)),
    row(Method::DELETE, "/keys/{id}", MANAGE, || {
        delete(keys::revoke)
    }),
    row(Method::GET, "/audit-log", MANAGE, || get(audit_log::own)),
    row(Method::GET, "/orders/packs", Access::Key, || {
        get(orders::packs)
    }),
    row(Method::POST, "/orders", MANAGE, || post(orders::create)),
    row(Method::GET, "/orders", READ, || get(orders::list)),
    row(Method::GET, "/orders/{id}", READ, || get(orders::get)),
    row(
        Method::POST,
        "/payments/stripe/webhook",
        Access::Signed,
        || post(orders::stripe_event),
    ),
    row(Method::POST, "/credits/redeem", MANAGE, || {
        post(redeem::redeem)
    }),
    row(Method::POST, "/credits/test/reset", MANAGE, || {
        post(redeem::reset_test_balance)
    }),
    row(Method::POST, "/admin/redeem-codes", ADMIN, || {
        post(redeem::create)
    }),
    row(Method::GET, "/admin/redeem-codes", ADMIN, || {
        get(redeem::list)
    }),
    row(Method::DELETE, "/admin/redeem-codes/{id}", ADMIN, || {
        delete(redeem::revoke)
    }),
    row(Method::GET, "/webhooks/secret", MANAGE, || {
        get(webhooks::secret)
    }),
    row(Method::POST, "/webhooks/secret/rotate", MANAGE, || {
        post(webhooks::rotate_secret)
    }),
    row(Method::GET, "/webhooks/endpoints", MANAGE, || {
        get(webhooks::list)
    }),
    row(Method::POST, "/webhooks/endpoints", MANAGE, || {
        post(webhooks::create)
    }),
    row(Method::GET, "/webhooks/endpoints/{id}", MANAGE, || {
        get(webhooks::get)
    }),
    row(Method::PATCH, "/webhooks/endpoints/{id}", MANAGE, || {
        patch(webhooks::update)
    }),
    row(Method::DELETE, "/webhooks/endpoints/{id}", MANAGE, || {
        delete(webhooks::remove)
    }),
    row(
        Method::POST,
        "/webhooks/endpoints/{id}/rotate-secret",
        MANAGE,
        || post(webhooks::rotate),
    ),
    row(
        Method::POST,
        "/webhooks/endpoints/{id}/test",
        MANAGE,
        || post(webhooks::test),
    ),
    row(
        Method::POST,
        "/webhooks/endpoints/{id}/recover",
        MANAGE,
        || post(webhooks::recover_endpoint),
    ),
    row(Method::GET, "/webhooks/deliveries", MANAGE, || {
        get(webhooks::deliveries)
    }),
    row(Method::GET, "/webhooks/deliveries/{id}", MANAGE, || {
        get(webhooks::delivery)
    }),
    row(
        Method::POST,
        "/webhooks/deliveries/{id}/replay",
        MANAGE,
        || post(webhooks::replay),
    ),
    row(Method::POST, "/webhooks/deliveries/recover", MANAGE, || {
        post(webhooks::recover)
    }),
    row(Method::POST, "/admin/accounts", ADMIN, || {
        post(admin::create_account)
    }),
    row(Method::GET, "/admin/accounts", ADMIN, || {
        get(admin::list_accounts)
    }),
    row(Method::PATCH, "/admin/accounts/{id}", ADMIN, || {
        patch(admin::prices::update_account)
    }),
    row(Method::GET, "/admin/price-lists/{version}", ADMIN, || {
        get(admin::prices::price_list)
    }),
    row(Method::POST, "/admin/accounts/{id}/credits", ADMIN, || {
        post(admin::add_credits)
    }),
    row(Method::POST, "/admin/accounts/{id}/freeze", ADMIN, || {
        post(admin::freeze)
    }),
    row(Method::POST, "/admin/accounts/{id}/unfreeze", ADMIN, || {
        post(admin::unfreeze)
    }),
    row(Method::GET, "/admin/accounts/{id}/retention", ADMIN, || {
        get(admin::retention::show)
    }),
    row(Method::PUT, "/admin/accounts/{id}/retention", ADMIN, || {
        put(admin::retention::set)
    }),
    row(Method::POST, "/admin/accounts/{id}/keys", ADMIN, || {
        post(keys::admin::create)
    }),
    row(Method::GET, "/admin/accounts/{id}/keys", ADMIN, || {
        get(keys::admin::list)
    }),
    row(Method::POST, "/admin/keys/{id}/rotate", ADMIN, || {
        post(keys::admin::rotate)
    }),
    row(Method::PATCH, "/admin/keys/{id}", ADMIN, || {
        patch(keys::admin::update)
    }),
    row(Method::DELETE, "/admin/keys/{id}", ADMIN, || {
        delete(keys::admin::revoke)
    }),
    row(Method::GET, "/admin/audit-log", ADMIN, || {
        get(audit_log::all)
    }),
    row(Method::GET, "/admin/ledger/audit", ADMIN, || {
        get(admin::audit)
    }),
    row(Method::GET, "/admin/tasks", ADMIN, || {
        get(admin::tasks::list)
    }),
    row(Method::GET, "/admin/tasks/{id}", ADMIN, || {
        get(admin::tasks::show)
    }),
    row(Method::POST, "/admin/tasks/{id}/requeue", ADMIN, || {
        post(admin::tasks::requeue)
    }),
    row(Method::POST, "/admin/tasks/{id}/cancel", ADMIN, || {
        post(admin::tasks::cancel)
    }),
    row(Method::GET, "/admin/tasks/unknown", ADMIN, || {
        get(admin::unknown_attempts)
    }),
    row(Method::GET, "/admin/webhooks/endpoints", ADMIN, || {
        get(webhooks::admin::list)
    }),
    row(Method::GET, "/admin/webhooks/endpoints/{id}", ADMIN, || {
        get(webhooks::admin::get)
    }),
    row(
        Method::PATCH,
        "/admin/webhooks/endpoints/{id}",
        ADMIN,
        || patch(webhooks::admin::update),
    ),
    row(
        Method::POST,
        "/admin/webhooks/endpoints/{id}/rotate-secret",
        ADMIN,
        || post(webhooks::admin::rotate),
    ),
    row(
        Method::POST,
        "/admin/webhooks/endpoints/{id}/test",
        ADMIN,
        || post(webhooks::admin::test),
    ),
    row(Method::GET, "/admin/webhooks/deliveries", ADMIN, || {
        get(webhooks::admin::deliveries)
    }),
    row(
        Method::GET,
        "/admin/webhooks/deliveries/{id}",
        ADMIN,
        || get(webhooks::admin::delivery),
    ),
    row(
        Method::POST,
        "/admin/webhooks/deliveries/{id}/replay",
        ADMIN,
        || post(webhooks::admin::replay),
    ),
    row(
        Method::POST,
        "/admin/webhooks/deliveries/recover",
        ADMIN,
        || post(webhooks::admin::recover),
    ),
    row(Method::GET, "/admin/webhooks/alert-secret", ADMIN, || {
        get(webhooks::admin::alert_secret)
    }),
];

const fn row(
    method: Method,
    path: &'static str,
    access: Access,
    serve: fn() -> MethodRouter<Gate>,
) -> Route {
    Route {
        method,
        path,
        access,
        serve,
    }
}

/// Every route, in the order of the table.
pub fn routes() -> &'static [Route] {
    ROUTES
}

/// Every path of the table; one that takes several methods comes as often.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    ROUTES.iter().map(|route| route.path)
}

/// A served path as the table has it.
pub(crate) fn below_prefix(path: &str) -> &str {
    PREFIXES
        .iter()
        .find_map(|prefix| path.strip_prefix(prefix))
        .unwrap_or(path)
}

/// The router of one door.
pub(crate) fn router(gate: Gate) -> Router {
    let mut router = Router::new();
    for route in ROUTES.iter().filter(|route| route.is_behind(gate.door)) {
        router = match route.access {
            Access::Open => router.route(route.path, (route.serve)()),
            Access::Public
            | Access::Key
            | Access::Scope(_)
            | Access::Either(..)
            | Access::Link
            | Access::LinkOr(..)
            | Access::Signed
            | Access::Capability => PREFIXES.iter().fold(router, |router, prefix| {
                router.route(&format!("{prefix}{}", route.path), (route.serve)())
            }),
        };
    }
    // The layer goes last, around everything: also around what no route took.
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(ObserveLayer(Arc::clone(&gate.app)))
        .with_state(gate)
}

async fn unknown_route() -> ApiError {
    Fault::of(code::UNKNOWN_ROUTE).into()
}

async fn wrong_method() -> ApiError {
    let message = "the route does not take this method; the header Allow names those it takes";
    ApiError::new(code::METHOD_NOT_ALLOWED, message)
}

// === impl Route ===

impl Route {
    /// The operator's socket has the operator's routes, and health; the public listener has all.
    fn is_behind(&self, door: Door) -> bool {
        match door {
            Door::Public => true,
            Door::Operator => self.access == ADMIN || matches!(self.path, "/healthz" | "/readyz"),
        }
    }
}
