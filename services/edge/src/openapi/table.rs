//! What is told of each route, beside what the router knows: a row for each, in the router's order.

use http::Method;

use super::{
    answers::{ChatCompletion, Embeddings, Message, Model, ModelList, Response, Task, TokenCount},
    bodies::{
        AccountChange, AccountKeyRequest, AccountRequest, AlertRequest, ChatRequest,
        CountTokensRequest, CreditsRequest, EmbeddingsRequest, EndpointRequest, KeyChange,
        KeyRequest, MessagesRequest, OrderRequest, QuoteRequest, RedeemCodesRequest, RedeemRequest,
        ResponsesRequest, RotateRequest, UploadForm,
    },
    shapes::{self, Shape},
};
use crate::http::{
    account::Credits,
    admin::{self, Account, FrozenAccount, NewAccount, UnknownAttempt},
    audit_log,
    keys::show::{Key, NewKey, RevokedKey, RotatedKey},
    orders, quote, redeem, responses, uploads, usage, webhooks,
};

/// What is told of a route.
pub(super) struct Doc {
    pub(super) method: Method,
    /// As the router has it.
    pub(super) path: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    pub(super) query: &'static [Query],
    /// Whether it takes the headers of paid requests.
    pub(super) paid: bool,
    pub(super) takes: Takes,
    pub(super) gives: Gives,
}

/// A parameter of the query: its name, and what it says.
pub(super) struct Query(pub(super) &'static str, pub(super) &'static str);

/// What a route takes as its body.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    Nothing,
    Json(Shape),
    /// JSON, or nothing.
    Perhaps(Shape),
    Form(Shape),
    /// Somebody else's JSON.
    Anything,
    /// One of the requests of the route's models.
    Models,
}

