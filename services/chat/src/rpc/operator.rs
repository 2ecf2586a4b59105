//! `aio.chat.v1.Operators`: how the credentials of this process do, on the wire. No decisions.

use proto::chat::v1::{self as wire, operators_server};
use tonic::{Request, Response, Status};

use super::Rpc;
use crate::{candidate::Candidate, route::Seen};

#[tonic::async_trait]
impl operators_server::Operators for Rpc {
    async fn get_health(
        &self,
        _: Request<wire::GetHealthRequest>,
    ) -> Result<Response<wire::Health>, Status> {
        let credentials = self.service.routes.credentials();
        Ok(Response::new(wire::Health {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            credentials: credentials.map(credential).collect(),
        }))
    }
}

fn credential((((provider, place), standing), candidate): (Seen, &Candidate)) -> wire::Credential {
    wire::Credential {
        provider,
        place,
        host: candidate.endpoint.url.host_str().unwrap_or("").to_owned(),
        state: standing.state.to_owned(),
        failures: standing.failures,
        wait_ms: u64::try_from(standing.wait.as_millis()).unwrap_or(u64::MAX),
        open: u32::try_from(candidate.bulkhead.open()).unwrap_or(u32::MAX),
    }
}
