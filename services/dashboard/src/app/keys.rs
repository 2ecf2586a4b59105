//! `/keys`: API keys: made, limited, rotated, revoked. What a key may do and spend, billing keeps and checks; here forms are read
//! (`form.rs`) and keys shown (`view.rs`).

mod form;
mod view;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect},
    routing::{get, post},
};
use bytes::Bytes;
use domain::{KeyId, Mode};
use live::Notice;
use proto::{
    Fault,
    billing::v1::{Key, ListKeysRequest, RevokeKeyRequest},
    chat::v1::QuoteRequest,
    code,
};
use serde::Deserialize;
use serde_json::json;
use tracing::warn;

use self::{
    form::{Fields, Form, OVERLAPS},
    view::{KeyView, Made},
};
use super::Frame;
use crate::{
    Site,
    page::Page,
    refused::{Answer, Refusal, Refused},
    router::Row,
    show::Pager,
    who::{Manages, Member},
};

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[
    ("/keys", || get(list).post(create)),
    ("/keys/new", || get(blank)),
    ("/keys/{id}", || get(edit).post(update)),
    ("/keys/{id}/rotate", || post(rotate)),
    ("/keys/{id}/revoke", || post(revoke)),
];

/// Keys on one page.
const PAGE: u32 = 50;
/// Revoked keys that are shown: the newest.
const REVOKED: u32 = 20;

/// What a link to the list says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wanted {
    /// The last key of the page before.
    after: String,
    /// What was just done: see [`said`].
    said: String,
}

#[derive(Template)]
#[template(path = "app/keys/list.html")]
struct List<'s> {
    frame: Frame<'s>,
    keys: Vec<KeyView>,
    revoked: Vec<KeyView>,
    pager: Pager,
    /// Why the model of the first example is not there for live keys, if it is not.
    unserved: Option<String>,
}

/// The form of a new key, or that of one that is there.
#[derive(Template)]
#[template(path = "app/keys/edit.html")]
struct Edit<'s> {
    frame: Frame<'s>,
    form: Form<'s>,
    /// The key that is changed.
    key: Option<KeyView>,
    overlaps: &'static [(&'static str, &'static str)],
}

#[derive(Template)]
#[template(path = "app/keys/made.html")]
struct Shown<'s> {
    frame: Frame<'s>,
    made: Made,
}

/// What was just done, in words.
fn said(word: &str) -> Option<&'static str> {
    match word {
        "changed" => Some("The key is changed. It holds for new requests within seconds."),
        "revoked" => Some("The key is revoked. It stops working within seconds."),
        _ => None,
    }
}

/// `GET /keys`.
async fn list(
    State(site): State<Arc<Site>>,
    member: Member,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let after = KeyId::parse(&wanted.after);
    let alive = ListKeysRequest {
        limit: PAGE.saturating_add(1),
        after: after.map(|id| id.to_vec().into()).unwrap_or_default(),
        ..of(&member)
    };
    let gone = ListKeysRequest {
        limit: REVOKED,
        revoked: true,
        ..of(&member)
    };
    let (alive, gone, unserved) = tokio::join!(
        ask(&site, alive),
        ask(&site, gone),
        unserved(&site, &member)
    );
    let (alive, gone) = (alive?, gone?);
    let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let more = alive.len() > most;
    let mut keys = views(alive)?;
    keys.truncate(most);
    let older = keys
        .last()
        .filter(|_| more)
        .map(|key| format!("/keys?after={}", key.id));
    let html = List {
        frame: Frame::new(&site, &member, "/keys", "Keys").saying(said(&wanted.said)),
        pager: Pager {
            first: after.map(|_| "/keys".to_owned()),
            older,
        },
        keys,
        revoked: views(gone)?,
        unserved,
    };
    Ok(Page::html(&html).into_response())
}

/// `GET /keys/new`.
async fn blank(State(site): State<Arc<Site>>, member: Member<Manages>) -> Answer {
    let page = editing(&site, &member, Form::new(&site, Fields::default()), None);
    Ok(page.into_response())
}

/// `POST /keys`: the answer is the only one that shows the key.
async fn create(State(site): State<Arc<Site>>, member: Member<Manages>, body: Bytes) -> Answer {
    let fields = Fields::parse(&body);
    let made = match fields.create(&site) {
        Ok(request) => {
            let request = proto::billing::v1::CreateKeyRequest {
                context: Some(member.context()),
                ..request
            };
            let ask = site.peers.ask(request);
            let reply = site.peers.keys.clone().create_key(ask).await;
            reply.map_err(Refused::from)
        }
        Err(wrong) => Err(wrong),
    };
    match made {
        Ok(reply) => {
            let made = reply.into_inner();
            let id: KeyId = proto::id_from_wire(&made.key_id)?;
            let frame = Frame::new(&site, &member, "/keys", "Your new key");
            Ok(shown(frame, Made::new(&site, id, made.key, &fields)))
        }
        Err(refused) => {
            let wrong = refused.told()?;
            let status = wrong.status;
            let form = Form::new(&site, fields).with(wrong);
            let page = editing(&site, &member, form, None);
            Ok(page.with(status).into_response())
        }
    }
}

/// `GET /keys/{id}`.
async fn edit(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
) -> Answer {
    let key = one(&site, &member, &id).await?;
    let form = Form::new(&site, Fields::of(&key));
    Ok(editing(&site, &member, form, Some(KeyView::of(key)?)).into_response())
}