/// What a route gives when all is well.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// In our envelope.
    Data(&'static str, Shape),
    /// A page of them, in our envelope.
    Page(&'static str, Shape),
    /// As it is: in another API's shape.
    Bare(&'static str, Shape),
    /// As it is, or event by event.
    Streamed(Shape),
    /// In our envelope, or as a table.
    Table(Shape),
    /// A task.
    Accepted,
    /// A task, or pictures in OpenAI's shape.
    AcceptedOrPictures,
    /// A task, event by event.
    Events,
    /// A file.
    Bytes,
}

const PAGE: [Query; 2] = [
    Query("limit", "The most entries of the page."),
    Query("cursor", "The `next_cursor` of the page before."),
];

/// Every route that needs more than an address.
pub(super) fn docs() -> Vec<Doc> {
    [
        chat(),
        tasks(),
        models(),
        files(),
        money(),
        keys(),
        told(),
        operator(),
        codes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

const fn row(method: Method, path: &'static str, tag: &'static str, summary: &'static str) -> Doc {
    Doc {
        method,
        path,
        tag,
        summary,
        query: &[],
        paid: false,
        takes: Takes::Nothing,
        gives: Gives::Bytes,
    }
}

// === impl Doc ===

impl Doc {
    fn query(self, query: &'static [Query]) -> Self {
        Self { query, ..self }
    }

    fn paid(self) -> Self {
        Self { paid: true, ..self }
    }

    fn takes(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }

    fn gives(self, gives: Gives) -> Self {
        Self { gives, ..self }
    }
}

fn chat() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Chat", summary);
    vec![
        row(
            Method::POST,
            "/chat/completions",
            "A chat completion, by OpenAI's API",
        )
        .paid()
        .takes(Takes::Json(shapes::of::<ChatRequest>))
        .gives(Gives::Streamed(shapes::of::<ChatCompletion>)),
        row(
            Method::POST,
            "/messages",
            "A chat completion, by Anthropic's API",
        )
        .paid()
        .takes(Takes::Json(shapes::of::<MessagesRequest>))
        .gives(Gives::Streamed(shapes::of::<Message>)),
        row(
            Method::POST,
            "/messages/count_tokens",
            "How many tokens a request has, by our own count; free",
        )
        .takes(Takes::Json(shapes::of::<CountTokensRequest>))
        .gives(Gives::Bare("200", shapes::of::<TokenCount>)),
        row(
            Method::POST,
            "/responses",
            "A chat completion, by OpenAI's Responses API",
        )
        .paid()
        .takes(Takes::Json(shapes::of::<ResponsesRequest>))
        .gives(Gives::Streamed(shapes::of::<Response>)),
        row(Method::GET, "/responses/{id}", "A response that is kept")
            .gives(Gives::Bare("200", shapes::of::<Response>)),
        row(Method::DELETE, "/responses/{id}", "Forgets a response")
            .gives(Gives::Bare("200", shapes::of::<responses::Deleted<'_>>)),
        row(Method::POST, "/embeddings", "Vectors, by OpenAI's API")
            .paid()
            .takes(Takes::Json(shapes::of::<EmbeddingsRequest>))
            .gives(Gives::Bare("200", shapes::of::<Embeddings>)),
    ]
}

fn tasks() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Tasks", summary);
    let submit = |path, summary| {
        row(Method::POST, path, summary)
            .paid()
            .takes(Takes::Models)
            .gives(Gives::Accepted)
    };
    let task: Shape = shapes::of::<Task>;
    vec![
        submit("/images/generations", "Submits a task that makes pictures")
            .gives(Gives::AcceptedOrPictures),
        submit("/videos/generations", "Submits a task that makes a video"),
        submit(
            "/images/tools/remove-bg",
            "Submits a task that removes a picture's background",
        ),
        submit(
            "/images/tools/upscale",
            "Submits a task that makes a picture larger",
        ),
        submit(
            "/images/tools/face-swap",
            "Submits a task that puts another face into a picture",
        ),
        row(Method::GET, "/tasks", "Tasks, the newest first")
            .query(
                const {
                    &[
                        Query("limit", "1 to 100; usually 20."),
                        Query("cursor", "The `next_cursor` of the page before."),
                        Query("status", "`queued`, `processing`, `completed` or `failed`."),
                        Query("model", "Of this model."),
                        Query("created_from", "From this moment on (RFC 3339)."),
                        Query("created_until", "Before this moment (RFC 3339)."),
                    ]
                },
            )
            .gives(Gives::Page("200", task)),
        row(Method::GET, "/tasks/{id}", "How a task stands").gives(Gives::Data("200", task)),
        row(
            Method::POST,
            "/tasks/{id}/cancel",
            "Cancels a task, as far as its model and its provider allow",
        )
        .gives(Gives::Data("200", task)),
        row(
            Method::GET,
            "/tasks/{id}/events",
            "How a task stands, live, until it ends",
        )
        .gives(Gives::Events),
        row(
            Method::GET,
            "/tasks/{id}/files/{n}",
            "An output; ranges are served",
        )
        .query(
            const {
                &[
                    Query("exp", "Of a signed link."),
                    Query("sig", "Of a signed link."),
                ]
            },
        ),
    ]
}

fn models() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Models", summary);
    vec![
        row(Method::GET, "/models", "The models that the key may use")
            .gives(Gives::Bare("200", shapes::of::<ModelList>)),
        row(
            Method::GET,
            "/models/{*id}",
            "A model, by its name or another name of it",
        )
        .gives(Gives::Bare("200", shapes::of::<Model>)),
        row(Method::GET, "/openapi.json", "This document").gives(Gives::Bare("200", anything)),
        row(
            Method::POST,
            "/quote",
            "What a paid request would cost; charges nothing",
        )
        .takes(Takes::Json(shapes::of::<QuoteRequest>))
        .gives(Gives::Data("200", shapes::of::<quote::Quoted>)),
    ]
}

/// An object of any kind.
fn anything(_shapes: &mut shapes::Shapes) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    utoipa::openapi::ObjectBuilder::new().into()
}

fn files() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Files", summary);
    let file: Shape = shapes::of::<uploads::Shown>;
    vec![
        row(Method::POST, "/files", "Uploads a file")
            .takes(Takes::Form(shapes::of::<UploadForm>))
            .gives(Gives::Bare("200", file)),
        row(Method::GET, "/files", "Files")
            .query(
                const {
                    &[
                        Query("limit", "The most files of the page."),
                        Query("after", "The last file of the page before."),
                        Query("order", "By age: `asc` or `desc`."),
                        Query("purpose", "For this purpose."),
                    ]
                },
            )
            .gives(Gives::Bare("200", shapes::of::<uploads::Page>)),
        row(Method::GET, "/files/{id}", "A file").gives(Gives::Bare("200", file)),
        row(
            Method::GET,
            "/files/{id}/content",
            "A file's bytes; ranges are served",
        ),
        row(Method::DELETE, "/files/{id}", "Deletes a file")
            .gives(Gives::Bare("200", shapes::of::<uploads::Deleted>)),
    ]
}

fn money() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Money", summary);
    let (credits, order): (Shape, Shape) = (shapes::of::<Credits>, shapes::of::<orders::Order>);
    vec![
        row(Method::GET, "/credits", "The balance of the key's mode")
            .gives(Gives::Data("200", credits)),
        row(
            Method::PUT,
            "/credits/alert",
            "From what balance on you are told that it is low",
        )
        .takes(Takes::Json(shapes::of::<AlertRequest>))
        .gives(Gives::Data("200", credits)),
        row(Method::POST, "/credits/redeem", "Redeems a code")
            .takes(Takes::Json(shapes::of::<RedeemRequest>))
            .gives(Gives::Data("200", shapes::of::<redeem::Redeemed>)),
        row(
            Method::POST,
            "/credits/test/reset",
            "Puts the account's play money back to the default",
        )
        .gives(Gives::Data("200", credits)),
        row(Method::GET, "/usage", "What was used, summed up")
            .query(
                const {
                    &[
                        Query("from", "The first day, such as `2030-01-31`."),
                        Query("to", "The last day."),
                        Query(
                            "group_by",
                            "Any of `day`, `key`, `model`, `route`, with commas between.",
                        ),
                        Query("format", "`json` or `csv`."),
                        Query("user", "Of this label."),
                    ]
                },
            )
            .gives(Gives::Table(shapes::of::<usage::Usage>)),
        row(
            Method::GET,
            "/operations",
            "Operations that have ended, the newest first",
        )
        .query(
            const {
                &[
                    Query("limit", "The most operations of the page."),
                    Query("cursor", "The `next_cursor` of the page before."),
                    Query("model", "Of this model."),
                    Query("key_id", "Of this key."),
                    Query("user", "Of this label."),
                ]
            },
        )
        .gives(Gives::Page("200", shapes::of::<usage::Operation>)),
        row(
            Method::GET,
            "/operations/{id}/receipt",
            "What an operation cost, and why",
        )
        .gives(Gives::Data("200", shapes::of::<usage::Receipt>)),
        row(Method::GET, "/orders/packs", "What can be bought")
            .gives(Gives::Page("200", shapes::of::<orders::Pack>)),
        row(
            Method::POST,
            "/orders",
            "Orders a pack, to be paid at its `checkout_url`",
        )
        .takes(Takes::Json(shapes::of::<OrderRequest>))
        .gives(Gives::Data("201", order)),
        row(Method::GET, "/orders", "Orders, the newest first")
            .query(&PAGE)
            .gives(Gives::Page("200", order)),
        row(Method::GET, "/orders/{id}", "An order").gives(Gives::Data("200", order)),
        row(
            Method::POST,
            "/payments/stripe/webhook",
            "Takes Stripe's events",
        )
        .takes(Takes::Anything)
        .gives(Gives::Data("200", shapes::of::<orders::Received>)),
    ]
}

