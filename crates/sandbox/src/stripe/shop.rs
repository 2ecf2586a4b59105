//! What the simulated Stripe remembers, and what happens to it. Everything is in the shape of Stripe's own objects.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{body::Bytes, response::Response};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::wire;
use crate::answer;

/// Everything there is.
#[derive(Debug, Default)]
pub(super) struct Shop {
    state: Mutex<Goods>,
}

#[derive(Debug, Default)]
struct Goods {
    sessions: BTreeMap<String, Value>,
    payments: BTreeMap<String, Value>,
    refunds: BTreeMap<String, Value>,
    disputes: BTreeMap<String, Value>,
    /// Requests by their idempotency key: what was sent, and the session it made.
    requests: HashMap<HeaderValue, (Bytes, String)>,
}

/// Something that happened: the event's type and its object.
pub(super) type Happening = (&'static str, Value);

/// What happened to an object, and what is told of it.
type Happened = Result<(Value, Vec<Happening>), Wrong>;

/// A session that is asked for.
#[derive(Debug)]
pub(super) struct NewSession(Value);

/// A refusal in Stripe's shape.
#[derive(Debug)]
pub(super) struct Wrong {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

// === impl NewSession ===

impl NewSession {
    /// Reads the form; `pages` is where customers pay.
    pub(super) fn read(form: &HashMap<String, String>, pages: &str) -> Result<Self, Wrong> {
        let field = |name: &str| form.get(name).ok_or_else(|| Wrong::missing(name));
        let line = |name: &str| field(&format!("line_items[0]{name}"));
        if field("mode")? != "payment" {
            return Err(Wrong::invalid("the sandbox knows mode=payment only"));
        }
        let number = |text: &String| {
            let number = text.parse::<i64>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| Wrong::invalid("Invalid positive integer"))
        };
        let price = number(line("[price_data][unit_amount]")?)?;
        let total = price.checked_mul(number(line("[quantity]")?)?);
        let total = total.ok_or_else(|| Wrong::invalid("the amount is too large"))?;
        let metadata = |prefix: &str| -> Value {
            let inside = form.iter().filter_map(|(name, value)| {
                let name = name.strip_prefix(prefix)?.strip_suffix(']')?;
                Some((name.to_owned(), json!(value)))
            });
            Value::Object(inside.collect())
        };
        let id = wire::id("cs_test");
        Ok(Self(json!({
            "id": id, "object": "checkout.session", "mode": "payment", "livemode": false,
            "status": "open", "payment_status": "unpaid", "payment_intent": null,
            "amount_subtotal": total, "amount_total": total,
            "currency": line("[price_data][currency]")?,
            "client_reference_id": form.get("client_reference_id"),
            "metadata": metadata("metadata["),
            "success_url": field("success_url")?, "cancel_url": form.get("cancel_url"),
            "url": format!("{pages}/{id}"),
            "sandbox_product": line("[price_data][product_data][name]")?,
            "sandbox_payment_metadata": metadata("payment_intent_data[metadata]["),
        })))
    }
}

// === impl Shop ===

impl Shop {
    /// Opens a session. The same request again gets the same one.
    pub(super) fn open(
        &self,
        NewSession(session): NewSession,
        once: Option<(&HeaderValue, &Bytes)>,
    ) -> Result<Value, Wrong> {
        let mut goods = self.locked();
        let id = text(&session, "id");
        if let Some((key, body)) = once {
            match goods.requests.get(key) {
                Some((before, _)) if before != body => return Err(Wrong::reused()),
                Some((_, made)) => return goods.session(made).cloned(),
                None => goods
                    .requests
                    .insert(key.clone(), (body.clone(), id.clone())),
            };
        }
        goods.sessions.insert(id, session.clone());
        Ok(session)
    }

    pub(super) fn session(&self, id: &str) -> Result<Value, Wrong> {
        self.locked().session(id).cloned()
    }

    pub(super) fn payment(&self, id: &str) -> Result<Value, Wrong> {
        self.locked().payment(id).cloned()
    }

    pub(super) fn refunds_of(&self, payment: &str) -> Value {
        wire::list(self.locked().refunds.values(), payment)
    }

    pub(super) fn disputes_of(&self, payment: &str) -> Value {
        wire::list(self.locked().disputes.values(), payment)
    }

    /// The customer pays, or the money that was on its way comes.
    pub(super) fn pay(&self, id: &str, amount: Option<i64>, currency: Option<String>) -> Happened {
        let mut goods = self.locked();
        let was_begun = goods.session(id)?["status"] == "complete";
        let payment = goods.advance(id, "succeeded")?;
        if let Some(payment) = goods.payments.get_mut(&payment) {
            let due = payment["amount"].as_i64();
            payment["amount_received"] = json!(amount.or(due));
            if let Some(currency) = currency {
                payment["currency"] = json!(currency);
            }
        }
        let session = goods.session(id)?.clone();
        let kind = if was_begun {
            "checkout.session.async_payment_succeeded"
        } else {
            "checkout.session.completed"
        };
        Ok((session.clone(), vec![(kind, session)]))
    }

    /// The customer has done their part; the money is on its way.
    pub(super) fn begin(&self, id: &str) -> Happened {
        let mut goods = self.locked();
        goods.advance(id, "processing")?;
        let session = goods.session(id)?.clone();
        Ok((
            session.clone(),
            vec![("checkout.session.completed", session)],
        ))
    }

    /// The money that was on its way does not come.
    pub(super) fn fail(&self, id: &str) -> Happened {
        let mut goods = self.locked();
        goods.advance(id, "requires_payment_method")?;
        let session = goods.session(id)?.clone();
        let kind = "checkout.session.async_payment_failed";
        Ok((session.clone(), vec![(kind, session)]))
    }

    /// Nobody paid in time.
    pub(super) fn expire(&self, id: &str) -> Happened {
        let mut goods = self.locked();
        let session = goods.session_mut(id)?;
        if session["status"] != "open" {
            return Err(Wrong::invalid("Only open sessions can be expired"));
        }
        session["status"] = json!("expired");
        session["url"] = Value::Null;
        let session = session.clone();
        Ok((session.clone(), vec![("checkout.session.expired", session)]))
    }

    /// Money is given back: so much of it, or all that is left.
    pub(super) fn refund(&self, payment: &str, amount: Option<i64>) -> Happened {
        let mut goods = self.locked();
        let left = goods.left(payment)?;
        let amount = amount.unwrap_or(left);
        if amount <= 0 || amount > left {
            return Err(Wrong::invalid("Refund amount is greater than what is left"));
        }
        let refund = wire::refund(payment, amount, goods.payment(payment)?);
        goods.refunds.insert(text(&refund, "id"), refund.clone());
        let charge = goods.charge(payment)?;
        let told = vec![
            ("charge.refunded", charge),
            ("refund.created", refund.clone()),
        ];
        Ok((refund, told))
    }

    /// The bank sends a refund back.
    pub(super) fn fail_refund(&self, id: &str) -> Happened {
        let mut goods = self.locked();
        let refund = goods.refunds.get_mut(id);
        let refund = refund.ok_or_else(|| Wrong::nothing(id))?;
        refund["status"] = json!("failed");
        let refund = refund.clone();
        Ok((refund.clone(), vec![("refund.failed", refund)]))
    }

    /// The customer's bank claims the money: so much of it, or all.
    pub(super) fn dispute(&self, payment: &str, amount: Option<i64>) -> Happened {
        let mut goods = self.locked();
        let dispute = wire::dispute(payment, amount, goods.payment(payment)?);
        goods.disputes.insert(text(&dispute, "id"), dispute.clone());
        Ok((dispute.clone(), vec![("charge.dispute.created", dispute)]))
    }

    /// A dispute is decided.
    pub(super) fn close(&self, id: &str, status: &str) -> Happened {
        let mut goods = self.locked();
        let dispute = goods.disputes.get_mut(id);
        let dispute = dispute.ok_or_else(|| Wrong::nothing(id))?;
        dispute["status"] = json!(status);
        let dispute = dispute.clone();
        Ok((dispute.clone(), vec![("charge.dispute.closed", dispute)]))
    }

    /// What is behind this lock is whole between any two statements.
    fn locked(&self) -> MutexGuard<'_, Goods> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Goods ===

impl Goods {
    fn session(&self, id: &str) -> Result<&Value, Wrong> {
        self.sessions.get(id).ok_or_else(|| Wrong::nothing(id))
    }

    fn session_mut(&mut self, id: &str) -> Result<&mut Value, Wrong> {
        self.sessions.get_mut(id).ok_or_else(|| Wrong::nothing(id))
    }

    fn payment(&self, id: &str) -> Result<&Value, Wrong> {
        self.payments.get(id).ok_or_else(|| Wrong::nothing(id))
    }

    /// Brings a session's payment to a status, making it if there is none yet, and gives its id.
    fn advance(&mut self, id: &str, status: &str) -> Result<String, Wrong> {
        let session = self.session_mut(id)?;
        let ended = session["status"] == "expired" || session["payment_status"] == "paid";
        if ended {
            return Err(Wrong::invalid("this session has ended"));
        }
        let payment = match session["payment_intent"].as_str() {
            Some(payment) => payment.to_owned(),
            None => wire::id("pi"),
        };
        session["status"] = json!("complete");
        session["url"] = Value::Null;
        session["payment_intent"] = json!(payment);
        if status == "succeeded" {
            session["payment_status"] = json!("paid");
        }
        let session = session.clone();
        let made = self
            .payments
            .entry(payment.clone())
            .or_insert_with(|| wire::payment(&payment, &session));
        made["status"] = json!(status);
        Ok(payment)
    }

    /// What of a payment was not refunded.
    fn left(&self, payment: &str) -> Result<i64, Wrong> {
        let received = self.payment(payment)?["amount_received"].as_i64();
        Ok(received.unwrap_or(0).saturating_sub(self.refunded(payment)))
    }

    fn refunded(&self, payment: &str) -> i64 {
        self.refunds
            .values()
            .filter(|refund| refund["payment_intent"] == payment && refund["status"] != "failed")
            .filter_map(|refund| refund["amount"].as_i64())
            .fold(0, i64::saturating_add)
    }

    fn charge(&self, payment: &str) -> Result<Value, Wrong> {
        let refunded = self.refunded(payment);
        Ok(wire::charge(self.payment(payment)?, refunded))
    }
}

// === impl Wrong ===

impl Wrong {
    pub(super) fn unauthorized() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..Self::invalid("You did not provide an API key.")
        }
    }

    pub(super) fn missing(name: &str) -> Self {
        Self::invalid(format!("Missing required param: {name}."))
    }

    pub(super) fn nothing(what: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            ..Self::invalid(format!("No such thing: '{what}'"))
        }
    }

    fn reused() -> Self {
        Self {
            kind: "idempotency_error",
            ..Self::invalid(
                "Keys for idempotent requests can only be used with the same parameters",
            )
        }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "invalid_request_error",
            message: message.into(),
        }
    }
}

impl From<Wrong> for Response {
    fn from(wrong: Wrong) -> Self {
        let error = json!({ "error": { "type": wrong.kind, "message": wrong.message } });
        answer::json(wrong.status, &error)
    }
}

fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_default().to_owned()
}
