//! What tests do about endpoints and deliveries, over the interface that the edge uses.

use domain::{AccountId, EventId};
use proto::{
    Fault,
    common::v1::{Actor, Mode},
    webhooks::v1::{
        CreateEndpointRequest, DeliveryRequest, DeliveryStory, Endpoint, EndpointRequest,
        EndpointWithSecret, FindDeliveriesRequest, FoundDelivery, RecoverRequest,
        RotateSecretRequest, RotatedSecret, TestEndpointRequest, UpdateEndpointRequest, Whose,
        whose,
    },
};
use standardwebhooks::Webhook;
use tonic::{Response, Status};

use crate::{
    app::{App, until},
    endpoints::{context, whose as theirs},
    sink::Seen,
};

/// The account of a test, in live mode.
pub(crate) struct Owner<'a> {
    pub(crate) app: &'a App,
    pub(crate) account: AccountId,
}

/// Those of everybody.
pub(crate) fn everybody() -> Option<Whose> {
    Some(Whose {
        whose: Some(whose::Whose::Operator(Actor::default())),
    })
}

fn answer<T>(answer: Result<Response<T>, Status>) -> Result<T, Fault> {
    answer.map(Response::into_inner).map_err(Fault::from)
}

/// Whether the public library takes a request by a secret.
pub(crate) fn verifies(secret: &str, seen: &Seen) -> bool {
    let library = Webhook::new(secret).unwrap();
    library.verify(&seen.body, &seen.headers).is_ok()
}

// === impl Owner ===

impl<'a> Owner<'a> {
    pub(crate) fn new(app: &'a App) -> Self {
        Self {
            app,
            account: chassis::mint(),
        }
    }

    pub(crate) fn whose(&self) -> Option<Whose> {
        theirs(self.account, Mode::Live)
    }

    pub(crate) async fn create(
        &self,
        request: CreateEndpointRequest,
    ) -> Result<EndpointWithSecret, Fault> {
        let request = CreateEndpointRequest {
            context: context(self.account, Mode::Live),
            ..request
        };
        answer(self.app.manage.clone().create_endpoint(request).await)
    }

    /// Registers a URL for events of these types.
    pub(crate) async fn register(&self, url: &str, events: &[&str]) -> EndpointWithSecret {
        let request = CreateEndpointRequest {
            url: url.to_owned(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            ..CreateEndpointRequest::default()
        };
        self.create(request).await.unwrap()
    }

    pub(crate) async fn get(&self, id: &[u8]) -> Result<Endpoint, Fault> {
        let request = EndpointRequest {
            whose: self.whose(),
            endpoint_id: id.to_vec().into(),
        };
        answer(self.app.manage.clone().get_endpoint(request).await)
    }

    pub(crate) async fn update(
        &self,
        id: &[u8],
        request: UpdateEndpointRequest,
    ) -> Result<Endpoint, Fault> {
        let request = UpdateEndpointRequest {
            whose: self.whose(),
            endpoint_id: id.to_vec().into(),
            ..request
        };
        answer(self.app.manage.clone().update_endpoint(request).await)
    }

    pub(crate) async fn delete(&self, id: &[u8]) -> Result<(), Fault> {
        let request = EndpointRequest {
            whose: self.whose(),
            endpoint_id: id.to_vec().into(),
        };
        answer(self.app.manage.clone().delete_endpoint(request).await).map(drop)
    }

    /// Rotates what signs for an endpoint, or with an empty id for callbacks.
    pub(crate) async fn rotate(&self, id: &[u8], overlap_ms: u64) -> Result<RotatedSecret, Fault> {
        let request = RotateSecretRequest {
            whose: self.whose(),
            endpoint_id: id.to_vec().into(),
            overlap_ms,
        };
        answer(self.app.manage.clone().rotate_secret(request).await)
    }

    pub(crate) async fn test(&self, id: &[u8], kind: &str) -> Result<Vec<u8>, Fault> {
        let request = TestEndpointRequest {
            whose: self.whose(),
            endpoint_id: id.to_vec().into(),
            r#type: kind.to_owned(),
        };
        let made = answer(self.app.manage.clone().test_endpoint(request).await)?;
        Ok(made.delivery_id.to_vec())
    }

    pub(crate) async fn find(&self, request: FindDeliveriesRequest) -> Vec<FoundDelivery> {
        let request = FindDeliveriesRequest {
            whose: self.whose(),
            limit: 100,
            ..request
        };
        let found = self.app.manage.clone().find_deliveries(request).await;
        answer(found).unwrap().deliveries
    }

    pub(crate) async fn story(&self, id: &[u8]) -> Result<DeliveryStory, Fault> {
        let request = DeliveryRequest {
            whose: self.whose(),
            delivery_id: id.to_vec().into(),
        };
        answer(self.app.manage.clone().get_delivery(request).await)
    }

    pub(crate) async fn replay(&self, id: &[u8]) -> Result<DeliveryStory, Fault> {
        let request = DeliveryRequest {
            whose: self.whose(),
            delivery_id: id.to_vec().into(),
        };
        answer(self.app.manage.clone().replay_delivery(request).await)
    }

    pub(crate) async fn recover(&self, request: RecoverRequest) -> Result<(u32, bool), Fault> {
        let request = RecoverRequest {
            whose: self.whose(),
            ..request
        };
        let reply = answer(self.app.manage.clone().recover(request).await)?;
        Ok((reply.recovered, reply.more))
    }

    /// Tells the account's endpoints that its balance is low.
    pub(crate) async fn tell(&self) -> EventId {
        let event = chassis::mint();
        self.app.tell(event, self.account, Mode::Live).await;
        event
    }

    /// The deliveries of an event.
    pub(crate) async fn of(&self, event: EventId) -> Vec<FoundDelivery> {
        let found = self.find(FindDeliveriesRequest::default()).await;
        found
            .into_iter()
            .filter(|one| one.event_id == event.to_vec())
            .collect()
    }

    /// Waits until a delivery is in this state.
    pub(crate) async fn reaches(&self, id: &[u8], state: &str) -> DeliveryStory {
        until(state, async || {
            let story = self.story(id).await.unwrap();
            (story.delivery.as_ref().unwrap().state == state).then_some(story)
        })
        .await
    }

    /// Waits until the one delivery of an event is in this state.
    pub(crate) async fn event_reaches(&self, event: EventId, state: &str) -> DeliveryStory {
        let [found] = <[_; 1]>::try_from(self.of(event).await).unwrap();
        self.reaches(&found.delivery_id, state).await
    }
}

/// The id of what was made.
pub(crate) fn id(made: &EndpointWithSecret) -> Vec<u8> {
    made.endpoint.as_ref().unwrap().endpoint_id.to_vec()
}
