//! Answers of the admin routes, for people.

use serde_json::Value;

/// One line a field.
pub(super) fn fields(data: &Value) -> Vec<String> {
    match data.as_object() {
        Some(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", plain(value)))
            .collect(),
        None => vec!["done".to_owned()],
    }
}

/// One line a check, and the verdict.
pub(super) fn audit(data: &Value) -> Vec<String> {
    let mut lines: Vec<String> = rows(data, "checks")
        .map(|check| {
            let mark = if check.get("ok").and_then(Value::as_bool) == Some(true) {
                "ok  "
            } else {
                "FAIL"
            };
            format!(
                "{mark}  {:<28} {}",
                text(check, "name"),
                text(check, "figure")
            )
        })
        .collect();
    let holds = data.get("ok").and_then(Value::as_bool) == Some(true);
    lines.push(if holds {
        "the ledger holds".to_owned()
    } else {
        "the ledger does NOT hold".to_owned()
    });
    lines
}

/// One line an account.
pub(super) fn accounts(data: &Value) -> Vec<String> {
    table(data, &["account_id", "name"], "no accounts")
}

/// One line a key.
pub(super) fn keys(data: &Value) -> Vec<String> {
    table(data, &["key_id", "mode", "last_four", "name"], "no keys")
}

/// One line a new redeem code: the code itself, to be handed out.
pub(super) fn new_codes(data: &Value) -> Vec<String> {
    table(data, &["code"], "no codes")
}

/// One line a redeem code.
pub(super) fn codes(data: &Value) -> Vec<String> {
    let columns = [
        "code_id",
        "last_four",
        "mode",
        "credits",
        "uses",
        "max_uses",
        "expires_at",
        "revoked_at",
    ];
    table(data, &columns, "no redeem codes")
}

/// One line a change, the newest first.
pub(super) fn audit_log(data: &Value) -> Vec<String> {
    let columns = ["created_at", "actor", "action", "subject", "detail"];
    table(data, &columns, "nothing was changed")
}

/// One line a task.
pub(super) fn tasks(data: &Value) -> Vec<String> {
    let columns = [
        "task_id",
        "status",
        "model",
        "provider",
        "account_id",
        "created_at",
    ];
    table(data, &columns, "no such tasks")
}

/// What became of a task: its fields, and then what happened, a line each.
pub(super) fn task(data: &Value) -> Vec<String> {
    let told = ["runs", "files", "interventions", "timeline", "deliveries"];
    let plain_fields = data.as_object().into_iter().flatten();
    let mut lines: Vec<String> = plain_fields
        .filter(|(name, value)| !told.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| format!("{name}: {}", plain(value)))
        .collect();
    for file in rows(data, "files") {
        let (number, kind) = (text(file, "number"), text(file, "content_type"));
        let (bytes, until) = (text(file, "bytes"), text(file, "expires_at"));
        lines.push(format!(
            "file {number}: {kind}, {bytes} bytes, until {until}"
        ));
    }
    lines.extend(rows(data, "deliveries").map(of_task));
    let moments = rows(data, "timeline");
    lines.extend(moments.map(|moment| format!("{}  {}", text(moment, "at"), text(moment, "what"))));
    lines
}

/// One line a webhook endpoint.
pub(super) fn endpoints(data: &Value) -> Vec<String> {
    let columns = [
        "endpoint_id",
        "account_id",
        "mode",
        "url",
        "disabled_reason",
        "created_at",
    ];
    table(data, &columns, "no webhook endpoints")
}

/// One line a delivery.
pub(super) fn deliveries(data: &Value) -> Vec<String> {
    let columns = [
        "delivery_id",
        "state",
        "type",
        "attempts",
        "last_status",
        "account_id",
        "created_at",
    ];
    table(data, &columns, "no such deliveries")
}

/// A delivery: its fields, and then its attempts, a line each.
pub(super) fn delivery(data: &Value) -> Vec<String> {
    let plain_fields = data.as_object().into_iter().flatten();
    let fields = plain_fields
        .filter(|(name, value)| name.as_str() != "history" && !value.is_null())
        .map(|(name, value)| format!("{name}: {}", plain(value)));
    fields.chain(rows(data, "history").map(attempt)).collect()
}

/// An attempt that has ended.
fn attempt(ended: &Value) -> String {
    let (number, at) = (text(ended, "number"), text(ended, "started_at"));
    let mut line = format!("{at}  attempt {number}, {} ms", text(ended, "latency_ms"));
    for (name, what) in [
        ("status", "status"),
        ("error", "error"),
        ("response", "response"),
    ] {
        if let Some(value) = ended.get(name).filter(|value| !value.is_null()) {
            // In quotes: a response may have several lines.
            let value = match name {
                "response" => value.to_string(),
                _ => plain(value),
            };
            line.push_str(&format!(", {what} {value}"));
        }
    }
    line
}

/// One event on its way to one URL.
fn of_task(told: &Value) -> String {
    let whom = match told.get("endpoint_id") {
        None | Some(Value::Null) => "its callback_url".to_owned(),
        Some(endpoint) => plain(endpoint),
    };
    let (event, kind, state) = (
        text(told, "event_id"),
        text(told, "type"),
        text(told, "state"),
    );
    let mut line = format!(
        "{event}: {kind} to {whom}: {state}, {} attempts ended",
        text(told, "attempts")
    );
    for (name, what) in [
        ("last_status", "last status"),
        ("last_error", "last error"),
        ("next_at", "next at"),
        ("ended_at", "ended at"),
    ] {
        if let Some(value) = told.get(name).filter(|value| !value.is_null()) {
            line.push_str(&format!(", {what} {}", plain(value)));
        }
    }
    line
}

/// One line an attempt.
pub(super) fn unknown(data: &Value) -> Vec<String> {
    table(
        data,
        &["task_id", "provider", "submitted_at"],
        "no submit has an unknown outcome",
    )
}

fn table(data: &Value, columns: &[&str], empty: &str) -> Vec<String> {
    let lines: Vec<String> = rows(data, "items")
        .map(|row| {
            columns
                .iter()
                .map(|column| text(row, column))
                .collect::<Vec<_>>()
                .join("  ")
        })
        .collect();
    if lines.is_empty() {
        vec![empty.to_owned()]
    } else {
        lines
    }
}

fn rows<'a>(data: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    data.get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text(row: &Value, name: &str) -> String {
    row.get(name).map(plain).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
