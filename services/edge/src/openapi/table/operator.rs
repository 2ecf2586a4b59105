//! What operators look after: accounts, keys, codes, books.

use http::Method;

use super::{Doc, Gives, PAGE, Query, Takes, row};
use crate::{
    http::{
        account::Credits,
        admin::{self, Account, FrozenAccount, NewAccount, UnknownAttempt},
        audit_log,
        keys::show::{Key, NewKey, RevokedKey, RotatedKey},
        redeem,
    },
    openapi::{
        answers::{TaskLine, TaskStory},
        bodies::{
            AccountChange, AccountKeyRequest, AccountRequest, CreditsRequest, KeyChange,
            RedeemCodesRequest, RequeueRequest, RetentionRequest, RotateRequest,
        },
        shapes::{self, Shape},
    },
};

pub(super) fn accounts() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Operator", summary);
    let frozen: Shape = shapes::of::<FrozenAccount>;
    let retention: Shape = shapes::of::<admin::retention::Shown>;
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
            Method::GET,
            "/admin/accounts/{id}/retention",
            "How long an account's files are kept",
        )
        .gives(Gives::Data("200", retention)),
        row(
            Method::PUT,
            "/admin/accounts/{id}/retention",
            "Says how long an account's files are kept from now on",
        )
        .takes(Takes::Json(shapes::of::<RetentionRequest>))
        .gives(Gives::Data("200", retention)),
    ]
}

pub(super) fn keys() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Operator", summary);
    let key: Shape = shapes::of::<Key>;
    vec![
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
    ]
}

pub(super) fn books() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Operator", summary);
    vec![
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
    ]
}

pub(super) fn tasks() -> Vec<Doc> {
    let row = |method, path, summary| row(method, path, "Operator", summary);
    let story: Shape = shapes::of::<TaskStory>;
    vec![
        row(
            Method::GET,
            "/admin/tasks",
            "Tasks of anybody, the newest first",
        )
        .query(
            const {
                &[
                    Query("limit", "The most tasks of the page."),
                    Query("cursor", "The `next_cursor` of the page before."),
                    Query("status", "`queued`, `processing`, `completed` or `failed`."),
                    Query("model", "Of this model."),
                    Query("provider", "That this provider has."),
                    Query("account_id", "Of this account."),
                    Query(
                        "older_than",
                        "Submitted longer ago than that, such as `10m`.",
                    ),
                ]
            },
        )
        .gives(Gives::Page("200", shapes::of::<TaskLine>)),
        row(Method::GET, "/admin/tasks/{id}", "What became of a task")
            .gives(Gives::Data("200", story)),
        row(
            Method::POST,
            "/admin/tasks/{id}/requeue",
            "Puts an open task back into the queue",
        )
        .takes(Takes::Perhaps(shapes::of::<RequeueRequest>))
        .gives(Gives::Data("200", story)),
        row(
            Method::POST,
            "/admin/tasks/{id}/cancel",
            "Ends an open task, free",
        )
        .gives(Gives::Data("200", story)),
        row(
            Method::GET,
            "/admin/tasks/unknown",
            "Paid submits whose outcome stayed unknown",
        )
        .query(const { &[Query("limit", "The most of them.")] })
        .gives(Gives::Page("200", shapes::of::<UnknownAttempt>)),
    ]
}

pub(super) fn codes() -> Vec<Doc> {
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
