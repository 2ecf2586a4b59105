//! The same for what customers do about their webhooks, and operators about everybody's.

use std::time::Duration;

use bytes::Bytes;
use db::Backlog;
use domain::{Id, ids::Kind};
use proto::{
    Fault, code, context_from_wire, id_from_wire, mode_to_wire,
    webhooks::v1::{self as wire, manage_server, whose},
};
use tonic::{Request, Response, Status, async_trait};

use super::Rpc;
use crate::{
    again::{self, Story, Wanted},
    endpoint::{self, Changed, Endpoint, Said},
    headers::Header,
    notice, overview, sample,
    secret::{self, Rotated},
    sign::Scheme,
    store::{
        attempt,
        found::{Filter, Found},
    },
    whose::Whose,
};

#[async_trait]
impl manage_server::Manage for Rpc {
    async fn create_endpoint(
        &self,
        request: Request<wire::CreateEndpointRequest>,
    ) -> Result<Response<wire::EndpointWithSecret>, Status> {
        let request = request.into_inner();
        let caller = context_from_wire(request.context)?;
        let said = Said {
            url: request.url,
            events: request.events,
            headers: pairs(request.headers),
            per_second: named_number(request.per_second),
            description: request.description,
            signature: match request.signature.as_str() {
                "" => Scheme::V1,
                word => scheme(word)?,
            },
        };
        let owner = (caller.account, caller.mode);
        let (made, secret) = endpoint::create(&self.shared, owner, said).await?;
        Ok(Response::new(wire::EndpointWithSecret {
            endpoint: Some(made.into()),
            secret: secret.expose().to_owned(),
        }))
    }

    async fn list_endpoints(
        &self,
        request: Request<wire::ListEndpointsRequest>,
    ) -> Result<Response<wire::ListEndpointsReply>, Status> {
        let request = request.into_inner();
        let endpoints = match read_whose(request.whose)? {
            Whose::Owner(account, mode) => endpoint::list(&self.shared, (account, mode)).await?,
            Whose::Everybody => {
                let (account, after) = (perhaps(&request.account_id)?, perhaps(&request.after)?);
                endpoint::page(&self.shared, account, after, request.limit).await?
            }
        };
        Ok(Response::new(wire::ListEndpointsReply {
            endpoints: endpoints.into_iter().map(wire::Endpoint::from).collect(),
        }))
    }

    async fn get_endpoint(
        &self,
        request: Request<wire::EndpointRequest>,
    ) -> Result<Response<wire::Endpoint>, Status> {
        let request = request.into_inner();
        let (whose, id) = (
            read_whose(request.whose)?,
            id_from_wire(&request.endpoint_id)?,
        );
        let endpoint = endpoint::get(&self.shared, whose, id).await?;
        Ok(Response::new(endpoint.into()))
    }

    async fn update_endpoint(
        &self,
        request: Request<wire::UpdateEndpointRequest>,
    ) -> Result<Response<wire::Endpoint>, Status> {
        let request = request.into_inner();
        let (whose, id) = (
            read_whose(request.whose)?,
            id_from_wire(&request.endpoint_id)?,
        );
        let changed = Changed {
            url: request.url,
            events: request.events.map(|events| events.types),
            headers: request.headers.map(|headers| pairs(headers.headers)),
            per_second: request.per_second.map(named_number),
            description: request.description,
            signature: request.signature.as_deref().map(scheme).transpose()?,
            disabled: request.disabled,
        };
        let endpoint = endpoint::update(&self.shared, whose, id, changed).await?;
        Ok(Response::new(endpoint.into()))
    }

    async fn delete_endpoint(
        &self,
        request: Request<wire::EndpointRequest>,
    ) -> Result<Response<wire::DeleteEndpointReply>, Status> {
        let request = request.into_inner();
        let (whose, id) = (
            read_whose(request.whose)?,
            id_from_wire(&request.endpoint_id)?,
        );
        endpoint::delete(&self.shared, whose, id).await?;
        Ok(Response::new(wire::DeleteEndpointReply {}))
    }