fn keys() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Keys", summary);
    let key: Shape = shapes::of::<Key>;
    vec![
        row(Method::GET, "/keys", "Your keys")
            .query(&PAGE)
            .gives(Gives::Page("200", key)),
        row(Method::POST, "/keys", "Makes a key, and shows it once")
            .takes(Takes::Json(shapes::of::<KeyRequest>))
            .gives(Gives::Data("201", shapes::of::<NewKey>)),
        row(
            Method::POST,
            "/keys/{id}/rotate",
            "Gives a key another secret, and shows it once",
        )
        .takes(Takes::Perhaps(shapes::of::<RotateRequest>))
        .gives(Gives::Data("200", shapes::of::<RotatedKey>)),
        row(Method::PATCH, "/keys/{id}", "Changes a key")
            .takes(Takes::Json(shapes::of::<KeyChange>))
            .gives(Gives::Data("200", key)),
        row(Method::DELETE, "/keys/{id}", "Revokes a key")
            .gives(Gives::Data("200", shapes::of::<RevokedKey>)),
        row(
            Method::GET,
            "/audit-log",
            "Who changed your keys and credit, the newest first",
        )
        .query(&PAGE)
        .gives(Gives::Page("200", shapes::of::<audit_log::Entry>)),
    ]
}

fn told() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Webhooks", summary);
    let endpoint: Shape = shapes::of::<webhooks::Endpoint>;
    vec![
        row(
            Method::GET,
            "/webhooks/secret",
            "The secret that signs your callbacks",
        )
        .gives(Gives::Data("200", shapes::of::<webhooks::Secret>)),
        row(
            Method::GET,
            "/webhooks/endpoints",
            "Who is told what happens to your account",
        )
        .gives(Gives::Page("200", endpoint)),
        row(
            Method::POST,
            "/webhooks/endpoints",
            "Registers an endpoint, and shows its secret once",
        )
        .takes(Takes::Json(shapes::of::<EndpointRequest>))
        .gives(Gives::Data("201", endpoint)),
        row(
            Method::DELETE,
            "/webhooks/endpoints/{id}",
            "Removes an endpoint",
        )
        .gives(Gives::Data("200", shapes::of::<webhooks::Removed>)),
    ]
}

