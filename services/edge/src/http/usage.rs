//! `GET /usage`, `GET /operations` and `GET /operations/{id}/receipt`: what was used, what it cost, and why. The figures are billing's,
//! a second or so behind the ledger.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use chassis::{clock, rpc};
use domain::{KeyId, Micros, OperationId, Tag, ids};
use http::{HeaderMap, StatusCode, Uri, header};
use proto::{
    billing::v1::{
        GetReceiptRequest, GetUsageRequest, ListOperationsRequest, Operation as WireOperation,
        Tag as WireTag, UsageRow,
    },
    code, id_from_wire,
};
use serde::Serialize;
use serde_json::value::RawValue;
use time::{Date, Duration, OffsetDateTime, format_description::well_known::Iso8601};
use utoipa::ToSchema;

use crate::{
    App,
    auth::{Read, Scoped},
    error::ApiError,
    http::{
        Segments,
        query::{Page, Params},
        success,
    },
};

/// Days of usage, unless the request says so, and at most.
const DAYS: (i64, i64) = (30, 1_100);
/// By what usage can be summed up.
const GROUPS: [&str; 4] = ["day", "key", "model", "route"];
/// The columns of the CSV, in their order.
const COLUMNS: &str =
    "day,key_id,model,route,operations,free_operations,credits,input_tokens,output_tokens";

/// Usage.
#[derive(Serialize, ToSchema)]
pub(crate) struct Usage {
    from: String,
    to: String,
    items: Vec<Used>,
    /// Always null: there is one page.
    next_cursor: Option<String>,
}

/// What one group used. Fields that were not asked for are left out.
#[derive(Serialize, ToSchema)]
#[schema(as = UsageRow)]
pub(crate) struct Used {
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    key_id: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    operations: i64,
    free_operations: i64,
    #[schema(value_type = f64)]
    credits: Micros,
    microcredits: i64,
    input_tokens: i64,
    output_tokens: i64,
}

/// An operation that has ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct Operation {
    operation_id: String,
    key_id: Option<String>,
    route: String,
    model: String,
    provider: String,
    outcome: String,
    #[schema(value_type = f64)]
    held_credits: Micros,
    held_microcredits: i64,
    #[schema(value_type = f64)]
    charged_credits: Micros,
    charged_microcredits: i64,
    written_off_microcredits: i64,
    input_tokens: i64,
    output_tokens: i64,
    price_version: String,
    created_at: String,
    ended_at: String,
}

/// An operation with what explains its price.
#[derive(Serialize, ToSchema)]
pub(crate) struct Receipt {
    #[serde(flatten)]
    operation: Operation,
    #[schema(value_type = Option<Object>)]
    receipt: Option<Box<RawValue>>,
}

/// Whose days, and how they are summed up.
struct Wanted {
    from: Date,
    to: Date,
    groups: Vec<String>,
    csv: bool,
    tag: Option<Tag>,
}

