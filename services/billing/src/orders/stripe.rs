//! Stripe's HTTP API, as far as we use it: make a page for paying, look at one, look at a payment with its refunds and disputes.
//! It answers what is; what that means, `state` says.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use bytes::Bytes;
use domain::{OrderId, Secret};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::{Deserialize, de::DeserializeOwned};
use upstream::{Call, Class, ProviderAnswer, ProviderClient, UpstreamConfig, Verdict};
use url::{Url, form_urlencoded};

use super::{
    config,
    error::Refusal,
    state::{Look, Progress, Received, Reversal, ReversalKind, ReversalState},
};
use crate::{Error, store::order::OrderRow};

/// The version of the API whose shapes are read here, whatever the account's own is.
const VERSION: &str = "2024-06-20";
/// The name under which an order's id is kept at Stripe.
const ORDER: &str = "order_id";
/// Refunds or disputes of one page, the most there is.
const PAGE: &str = "100";
/// Pages of refunds or disputes that are read of one payment.
const PAGES: u32 = 10;

/// The way to Stripe. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Stripe {
    client: ProviderClient,
    base: Url,
    key: Secret,
    timeout: Duration,
}

/// Where a customer goes afterwards.
#[derive(Clone, Debug)]
pub(crate) struct Ways {
    pub(crate) success: String,
    pub(crate) cancel: String,
}

/// A page for paying.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) session: String,
    pub(crate) url: String,
}

/// One look at an order's payment.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The order it is for, if it says so.
    pub(crate) order: Option<OrderId>,
    /// The payment, once there is one.
    pub(crate) payment: Option<String>,
    pub(crate) look: Look,
}

#[derive(Deserialize)]
struct Session {
    id: String,
    url: Option<String>,
    status: Option<String>,
    payment_intent: Option<String>,
    #[serde(default)]
    metadata: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct Payment {
    status: String,
    #[serde(default)]
    amount_received: i64,
    currency: String,
    #[serde(default)]
    metadata: Option<HashMap<String, String>>,
}

/// A page of refunds or disputes, which look alike as far as they are read.
#[derive(Deserialize)]
struct Listed {
    data: Vec<Item>,
    #[serde(default)]
    has_more: bool,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    amount: i64,
    #[serde(default)]
    status: Option<String>,
}

// === impl Stripe ===

impl Stripe {
    /// Nothing, where no key is configured.
    ///
    /// # Errors
    /// When the address is no URL, or the HTTP library refuses its settings.
    pub(crate) fn open(
        configured: &config::Stripe,
        limits: &UpstreamConfig,
    ) -> Result<Option<Self>, Error> {
        let Some(key) = configured.api_key.clone() else {
            return Ok(None);
        };
        Ok(Some(Self {
            client: ProviderClient::new(limits)?,
            base: configured.place()?,
            key,
            timeout: configured.timeout,
        }))
    }

    /// Makes the page where an order is paid. Asked again for the same order, Stripe answers with the same page.
    pub(crate) async fn open_page(&self, order: &OrderRow, ways: &Ways) -> Result<Page, Refusal> {
        let id = order.id.to_string();
        let price = order.terms.price.to_string();
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("mode", "payment")
            .append_pair("client_reference_id", &id)
            .append_pair("metadata[order_id]", &id)
            .append_pair("payment_intent_data[metadata][order_id]", &id)
            .append_pair("line_items[0][quantity]", "1")
            .append_pair("line_items[0][price_data][currency]", &order.terms.currency)
            .append_pair("line_items[0][price_data][unit_amount]", &price)
            .append_pair("line_items[0][price_data][product_data][name]", &order.name)
            .append_pair("success_url", &ways.success)
            .append_pair("cancel_url", &ways.cancel)
            .finish();
        let mut headers = self.headers()?;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        let once = HeaderValue::from_str(&id).map_err(|_| Refusal::Answer("an id"))?;
        headers.insert(HeaderName::from_static("idempotency-key"), once);
        let url = self.url(&["checkout", "sessions"])?;
        let session: Session = self.read(Call::post(url, headers, body.into())).await?;
        let url = session.url.ok_or(Refusal::Answer("a page without a URL"))?;
        Ok(Page {
            session: session.id,
            url,
        })
    }

    /// Looks at a page, and at its payment if there is one.
    pub(crate) async fn look_at_session(&self, id: &str) -> Result<Seen, Refusal> {
        let session: Session = self.get(&["checkout", "sessions", id], &[]).await?;
        // Not by `client_reference_id`: whoever follows a payment link of the operator's chooses that one.
        let order = order_of(session.metadata.as_ref());
        let of_page = progress_of_page(&session);
        let Some(payment) = session.payment_intent else {
            return Ok(Seen {
                order,
                payment: None,
                look: Look {
                    progress: of_page,
                    received: None,
                    reversals: BTreeMap::new(),
                    pending: BTreeSet::new(),
                },
            });
        };
        let (mut seen, failed) = self.payment(&payment).await?;
        seen.order = order.or(seen.order);
        // Before the page is complete, a customer whose card was refused may try another one.
        seen.look.progress = if failed && of_page == Progress::Processing {
            Progress::Failed
        } else {
            of_page
        };
        Ok(seen)
    }

