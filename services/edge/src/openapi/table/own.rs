//! What a customer looks after: balance, usage, orders, keys.

use http::Method;

use super::{Doc, Gives, PAGE, Query, Takes, row};
use crate::{
    http::{
        account::Credits,
        audit_log,
        keys::show::{Key, NewKey, RevokedKey, RotatedKey},
        orders, redeem, usage,
    },
    openapi::{
        bodies::{AlertRequest, KeyChange, KeyRequest, OrderRequest, RedeemRequest, RotateRequest},
        shapes::{self, Shape},
    },
};

pub(super) fn credits() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Money", summary);
    let credits: Shape = shapes::of::<Credits>;
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
    ]
}

pub(super) fn usage() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Money", summary);
    vec![
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
    ]
}

pub(super) fn orders() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Money", summary);
    let order: Shape = shapes::of::<orders::Order>;
    vec![
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
        row(
            Method::POST,
            "/callbacks/{token}",
            "Hears a provider that was given this address with a job",
        )
        .takes(Takes::Anything)
        .gives(Gives::Data("200", shapes::of::<orders::Received>)),
    ]
}

pub(super) fn keys() -> Vec<Doc> {
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