fn operator() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Operator", summary);
    let (frozen, key): (Shape, Shape) = (shapes::of::<FrozenAccount>, shapes::of::<Key>);
    vec![
        row(Method::POST, "/admin/accounts", "Makes an account")
            .takes(Takes::Json(shapes::of::<AccountRequest>))
            .gives(Gives::Data("201", shapes::of::<NewAccount>)),
        row(Method::GET, "/admin/accounts", "Accounts")
            .query(&PAGE)
            .gives(Gives::Page("200", shapes::of::<Account>)),
        row(
            Method::PATCH,
            "/admin/accounts/{id}",
            "Changes what an account pays of every price",
        )
        .takes(Takes::Json(shapes::of::<AccountChange>))
        .gives(Gives::Data("200", shapes::of::<Account>)),
        row(
            Method::GET,
            "/admin/price-lists/{version}",
            "The price list that a receipt names",
        )
        .gives(Gives::Data("200", shapes::of::<admin::prices::PriceList>)),
        row(
            Method::POST,
            "/admin/accounts/{id}/credits",
            "Gives or takes credit",
        )
        .takes(Takes::Json(shapes::of::<CreditsRequest>))
        .gives(Gives::Data("200", shapes::of::<Credits>)),
        row(
            Method::POST,
            "/admin/accounts/{id}/freeze",
            "Stops an account",
        )
        .gives(Gives::Data("200", frozen)),
        row(
            Method::POST,
            "/admin/accounts/{id}/unfreeze",
            "Lets an account go on",
        )
        .gives(Gives::Data("200", frozen)),
        row(
            Method::POST,
            "/admin/accounts/{id}/keys",
            "Makes a key of an account, and shows it once",
        )
        .takes(Takes::Json(shapes::of::<AccountKeyRequest>))
        .gives(Gives::Data("201", shapes::of::<NewKey>)),
        row(
            Method::GET,
            "/admin/accounts/{id}/keys",
            "Keys of an account",
        )
        .query(&PAGE)
        .gives(Gives::Page("200", key)),
        row(
            Method::POST,
            "/admin/keys/{id}/rotate",
            "Gives any key another secret",
        )
        .takes(Takes::Perhaps(shapes::of::<RotateRequest>))
        .gives(Gives::Data("200", shapes::of::<RotatedKey>)),
        row(Method::PATCH, "/admin/keys/{id}", "Changes any key")
            .takes(Takes::Json(shapes::of::<KeyChange>))
            .gives(Gives::Data("200", key)),
        row(Method::DELETE, "/admin/keys/{id}", "Revokes any key")
            .gives(Gives::Data("200", shapes::of::<RevokedKey>)),
        row(
            Method::GET,
            "/admin/audit-log",
            "Who changed what, the newest first",
        )
        .query(
            const {
                &[
                    Query("limit", "The most entries of the page."),
                    Query("cursor", "The `next_cursor` of the page before."),
                    Query("account_id", "Of this account."),
                ]
            },
        )
        .gives(Gives::Page("200", shapes::of::<audit_log::Entry>)),
        row(Method::GET, "/admin/ledger/audit", "Replays the ledger")
            .gives(Gives::Data("200", shapes::of::<admin::Audit>)),
        row(
            Method::GET,
            "/admin/tasks/unknown",
            "Paid submits whose outcome stayed unknown",
        )
        .query(const { &[Query("limit", "The most of them.")] })
        .gives(Gives::Page("200", shapes::of::<UnknownAttempt>)),
    ]
}

fn codes() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Operator", summary);
    let code: Shape = shapes::of::<redeem::Code>;
    vec![
        row(
            Method::POST,
            "/admin/redeem-codes",
            "Makes redeem codes, and shows them once",
        )
        .takes(Takes::Json(shapes::of::<RedeemCodesRequest>))
        .gives(Gives::Page("201", code)),
        row(
            Method::GET,
            "/admin/redeem-codes",
            "Redeem codes, the newest first",
        )
        .query(&PAGE)
        .gives(Gives::Page("200", code)),
        row(
            Method::DELETE,
            "/admin/redeem-codes/{id}",
            "Revokes a redeem code",
        )
        .gives(Gives::Data("200", shapes::of::<redeem::Revoked>)),
    ]
}