/// `GET /usage`.
pub(crate) async fn usage(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let wanted = wanted(&uri, &headers)?;
    let request = GetUsageRequest {
        context: Some(caller.context()),
        first_day: unix_day(wanted.from),
        last_day: unix_day(wanted.to),
        group_by: wanted.groups.clone(),
        tag: wanted.tag.map(tag_to_wire),
        ..GetUsageRequest::default()
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let mut usage = app.clients.usage.clone();
    let rows = usage.get_usage(request).await?.into_inner().rows;
    let items = rows.into_iter().map(|row| used(row, &wanted.groups));
    let items: Vec<Used> = items.collect::<Result<_, _>>()?;
    if wanted.csv {
        return Ok(csv(&items));
    }
    let usage = Usage {
        from: wanted.from.to_string(),
        to: wanted.to.to_string(),
        items,
        next_cursor: None,
    };
    success(StatusCode::OK, &usage)
}

/// `GET /operations`.
pub(crate) async fn operations(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = Params::parse(&uri);
    let page: Page<ids::Operation> = query.page();
    let model = query.take("model");
    let allowed = "be a key's id, such as key_…";
    let key = query.read("key_id", allowed, KeyId::parse);
    let tag = query.tag();
    query.finish()?;
    let request = ListOperationsRequest {
        context: Some(caller.context()),
        before: page.behind(),
        model: canonical(&app, model),
        key_id: key.map(KeyId::to_vec).unwrap_or_default().into(),
        limit: page.limit,
        tag: tag.map(tag_to_wire),
        ..ListOperationsRequest::default()
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let mut usage = app.clients.usage.clone();
    let rows = usage
        .list_operations(request)
        .await?
        .into_inner()
        .operations;
    let items: Vec<Operation> = rows.into_iter().map(operation).collect::<Result<_, _>>()?;
    success(
        StatusCode::OK,
        &page.list(items, |operation| &operation.operation_id),
    )
}

/// `GET /operations/{id}/receipt`.
pub(crate) async fn receipt(
    State(app): State<Arc<App>>,
    caller: Scoped<Read>,
    Segments(id): Segments<String>,
) -> Result<Response, ApiError> {
    let nothing = || ApiError::new(code::NOT_FOUND, "there is no such operation that has ended");
    // A task's id names its operation as well.
    let id = OperationId::parse(&id)
        .or_else(|| {
            domain::TaskId::parse(&id).and_then(|task| OperationId::from_slice(&task.to_bytes()))
        })
        .ok_or_else(nothing)?;
    let request = GetReceiptRequest {
        context: Some(caller.context()),
        operation_id: id.to_vec().into(),
    };
    let request = rpc::request(request, app.config.limits.deadlines.billing);
    let mut usage = app.clients.usage.clone();
    let reply = usage.get_receipt(request).await?.into_inner();
    let receipt = Receipt {
        operation: operation(reply.operation.ok_or_else(ApiError::internal)?)?,
        receipt: serde_json::from_slice(&reply.receipt).ok(),
    };
    success(StatusCode::OK, &receipt)
}

/// A model's slug, if the name is one of a model's names; operations are kept by it.
pub(super) fn canonical(app: &App, name: Option<String>) -> String {
    let name = name.unwrap_or_default();
    let model = app.catalogue.find(&name);
    model.map_or(name, |model| model.slug.clone())
}

fn wanted(uri: &Uri, headers: &HeaderMap) -> Result<Wanted, ApiError> {
    let mut query = Params::parse(uri);
    let (usual, most) = DAYS;
    let today = OffsetDateTime::from_unix_timestamp(clock::now_micros() / 1_000_000)
        .map_err(|_| ApiError::internal())?
        .date();
    let allowed = "be a day, such as 2030-01-31";
    let day = |text: &str| Date::parse(text, &Iso8601::DATE).ok();
    let (from, to) = (
        query.read("from", allowed, day),
        query.read("to", allowed, day).unwrap_or(today),
    );
    let from = from.unwrap_or_else(|| to.saturating_sub(Duration::days(usual - 1)));
    if !(0..most).contains(&(to - from).whole_days()) {
        let allowed = format!("not be after to, and be at most {most} days before it");
        query.invalid("from", &allowed);
    }
    let allowed = "be some of day, key, model and route, with commas between them";
    let groups = query.read("group_by", allowed, groups);
    let csv = query.read("format", "be json or csv", |word| match word {
        "csv" => Some(true),
        "json" => Some(false),
        _ => None,
    });
    let accepted = headers.get(header::ACCEPT);
    let accepted = accepted.is_some_and(|accept| accept.as_bytes().starts_with(b"text/csv"));
    let tag = query.tag();
    query.finish()?;
    Ok(Wanted {
        from,
        to,
        groups: groups.unwrap_or_else(|| vec!["model".to_owned()]),
        csv: csv.unwrap_or(accepted),
        tag,
    })
}

/// Words with commas between them; each once, in the order of the columns.
fn groups(text: &str) -> Option<Vec<String>> {
    let words = text.split(',').map(str::trim);
    let words: Vec<&str> = words.filter(|_| !text.is_empty()).collect();
    if !words.iter().all(|word| GROUPS.contains(word)) {
        return None;
    }
    let groups = GROUPS.iter().filter(|group| words.contains(group));
    Some(groups.map(|group| (*group).to_owned()).collect())
}

fn tag_to_wire(tag: Tag) -> WireTag {
    WireTag {
        name: tag.name,
        value: tag.value,
    }
}

/// Days since 1970.
fn unix_day(date: Date) -> i64 {
    (date - OffsetDateTime::UNIX_EPOCH.date()).whole_days()
}

fn used(row: UsageRow, groups: &[String]) -> Result<Used, ApiError> {
    let asked = |group: &str| groups.iter().any(|asked| asked == group);
    let day = OffsetDateTime::UNIX_EPOCH
        .date()
        .checked_add(Duration::days(row.day));
    let day = day.ok_or_else(ApiError::internal)?;
    Ok(Used {
        day: asked("day").then(|| day.to_string()),
        key_id: asked("key").then(|| key(&row.key_id)).transpose()?,
        model: asked("model").then_some(row.model),
        route: asked("route").then_some(row.route),
        operations: row.operations,
        free_operations: row.free,
        credits: Micros::new(row.charged),
        microcredits: row.charged,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
    })
}

fn operation(row: WireOperation) -> Result<Operation, ApiError> {
    let id: OperationId = id_from_wire(&row.operation_id)?;
    Ok(Operation {
        operation_id: id.to_string(),
        key_id: key(&row.key_id)?,
        route: row.route,
        model: row.model,
        provider: row.provider,
        outcome: row.outcome,
        held_credits: Micros::new(row.held),
        held_microcredits: row.held,
        charged_credits: Micros::new(row.charged),
        charged_microcredits: row.charged,
        written_off_microcredits: row.written_off,
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        price_version: row.price_version,
        created_at: clock::rfc3339(row.created_at),
        ended_at: clock::rfc3339(row.ended_at),
    })
}

fn key(bytes: &[u8]) -> Result<Option<String>, ApiError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let key: KeyId = id_from_wire(bytes)?;
    Ok(Some(key.to_string()))
}

/// The same as CSV. None of the fields can hold what would have to be quoted: they are numbers, ids, and words of the catalogue.
fn csv(items: &[Used]) -> Response {
    let mut text = String::from(COLUMNS);
    text.push('\n');
    for item in items {
        let fields = [
            item.day.clone().unwrap_or_default(),
            item.key_id.clone().flatten().unwrap_or_default(),
            item.model.clone().unwrap_or_default(),
            item.route.clone().unwrap_or_default(),
            item.operations.to_string(),
            item.free_operations.to_string(),
            item.credits.to_string(),
            item.input_tokens.to_string(),
            item.output_tokens.to_string(),
        ];
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"usage.csv\"",
        ),
    ];
    (StatusCode::OK, headers, Body::from(text)).into_response()
}
