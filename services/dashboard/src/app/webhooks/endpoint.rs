//! One endpoint: registered, looked at, changed, tested, rotated, removed.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect},
};
use domain::{DeliveryId, EndpointId};
use proto::{
    id_from_wire,
    webhooks::v1::{
        CreateEndpointRequest, EndpointRequest, FindDeliveriesRequest, RotateSecretRequest,
        TestEndpointRequest, UpdateEndpointRequest,
    },
};
use serde::Deserialize;

use super::{
    Asked, Endpoint, PART, SecretHtml,
    form::{Overlap, SIGNATURES, Typed},
    own, rotated,
    words::{Delivery, endpoint_id},
};
use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::{Answer, Refusal, Refused},
    who::{Manages, Member},
};

/// The latest deliveries that an endpoint's page shows.
const LATEST: u32 = 10;

/// What the form of the switch says.
#[derive(Debug, Deserialize)]
pub(super) struct Switch {
    disabled: bool,
}

/// What the form of a test says.
#[derive(Debug, Deserialize)]
pub(super) struct Sample {
    #[serde(default)]
    r#type: String,
}

#[derive(Template)]
#[template(path = "app/webhooks/new.html")]
struct NewHtml<'s> {
    frame: Frame<'s>,
    typed: &'s Typed,
    wrong: Option<&'s Refusal>,
    /// `None`: it is new.
    endpoint: Option<&'s Endpoint>,
}

#[derive(Template)]
#[template(path = "app/webhooks/endpoint.html")]
struct EndpointHtml<'s> {
    frame: Frame<'s>,
    endpoint: Option<&'s Endpoint>,
    there: &'s Endpoint,
    typed: &'s Typed,
    wrong: Option<&'s Refusal>,
    /// The latest.
    deliveries: Vec<Delivery>,
}

/// `GET /webhooks/new`.
pub(super) async fn new(State(site): State<Arc<Site>>, member: Member<Manages>) -> Page {
    show_new(&site, &member, &Typed::new(), None)
}

/// `POST /webhooks/new`: the answer shows the secret, once.
pub(super) async fn create(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Answer {
    let typed = Typed::read(fields);
    match register(&site, &member, &typed).await {
        Ok((id, secret, public_key)) => {
            let html = SecretHtml {
                frame: Frame::new(&site, &member, PART, "Endpoint added"),
                about: "It signs what this endpoint is told. Keep it now: it is not shown again.",
                secret,
                public_key,
                old_until: None,
                back: path(id),
            };
            Ok(Page::html(&html).into_response())
        }
        Err(refused) => {
            let wrong = refused.told()?;
            let page = show_new(&site, &member, &typed, Some(&wrong));
            Ok(page.with(wrong.status).into_response())
        }
    }
}

/// `GET /webhooks/endpoints/{id}`.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    let endpoint = find(&site, &member, endpoint_id(&id)?).await?;
    let typed = Typed::of(&endpoint);
    let page = show(&site, &member, &endpoint, (&typed, None), asked.told()).await?;
    Ok(page.into_response())
}

