//! What somebody else's gRPC client sees.

use chassis::Tasks;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::{Request, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    fake::PATIENCE,
    server::{EDGE, Server},
};

async fn plain(server: &Server) -> Channel {
    Channel::from_shared(server.url())
        .unwrap()
        .connect()
        .await
        .unwrap()
}

fn list_services() -> Request<impl tokio_stream::Stream<Item = ServerReflectionRequest>> {
    Request::new(tokio_stream::once(ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    }))
}

#[tokio::test]
async fn health_needs_no_token_and_tells_of_stopping() {
    let server = Server::start("a").await;
    let mut client = HealthClient::new(plain(&server).await);
    let answer = client.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);

    let watch = client.watch(HealthCheckRequest::default()).await.unwrap();
    let mut watch = watch.into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    let tasks: Tasks = server.tasks.clone();
    let stop = tasks.stop(PATIENCE);
    let told = async {
        let next = timeout(PATIENCE, watch.message()).await.unwrap().unwrap();
        assert_eq!(next.unwrap().status(), ServingStatus::NotServing);
        // Who watches does not hold the server up.
        assert!(watch.message().await.unwrap().is_none());
    };
    let (stopped, ()) = tokio::join!(stop, told);
    assert!(stopped);
}

#[tokio::test]
async fn reflection_names_the_services_to_who_shows_a_token() {
    let server = Server::start("a").await;
    let mut client = ServerReflectionClient::new(plain(&server).await);
    let refused = client.server_reflection_info(list_services()).await;
    assert_eq!(refused.unwrap_err().code(), tonic::Code::Unauthenticated);

    let mut request = list_services();
    let token = format!("Bearer {EDGE}").parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    let mut answers = client
        .server_reflection_info(request)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("not a list of services");
    };
    let names: Vec<String> = list.service.into_iter().map(|one| one.name).collect();
    for name in ["aio.chat.v1.Chat", "aio.webhooks.v1.Webhooks"] {
        assert!(names.iter().any(|known| known == name), "{names:?}");
    }
}
