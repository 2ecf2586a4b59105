//! Usage and operations on the wire: wire -> domain, call, domain -> wire. No decisions.

use domain::{KeyId, Tag};
use proto::{billing::v1 as wire, id_from_wire};
use tonic::{Request, Response, Status};

use super::{Reply, balance_from_wire, malformed};
use crate::{Billing, Group, Movement, OpenHoldRow, OperationRow, Page, Span, Sum, TagId};

#[tonic::async_trait]
impl wire::usage_server::Usage for Billing {
    async fn get_usage(
        &self,
        request: Request<wire::GetUsageRequest>,
    ) -> Reply<wire::GetUsageReply> {
        let (span, groups) = span_from_wire(request.into_inner())?;
        let sums = self.usage(span, &groups).await?;
        Ok(Response::new(usage_to_wire(sums)))
    }

    async fn list_operations(
        &self,
        request: Request<wire::ListOperationsRequest>,
    ) -> Reply<wire::ListOperationsReply> {
        let page = page_from_wire(request.into_inner())?;
        let operations = self.operations(page).await?;
        let operations = operations.into_iter().map(operation_to_wire);
        Ok(Response::new(wire::ListOperationsReply {
            operations: operations.collect(),
        }))
    }

    async fn get_receipt(
        &self,
        request: Request<wire::GetReceiptRequest>,
    ) -> Reply<wire::GetReceiptReply> {
        let request = request.into_inner();
        let balance = balance_from_wire(request.context)?;
        let operation = id_from_wire(&request.operation_id)?;
        let (operation, receipt) = self.receipt(balance, operation).await?;
        Ok(Response::new(wire::GetReceiptReply {
            operation: Some(operation_to_wire(operation)),
            receipt: receipt.into_bytes().into(),
        }))
    }

    async fn list_movements(
        &self,
        request: Request<wire::ListMovementsRequest>,
    ) -> Reply<wire::ListMovementsReply> {
        let request = request.into_inner();
        let balance = balance_from_wire(request.context)?;
        let before = Some(request.before).filter(|before| *before > 0);
        let movements = self.movements(balance, before, request.limit).await?;
        Ok(Response::new(wire::ListMovementsReply {
            movements: movements.into_iter().map(movement_to_wire).collect(),
        }))
    }

    async fn list_holds(
        &self,
        request: Request<wire::ListHoldsRequest>,
    ) -> Reply<wire::ListHoldsReply> {
        let request = request.into_inner();
        let balance = balance_from_wire(request.context)?;
        let holds = self.open_holds(balance, request.limit).await?;
        Ok(Response::new(wire::ListHoldsReply {
            holds: holds.into_iter().map(hold_to_wire).collect(),
        }))
    }
}

fn span_from_wire(request: wire::GetUsageRequest) -> Result<(Span, Vec<Group>), Status> {
    let groups = request.group_by.iter();
    let groups = groups.map(|word| Group::parse(word).ok_or_else(malformed));
    let groups = groups.collect::<Result<Vec<_>, _>>()?;
    let key = Some(request.key_id).filter(|key| !key.is_empty());
    let span = Span {
        balance: balance_from_wire(request.context)?,
        first: request.first_day,
        last: request.last_day,
        tag: tag_from_wire(request.tag),
        model: Some(request.model).filter(|model| !model.is_empty()),
        key: key.map(|id| id_from_wire(&id)).transpose()?,
    };
    Ok((span, groups))
}

fn usage_to_wire(sums: Vec<Sum>) -> wire::GetUsageReply {
    let rows = sums.into_iter().map(|sum| wire::UsageRow {
        day: sum.day,
        key_id: key_to_wire(sum.key),
        model: sum.model,
        route: sum.route,
        operations: sum.operations,
        free: sum.free,
        charged: sum.charged.get(),
        input_tokens: sum.input_tokens,
        output_tokens: sum.output_tokens,
    });
    wire::GetUsageReply {
        rows: rows.collect(),
    }
}

fn page_from_wire(request: wire::ListOperationsRequest) -> Result<Page, Status> {
    let before = Some(request.before).filter(|before| !before.is_empty());
    let key = Some(request.key_id).filter(|key| !key.is_empty());
    Ok(Page {
        balance: balance_from_wire(request.context)?,
        before: before.map(|id| id_from_wire(&id)).transpose()?,
        model: Some(request.model).filter(|model| !model.is_empty()),
        key: key.map(|id| id_from_wire(&id)).transpose()?,
        tag: tag_from_wire(request.tag),
        outcome: Some(request.outcome).filter(|outcome| !outcome.is_empty()),
        since: request.since,
        until: request.until,
        limit: i64::from(request.limit),
    })
}

/// The label that is looked for, as it is kept.
fn tag_from_wire(tag: Option<wire::Tag>) -> Option<TagId> {
    let wire::Tag { name, value } = tag?;
    Some(TagId::from(&Tag { name, value }))
}

fn operation_to_wire(row: OperationRow) -> wire::Operation {
    wire::Operation {
        operation_id: row.id.to_vec().into(),
        key_id: key_to_wire(row.key),
        route: row.route,
        model: row.model,
        provider: row.provider,
        outcome: row.outcome,
        held: row.held.get(),
        charged: row.charged.get(),
        written_off: row.written_off.get(),
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        price_version: row.price_version,
        created_at: row.created_at,
        ended_at: row.ended_at,
    }
}

fn movement_to_wire(movement: Movement) -> wire::Movement {
    let Movement { kind, subject, row } = movement;
    wire::Movement {
        number: row.number,
        cause: row.cause.to_vec().into(),
        kind: kind.as_str().to_owned(),
        amount: row.amount.get(),
        balance: row.balance.get(),
        created_at: row.created_at,
        subject,
        route: row.asked.route,
        model: row.asked.model,
        key_id: key_to_wire(row.asked.key),
        written_off: row.asked.written_off.get(),
    }
}

fn hold_to_wire(row: OpenHoldRow) -> wire::OpenHold {
    wire::OpenHold {
        hold_id: row.id.to_vec().into(),
        media: row.expires_at.is_none(),
        key_id: key_to_wire(row.key),
        granted: row.granted.get(),
        created_at: row.created_at,
        expires_at: row.expires_at.unwrap_or_default(),
    }
}

fn key_to_wire(key: Option<KeyId>) -> bytes::Bytes {
    key.map(|key| key.to_vec().into()).unwrap_or_default()
}
