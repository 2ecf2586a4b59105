//! A scripted service of usage: it answers always the same, and remembers what it was asked.

use std::sync::Arc;

use proto::{Fault, billing::v1 as billing, code};
use tonic::{Request, Response, Status};

use crate::fakes::World;

pub(crate) struct FakeUsage(pub(crate) Arc<World>);

fn operation() -> billing::Operation {
    billing::Operation {
        operation_id: vec![5; 16].into(),
        key_id: vec![8; 16].into(),
        route: "chat/completions".to_owned(),
        model: "gemini".to_owned(),
        provider: "sandbox".to_owned(),
        outcome: "captured".to_owned(),
        held: 2_000_000,
        charged: 1_000,
        created_at: 1_500_000,
        ended_at: 2_500_000,
        ..billing::Operation::default()
    }
}

#[tonic::async_trait]
impl billing::usage_server::Usage for FakeUsage {
    async fn get_usage(
        &self,
        request: Request<billing::GetUsageRequest>,
    ) -> Result<Response<billing::GetUsageReply>, Status> {
        self.0.usages.lock().unwrap().push(request.into_inner());
        let row = billing::UsageRow {
            day: 19_723,
            key_id: vec![8; 16].into(),
            model: "gemini".to_owned(),
            route: "chat/completions".to_owned(),
            operations: 3,
            free: 1,
            charged: 1_500_001,
            input_tokens: 40,
            output_tokens: 50,
        };
        Ok(Response::new(billing::GetUsageReply { rows: vec![row] }))
    }

    async fn list_operations(
        &self,
        request: Request<billing::ListOperationsRequest>,
    ) -> Result<Response<billing::ListOperationsReply>, Status> {
        let request = request.into_inner();
        let count = request.limit.min(2);
        self.0.pages.lock().unwrap().push(request);
        let operations = (0..count).map(|_| operation()).collect();
        Ok(Response::new(billing::ListOperationsReply { operations }))
    }

    async fn get_receipt(
        &self,
        request: Request<billing::GetReceiptRequest>,
    ) -> Result<Response<billing::GetReceiptReply>, Status> {
        if *request.into_inner().operation_id != [5; 16] {
            return Err(Fault::new(code::NOT_FOUND, "there is no such operation").into());
        }
        Ok(Response::new(billing::GetReceiptReply {
            operation: Some(operation()),
            receipt: r#"{"total_microcredits":1000}"#.into(),
        }))
    }

    async fn list_movements(
        &self,
        _: Request<billing::ListMovementsRequest>,
    ) -> Result<Response<billing::ListMovementsReply>, Status> {
        Ok(Response::new(billing::ListMovementsReply::default()))
    }

    async fn list_holds(
        &self,
        _: Request<billing::ListHoldsRequest>,
    ) -> Result<Response<billing::ListHoldsReply>, Status> {
        Ok(Response::new(billing::ListHoldsReply::default()))
    }
}
