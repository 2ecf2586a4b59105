//! Stripe's objects in JSON, and the page where customers pay.

use chassis::clock::{MICROS_PER_SECOND, now_micros};
use serde_json::{Value, json};

use super::shop::Happening;

/// A new id.
pub(super) fn id(prefix: &str) -> String {
    let random: [u8; 12] = rand::random();
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}_{digits}")
}

/// Now, in seconds UTC.
pub(super) fn now() -> i64 {
    now_micros() / MICROS_PER_SECOND
}

/// The payment of a session.
pub(super) fn payment(id: &str, session: &Value) -> Value {
    json!({
        "id": id, "object": "payment_intent", "livemode": false, "status": "processing",
        "amount": session["amount_total"], "amount_received": 0, "currency": session["currency"],
        "latest_charge": id.replacen("pi", "ch", 1),
        "metadata": session["sandbox_payment_metadata"],
    })
}

/// The charge of a payment.
pub(super) fn charge(payment: &Value, refunded: i64) -> Value {
    json!({
        "id": payment["latest_charge"], "object": "charge", "livemode": false, "status": "succeeded", "paid": true,
        "amount": payment["amount_received"], "amount_captured": payment["amount_received"], "amount_refunded": refunded,
        "refunded": payment["amount_received"] == refunded, "currency": payment["currency"],
        "payment_intent": payment["id"], "metadata": payment["metadata"],
    })
}

/// A refund of a payment.
pub(super) fn refund(payment: &str, amount: i64, of: &Value) -> Value {
    json!({
        "id": id("re"), "object": "refund", "status": "succeeded", "amount": amount, "currency": of["currency"],
        "charge": of["latest_charge"], "payment_intent": payment, "created": now(), "metadata": {},
    })
}

/// A dispute of a payment, or of a part of it.
pub(super) fn dispute(payment: &str, amount: Option<i64>, of: &Value) -> Value {
    let amount = amount.or_else(|| of["amount_received"].as_i64());
    json!({
        "id": id("du"), "object": "dispute", "status": "needs_response", "amount": amount, "currency": of["currency"],
        "charge": of["latest_charge"], "payment_intent": payment, "created": now(), "livemode": false, "metadata": {},
    })
}

/// Those of these that belong to a payment, the newest first.
pub(super) fn list<'a>(
    objects: impl DoubleEndedIterator<Item = &'a Value>,
    payment: &str,
) -> Value {
    let of_it = objects.rev().filter(|one| one["payment_intent"] == payment);
    json!({ "object": "list", "data": of_it.collect::<Vec<_>>(), "has_more": false })
}

/// The event that tells of something.
pub(super) fn event((kind, object): Happening) -> Value {
    json!({
        "id": id("evt"), "object": "event", "api_version": "2024-06-20", "created": now(), "livemode": false,
        "pending_webhooks": 1, "type": kind, "data": { "object": object },
    })
}

/// The page where a customer pays.
pub(super) fn page(session: &Value) -> String {
    let text = |name: &str| escaped(session[name].as_str().unwrap_or_default());
    let (id, status) = (text("id"), text("status"));
    let amount = session["amount_total"].as_i64().unwrap_or(0);
    let (whole, cents) = (amount / 100, amount % 100);
    let action = if status == "open" {
        format!(
            "<form method=\"post\" action=\"{id}\"><button>Pay (no money is moved)</button></form>"
        )
    } else {
        format!("<p>This page is {status}.</p>")
    };
    format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Simulated checkout</title><h1>{}</h1><p>{whole}.{cents:02} {}</p>{action}",
        text("sandbox_product"),
        text("currency").to_uppercase(),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