    async fn rotate_secret(
        &self,
        request: Request<wire::RotateSecretRequest>,
    ) -> Result<Response<wire::RotatedSecret>, Status> {
        let request = request.into_inner();
        let overlap = Duration::from_millis(request.overlap_ms);
        let rotated = match (read_whose(request.whose)?, perhaps(&request.endpoint_id)?) {
            (whose, Some(id)) => endpoint::rotate(&self.shared, whose, id, overlap).await?,
            (Whose::Owner(account, mode), None) => {
                secret::rotate(&self.shared, (account, mode), overlap).await?
            }
            // Which account's, they would have to say.
            (Whose::Everybody, None) => return Err(Fault::of(code::INTERNAL).into()),
        };
        Ok(Response::new(rotated.into()))
    }

    async fn test_endpoint(
        &self,
        request: Request<wire::TestEndpointRequest>,
    ) -> Result<Response<wire::TestEndpointReply>, Status> {
        let request = request.into_inner();
        let (whose, id) = (
            read_whose(request.whose)?,
            id_from_wire(&request.endpoint_id)?,
        );
        let sample = sample::test(&self.shared, whose, id, &request.r#type).await?;
        Ok(Response::new(wire::TestEndpointReply {
            delivery_id: bytes(sample.delivery),
            event_id: bytes(sample.event),
            r#type: sample.kind.as_str().to_owned(),
        }))
    }

    async fn find_deliveries(
        &self,
        request: Request<wire::FindDeliveriesRequest>,
    ) -> Result<Response<wire::FindDeliveriesReply>, Status> {
        let request = request.into_inner();
        let whose = read_whose(request.whose)?;
        let filter = Filter {
            account: perhaps(&request.account_id)?,
            task: perhaps(&request.task_id)?,
            endpoint: perhaps(&request.endpoint_id)?,
            state: said(request.state),
            kind: said(request.r#type),
            since: moment(request.since),
            until: moment(request.until),
            before: perhaps(&request.before)?,
            limit: request.limit,
        };
        let found = again::find(&self.shared, whose, filter).await?;
        Ok(Response::new(wire::FindDeliveriesReply {
            deliveries: found.into_iter().map(wire::FoundDelivery::from).collect(),
        }))
    }

    async fn get_delivery(
        &self,
        request: Request<wire::DeliveryRequest>,
    ) -> Result<Response<wire::DeliveryStory>, Status> {
        let request = request.into_inner();
        let (whose, id) = (
            read_whose(request.whose)?,
            id_from_wire(&request.delivery_id)?,
        );
        let story = again::story(&self.shared, whose, id).await?;
        Ok(Response::new(story.into()))
    }

    async fn replay_delivery(
        &self,
        request: Request<wire::DeliveryRequest>,
    ) -> Result<Response<wire::DeliveryStory>, Status> {
        let request = request.into_inner();
        let (whose, id) = (
            read_whose(request.whose)?,
            id_from_wire(&request.delivery_id)?,
        );
        let story = again::replay(&self.shared, whose, id).await?;
        Ok(Response::new(story.into()))
    }

    async fn recover(
        &self,
        request: Request<wire::RecoverRequest>,
    ) -> Result<Response<wire::RecoverReply>, Status> {
        let request = request.into_inner();
        let whose = read_whose(request.whose)?;
        let wanted = Wanted {
            account: perhaps(&request.account_id)?,
            endpoint: perhaps(&request.endpoint_id)?,
            since: request.since,
            until: moment(request.until),
        };
        let (recovered, more) = again::recover(&self.shared, whose, wanted).await?;
        Ok(Response::new(wire::RecoverReply { recovered, more }))
    }

    async fn get_alert_secret(
        &self,
        _request: Request<wire::GetAlertSecretRequest>,
    ) -> Result<Response<wire::AlertSecret>, Status> {
        let (account, mode) = notice::OPERATOR;
        let secret = secret::secret(&self.shared, account, mode).await?;
        Ok(Response::new(wire::AlertSecret {
            secret: secret.expose().to_owned(),
        }))
    }

    async fn get_overview(
        &self,
        _request: Request<wire::GetOverviewRequest>,
    ) -> Result<Response<wire::Overview>, Status> {
        let seen = overview::overview(&self.shared).await?;
        Ok(Response::new(wire::Overview {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            due: backlog(seen.due),
            inflight: backlog(seen.inflight),
            dead: backlog(seen.dead),
            disabled: backlog(seen.disabled),
            alerts: seen.alerts,
        }))
    }
}

fn backlog(waiting: Backlog) -> Option<proto::common::v1::Backlog> {
    Some(proto::common::v1::Backlog {
        count: waiting.count,
        more: waiting.more,
        oldest: waiting.oldest,
    })
}

/// Whose things are meant. Nobody means everybody's by saying nothing.
fn read_whose(whose: Option<wire::Whose>) -> Result<Whose, Status> {
    match whose.and_then(|whose| whose.whose) {
        Some(whose::Whose::Caller(context)) => {
            let caller = context_from_wire(Some(context))?;
            Ok(Whose::Owner(caller.account, caller.mode))
        }
        Some(whose::Whose::Operator(_)) => Ok(Whose::Everybody),
        None => Err(Fault::of(code::INTERNAL).into()),
    }
}

fn scheme(word: &str) -> Result<Scheme, Fault> {
    Scheme::parse(word).ok_or_else(|| {
        let message = format!("signature must be {}", Scheme::ALLOWED);
        Fault::new(code::INVALID_PARAMETER, message).param("signature")
    })
}

fn pairs(headers: Vec<wire::Header>) -> Vec<Header> {
    let pairs = headers
        .into_iter()
        .map(|header| (header.name, header.value));
    pairs.collect()
}

/// An id that may be left out.
fn perhaps<K: Kind>(bytes: &[u8]) -> Result<Option<Id<K>>, Status> {
    let named = Some(bytes).filter(|bytes| !bytes.is_empty());
    Ok(named.map(id_from_wire).transpose()?)
}

fn said(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn moment(micros: i64) -> Option<i64> {
    Some(micros).filter(|micros| *micros != 0)
}

fn named_number(number: u32) -> Option<u32> {
    Some(number).filter(|number| *number > 0)
}

fn bytes<K: Kind>(id: Id<K>) -> Bytes {
    id.to_vec().into()
}

fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl From<Endpoint> for wire::Endpoint {
    fn from(endpoint: Endpoint) -> Self {
        let (account, mode) = endpoint.owner;
        let (disabled_at, disabled_reason) = endpoint.disabled.unwrap_or_default();
        Self {
            endpoint_id: bytes(endpoint.id),
            account_id: bytes(account),
            mode: mode_to_wire(mode).into(),
            url: endpoint.url.expose().to_owned(),
            events: endpoint.events,
            header_names: endpoint.header_names,
            per_second: endpoint.per_second.unwrap_or_default(),
            description: endpoint.description,
            signature: endpoint.signature.as_str().to_owned(),
            public_key: endpoint.public_key.unwrap_or_default(),
            disabled_at,
            disabled_reason,
            old_secret_until: endpoint.old_until,
            created_at: endpoint.created_at,
        }
    }
}

impl From<Rotated> for wire::RotatedSecret {
    fn from(rotated: Rotated) -> Self {
        Self {
            secret: rotated.secret.expose().to_owned(),
            public_key: rotated.public_key.unwrap_or_default(),
            old_secret_until: rotated.old_until,
        }
    }
}

impl From<Found> for wire::FoundDelivery {
    fn from(found: Found) -> Self {
        let status = found
            .last_status
            .and_then(|status| u32::try_from(status).ok());
        Self {
            delivery_id: bytes(found.id),
            event_id: bytes(found.event),
            account_id: bytes(found.account),
            mode: mode_to_wire(found.mode).into(),
            r#type: found.kind,
            task_id: found.task.map(bytes).unwrap_or_default(),
            endpoint_id: found.endpoint.map(bytes).unwrap_or_default(),
            state: found.state,
            attempts: count(found.attempts),
            replays: count(found.replays),
            last_status: status.unwrap_or_default(),
            last_error: found.last_error.unwrap_or_default(),
            created_at: found.created_at,
            due_at: found.due_at,
            ended_at: found.ended_at.unwrap_or_default(),
        }
    }
}

impl From<Story> for wire::DeliveryStory {
    fn from(story: Story) -> Self {
        let attempts = story.attempts.into_iter();
        Self {
            delivery: Some(story.delivery.into()),
            attempts: attempts
                .map(|(row, response)| told(row, response))
                .collect(),
            payload: story.payload.into(),
        }
    }
}

fn told(row: attempt::Row, response: Option<String>) -> wire::Attempt {
    let status = row.status.and_then(|status| u32::try_from(status).ok());
    wire::Attempt {
        number: count(row.number),
        replay: count(row.replay),
        started_at: row.started_at,
        ended_at: row.ended_at,
        status: status.unwrap_or_default(),
        error: row.error.unwrap_or_default(),
        response: response.unwrap_or_default(),
    }
}