/// `POST /keys/{id}`.
async fn update(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let key = one(&site, &member, &id).await?;
    let fields = Fields::parse(&body);
    match change(&site, &member, &key, &fields).await {
        Ok(()) => {
            tell(&site, proto::id_from_wire(&key.key_id)?).await;
            Ok(Redirect::to("/keys?said=changed").into_response())
        }
        Err(refused) => Ok(wrong(&site, &member, (key, fields), refused.told()?)?),
    }
}

/// `POST /keys/{id}/rotate`: the answer is the only one that shows the new secret.
async fn rotate(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let key = one(&site, &member, &id).await?;
    let fields = Fields::parse(&body);
    let request = proto::billing::v1::RotateKeyRequest {
        context: Some(member.context()),
        key_id: key.key_id.clone(),
        overlap_ms: fields.overlap(),
        by: None,
    };
    let ask = site.peers.ask(request);
    match site.peers.keys.clone().rotate_key(ask).await {
        Ok(reply) => {
            let rotated = reply.into_inner();
            let id: KeyId = proto::id_from_wire(&rotated.key_id)?;
            tell(&site, id).await;
            let frame = Frame::new(&site, &member, "/keys", "The key's new secret");
            let made = Made::new(&site, id, rotated.key, &Fields::of(&key));
            Ok(shown(frame, made.replacing(rotated.previous_until)))
        }
        Err(status) => {
            let refusal = Refused::from(status).told()?;
            let fields = Fields::of(&key);
            Ok(wrong(&site, &member, (key, fields), refusal)?)
        }
    }
}

/// `POST /keys/{id}/revoke`.
async fn revoke(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
) -> Answer {
    let id = KeyId::parse(&id).ok_or_else(Refused::not_found)?;
    let request = RevokeKeyRequest {
        context: Some(member.context()),
        key_id: id.to_vec().into(),
        by: None,
    };
    let ask = site.peers.ask(request);
    site.peers.keys.clone().revoke_key(ask).await?;
    tell(&site, id).await;
    Ok(Redirect::to("/keys?said=revoked").into_response())
}

/// Live keys need providers, and those their credentials: whether the model of the first example has any, and else what chat says of that.
async fn unserved(site: &Site, member: &Member) -> Option<String> {
    let model = form::example(&site.catalogue, &[])?;
    if member.view().mode != Mode::Live {
        return None;
    }
    let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] });
    let request = QuoteRequest {
        context: Some(member.context()),
        body: body.to_string().into(),
        route: "chat/completions".to_owned(),
        ..QuoteRequest::default()
    };
    let ask = site.peers.ask(request);
    let refused = site.peers.chat.clone().quote(ask).await.err()?;
    let fault = Fault::from(refused);
    (fault.code == code::NO_PROVIDER).then_some(fault.message)
}

/// Has billing change a key into what the form says.
async fn change(
    site: &Site,
    member: &Member<Manages>,
    key: &Key,
    fields: &Fields,
) -> Result<(), Refused> {
    let request = proto::billing::v1::UpdateKeyRequest {
        context: Some(member.context()),
        ..fields.update(site, key)?
    };
    let ask = site.peers.ask(request);
    site.peers.keys.clone().update_key(ask).await?;
    Ok(())
}

/// Edges need not wait until what they know of the key ends.
async fn tell(site: &Site, id: KeyId) {
    if let Err(error) = site.live.notify(Notice::KeyChanged(id)).await {
        warn!(%error, "cannot tell other processes that a key was changed");
    }
}

/// A key that is there and not revoked.
async fn one<N>(site: &Site, member: &Member<N>, id: &str) -> Result<Key, Refused> {
    let id = KeyId::parse(id).ok_or_else(Refused::not_found)?;
    let request = ListKeysRequest {
        limit: 1,
        key_id: id.to_vec().into(),
        ..of(member)
    };
    let found = ask(site, request).await?.into_iter().next();
    found
        .filter(|key| key.revoked_at == 0)
        .ok_or_else(Refused::not_found)
}

fn of<N>(member: &Member<N>) -> ListKeysRequest {
    ListKeysRequest {
        context: Some(member.context()),
        ..ListKeysRequest::default()
    }
}

async fn ask(site: &Site, request: ListKeysRequest) -> Result<Vec<Key>, Refused> {
    let ask = site.peers.ask(request);
    let reply = site.peers.keys.clone().list_keys(ask).await?;
    Ok(reply.into_inner().keys)
}

fn views(keys: Vec<Key>) -> Result<Vec<KeyView>, Refused> {
    keys.into_iter().map(KeyView::of).collect()
}

fn shown(frame: Frame<'_>, made: Made) -> axum::response::Response {
    Page::html(&Shown { frame, made }).into_response()
}

/// The form of a key again, with what was wrong beside its fields.
fn wrong(
    site: &Site,
    member: &Member<Manages>,
    (key, fields): (Key, Fields),
    refusal: Refusal,
) -> Answer {
    let status = refusal.status;
    let form = Form::new(site, fields).with(refusal);
    let page = editing(site, member, form, Some(KeyView::of(key)?));
    Ok(page.with(status).into_response())
}

fn editing(site: &Site, member: &Member<Manages>, form: Form<'_>, key: Option<KeyView>) -> Page {
    let title = match (&key, member.view().mode) {
        (Some(key), _) => key.name.clone(),
        (None, Mode::Test) => "New test key".to_owned(),
        (None, Mode::Live) => "New live key".to_owned(),
    };
    Page::html(&Edit {
        frame: Frame::new(site, member, "/keys", title),
        form,
        key,
        overlaps: &OVERLAPS,
    })
}