/// `POST /webhooks/endpoints/{id}`: changes it.
pub(super) async fn update(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Answer {
    let id = endpoint_id(&id)?;
    let endpoint = find(&site, &member, id).await?;
    let typed = Typed::read(fields);
    let done = match typed.change(&endpoint) {
        Ok(change) => change_it(&site, &member, id, change).await,
        Err(refused) => Err(refused),
    };
    match done {
        Ok(()) => Ok(Redirect::to(&said(id, "changed")).into_response()),
        Err(refused) => {
            let wrong = refused.told()?;
            let page = show(&site, &member, &endpoint, (&typed, Some(&wrong)), None).await?;
            Ok(page.with(wrong.status).into_response())
        }
    }
}

/// `POST /webhooks/endpoints/{id}/switch`: disables or enables it.
pub(super) async fn switch(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
    Form(form): Form<Switch>,
) -> Answer {
    let id = endpoint_id(&id)?;
    let change = UpdateEndpointRequest {
        disabled: Some(form.disabled),
        ..UpdateEndpointRequest::default()
    };
    change_it(&site, &member, id, change).await?;
    let word = if form.disabled { "disabled" } else { "enabled" };
    Ok(Redirect::to(&said(id, word)).into_response())
}

/// `POST /webhooks/endpoints/{id}/rotate`: the answer shows the new secret, once.
pub(super) async fn rotate(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
    Form(form): Form<Overlap>,
) -> Answer {
    let id = endpoint_id(&id)?;
    let request = RotateSecretRequest {
        whose: own(&member),
        endpoint_id: id.to_vec().into(),
        overlap_ms: form.millis()?,
    };
    let mut manage = site.peers.manage.clone();
    let reply = manage.rotate_secret(site.peers.ask(request)).await;
    let reply = reply.map_err(Refused::unknown_alike)?.into_inner();
    let about =
        "It signs what this endpoint is told, from now on. Keep it now: it is not shown again.";
    let frame = Frame::new(&site, &member, PART, "New secret");
    Ok(rotated(frame, about, reply, path(id)))
}

/// `POST /webhooks/endpoints/{id}/test`: sends a sample, and leads to how that goes.
pub(super) async fn test(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
    Form(form): Form<Sample>,
) -> Answer {
    let request = TestEndpointRequest {
        whose: own(&member),
        endpoint_id: endpoint_id(&id)?.to_vec().into(),
        r#type: form.r#type,
    };
    let mut manage = site.peers.manage.clone();
    let reply = manage.test_endpoint(site.peers.ask(request)).await;
    let reply = reply.map_err(Refused::unknown_alike)?.into_inner();
    let delivery: DeliveryId = id_from_wire(&reply.delivery_id)?;
    let next = format!("{PART}/deliveries/{delivery}?said=tested");
    Ok(Redirect::to(&next).into_response())
}

/// `POST /webhooks/endpoints/{id}/delete`.
pub(super) async fn delete(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
) -> Answer {
    let request = EndpointRequest {
        whose: own(&member),
        endpoint_id: endpoint_id(&id)?.to_vec().into(),
    };
    let mut manage = site.peers.manage.clone();
    let done = manage.delete_endpoint(site.peers.ask(request)).await;
    done.map_err(Refused::unknown_alike)?;
    Ok(Redirect::to(&format!("{PART}?said=removed")).into_response())
}

/// Registers what was typed: its id, its secret and its public key.
async fn register(
    site: &Site,
    member: &Member<Manages>,
    typed: &Typed,
) -> Result<(EndpointId, String, String), Refused> {
    let request = CreateEndpointRequest {
        context: Some(member.context()),
        ..typed.create()?
    };
    let mut manage = site.peers.manage.clone();
    let reply = manage.create_endpoint(site.peers.ask(request)).await?;
    let made = reply.into_inner();
    let endpoint = made.endpoint.unwrap_or_default();
    let id = id_from_wire(&endpoint.endpoint_id)?;
    Ok((id, made.secret, endpoint.public_key))
}

async fn change_it(
    site: &Site,
    member: &Member<Manages>,
    id: EndpointId,
    change: UpdateEndpointRequest,
) -> Result<(), Refused> {
    let request = UpdateEndpointRequest {
        whose: own(member),
        endpoint_id: id.to_vec().into(),
        ..change
    };
    let mut manage = site.peers.manage.clone();
    let done = manage.update_endpoint(site.peers.ask(request)).await;
    done.map_err(Refused::unknown_alike)?;
    Ok(())
}

async fn find(site: &Site, member: &Member<Manages>, id: EndpointId) -> Result<Endpoint, Refused> {
    let request = EndpointRequest {
        whose: own(member),
        endpoint_id: id.to_vec().into(),
    };
    let mut manage = site.peers.manage.clone();
    let reply = manage.get_endpoint(site.peers.ask(request)).await;
    Endpoint::read(reply.map_err(Refused::unknown_alike)?.into_inner())
}

async fn show(
    site: &Site,
    member: &Member<Manages>,
    endpoint: &Endpoint,
    (typed, wrong): (&Typed, Option<&Refusal>),
    said: Option<&'static str>,
) -> Result<Page, Refused> {
    let request = FindDeliveriesRequest {
        whose: own(member),
        limit: LATEST,
        endpoint_id: endpoint_id(&endpoint.id)?.to_vec().into(),
        ..FindDeliveriesRequest::default()
    };
    let mut manage = site.peers.manage.clone();
    let reply = manage.find_deliveries(site.peers.ask(request)).await?;
    let found = reply.into_inner().deliveries.into_iter();
    let frame = Frame::new(site, member, PART, "Webhook endpoint");
    Ok(Page::html(&EndpointHtml {
        frame: frame.saying(said),
        endpoint: Some(endpoint),
        there: endpoint,
        typed,
        wrong,
        deliveries: found.map(Delivery::found).collect::<Result<_, _>>()?,
    }))
}

fn show_new(site: &Site, member: &Member<Manages>, typed: &Typed, wrong: Option<&Refusal>) -> Page {
    Page::html(&NewHtml {
        frame: Frame::new(site, member, PART, "Add an endpoint"),
        typed,
        wrong,
        endpoint: None,
    })
}

fn path(id: EndpointId) -> String {
    format!("{PART}/endpoints/{id}")
}

fn said(id: EndpointId, word: &str) -> String {
    format!("{}?said={word}", path(id))
}