    /// Looks at a payment, its refunds and its disputes.
    pub(crate) async fn look_at_payment(&self, id: &str) -> Result<Seen, Refusal> {
        Ok(self.payment(id).await?.0)
    }

    /// The same, and whether the money did not come.
    async fn payment(&self, id: &str) -> Result<(Seen, bool), Refusal> {
        let payment: Payment = self.get(&["payment_intents", id], &[]).await?;
        let received = (payment.status == "succeeded").then(|| Received {
            amount: payment.amount_received,
            currency: payment.currency.to_ascii_lowercase(),
        });
        let (mut reversals, mut pending) = (BTreeMap::new(), BTreeSet::new());
        if received.is_some() {
            for item in self.list("refunds", id).await? {
                let refund = refund(&item);
                if refund.state == ReversalState::Taken && !is_carried_out(&item) {
                    pending.insert(item.id.clone());
                }
                reversals.insert(item.id, refund);
            }
            for item in self.list("disputes", id).await? {
                let dispute = dispute(&item);
                reversals.insert(item.id, dispute);
            }
        }
        let seen = Seen {
            order: order_of(payment.metadata.as_ref()),
            payment: Some(id.to_owned()),
            look: Look {
                progress: Progress::Open,
                received,
                reversals,
                pending,
            },
        };
        let failed = matches!(
            payment.status.as_str(),
            "requires_payment_method" | "canceled"
        );
        Ok((seen, failed))
    }

    /// Reads all refunds or disputes of a payment.
    async fn list(&self, what: &str, payment: &str) -> Result<Vec<Item>, Refusal> {
        let mut items: Vec<Item> = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let mut query = vec![("payment_intent", payment), ("limit", PAGE)];
            if let Some(after) = &after {
                query.push(("starting_after", after));
            }
            let page: Listed = self.get(&[what], &query).await?;
            let is_last = !page.has_more || page.data.is_empty();
            items.extend(page.data);
            if is_last {
                return Ok(items);
            }
            after = items.last().map(|last| last.id.clone());
        }
        Err(Refusal::Answer("more refunds or disputes than we read"))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Refusal> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.read(Call::get(url, self.headers()?)).await
    }

    async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, Refusal> {
        let call = call.first_byte_within(self.timeout);
        let reply = self.client.send(call, verdict).await;
        let body: Bytes = match reply {
            Ok(reply) => reply.bytes().await.map_err(Refusal::Provider)?,
            Err(failure) => return Err(Refusal::Provider(failure)),
        };
        serde_json::from_slice(&body).map_err(|_| Refusal::Answer("JSON of another shape"))
    }

    /// The address of something below `/v1`.
    fn url(&self, path: &[&str]) -> Result<Url, Refusal> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Refusal::Answer("an address"))?
            .pop_if_empty()
            .push("v1")
            .extend(path);
        Ok(url)
    }

    fn headers(&self) -> Result<HeaderMap, Refusal> {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", self.key.expose()));
        // A key with a line break in it: nothing of it may be shown.
        let mut bearer = bearer.map_err(|_| {
            Refusal::NotConfigured("orders.stripe.api_key to a key", "STRIPE_API_KEY")
        })?;
        bearer.set_sensitive(true);
        Ok(HeaderMap::from_iter([
            (header::AUTHORIZATION, bearer),
            (
                HeaderName::from_static("stripe-version"),
                HeaderValue::from_static(VERSION),
            ),
        ]))
    }
}

/// How far a page has come, unless money was received.
fn progress_of_page(session: &Session) -> Progress {
    match session.status.as_deref() {
        Some("expired") => Progress::Expired,
        Some("complete") => Progress::Processing,
        Some(_) | None => Progress::Open,
    }
}

fn order_of(metadata: Option<&HashMap<String, String>>) -> Option<OrderId> {
    OrderId::parse(metadata?.get(ORDER)?)
}

fn refund(item: &Item) -> Reversal {
    let state = match item.status.as_deref() {
        Some("failed" | "canceled") => ReversalState::Returned,
        // Ordered is as good as gone: the money leaves our account at once.
        Some(_) | None => ReversalState::Taken,
    };
    Reversal {
        kind: ReversalKind::Refund,
        amount: item.amount.max(0),
        state,
    }
}

/// Whether a refund is more than ordered.
fn is_carried_out(refund: &Item) -> bool {
    refund.status.as_deref() == Some("succeeded")
}

fn dispute(item: &Item) -> Reversal {
    let state = match item.status.as_deref() {
        Some("won" | "warning_closed" | "prevented") => ReversalState::Returned,
        Some("warning_needs_response" | "warning_under_review") => ReversalState::Watched,
        Some(_) | None => ReversalState::Taken,
    };
    Reversal {
        kind: ReversalKind::Dispute,
        amount: item.amount.max(0),
        state,
    }
}

/// Stripe's own words about a wrong request, for the operator.
fn verdict(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    #[derive(Deserialize)]
    struct Body {
        error: Inner,
    }
    #[derive(Deserialize)]
    struct Inner {
        message: Option<String>,
    }
    let class = Class::of_status(answer.status);
    let body: Body = serde_json::from_slice(answer.body).ok()?;
    (class == Class::Invalid)
        .then(|| Verdict::with_detail(class, body.error.message.unwrap_or_default()))
}
