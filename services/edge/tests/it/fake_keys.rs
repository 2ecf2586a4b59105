//! Scripted keys: what is asked about them is remembered, and answered alike.

use std::sync::Arc;

use proto::{billing::v1 as billing, common::v1 as common};
use tonic::{Request, Response, Status};

use crate::fakes::World;

pub(crate) struct FakeKeys(pub(crate) Arc<World>);

/// A key without anything but a name.
fn plain_key(id: u8) -> billing::Key {
    billing::Key {
        key_id: vec![id; 16].into(),
        mode: common::Mode::Test.into(),
        name: "ci".into(),
        last_four: "wxyz".into(),
        scopes: vec!["read".into()],
        created_at: 1_000_000,
        ..billing::Key::default()
    }
}

#[tonic::async_trait]
impl billing::keys_server::Keys for FakeKeys {
    async fn create_key(
        &self,
        request: Request<billing::CreateKeyRequest>,
    ) -> Result<Response<billing::CreatedKey>, Status> {
        self.0.new_keys.lock().unwrap().push(request.into_inner());
        Ok(Response::new(billing::CreatedKey {
            key_id: vec![8; 16].into(),
            key: "aio_shown_once".into(),
        }))
    }

    async fn list_keys(
        &self,
        request: Request<billing::ListKeysRequest>,
    ) -> Result<Response<billing::ListKeysReply>, Status> {
        self.0.listed.lock().unwrap().push(request.into_inner());
        let capped = billing::Key {
            concurrency: 2,
            ip_allow: vec!["10.0.0.0/8".into()],
            previous: Some(billing::PreviousSecret {
                last_four: "abcd".into(),
                until: 2_000_000,
            }),
            budget: Some(billing::Budget {
                caps: Some(billing::Caps {
                    day: Some(1_500_000),
                    ..billing::Caps::default()
                }),
                spent_day: 0,
                spent_month: 250_000,
                spent_total: 3_000_000,
            }),
            ..plain_key(8)
        };
        let keys = vec![capped, plain_key(9)];
        Ok(Response::new(billing::ListKeysReply { keys }))
    }

    async fn update_key(
        &self,
        request: Request<billing::UpdateKeyRequest>,
    ) -> Result<Response<billing::Key>, Status> {
        self.0
            .key_changes
            .lock()
            .unwrap()
            .push(request.into_inner());
        Ok(Response::new(plain_key(8)))
    }

    async fn rotate_key(
        &self,
        request: Request<billing::RotateKeyRequest>,
    ) -> Result<Response<billing::RotatedKey>, Status> {
        let request = request.into_inner();
        let key_id = request.key_id.clone();
        self.0.rotations.lock().unwrap().push(request);
        Ok(Response::new(billing::RotatedKey {
            key_id,
            key: "aio_rotated".into(),
            previous_until: 2_000_000,
        }))
    }

    async fn revoke_key(
        &self,
        request: Request<billing::RevokeKeyRequest>,
    ) -> Result<Response<billing::RevokeKeyReply>, Status> {
        let key = request.into_inner().key_id;
        let mut identities = self.0.identities.lock().unwrap();
        identities.retain(|_, identity| identity.key_id != key);
        Ok(Response::new(billing::RevokeKeyReply {}))
    }
}
