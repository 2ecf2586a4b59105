//! Use cases: what can be bought; order a pack; look at orders.

use chassis::clock::micros;
use domain::{AccountId, Caller, Mode, OrderId};
use tracing::{info, instrument};

use super::{
    Orders,
    book::{derived, transfer_id},
    config::Pack,
    error::Refusal,
    state::{Booked, Progress, Shown, Terms},
    stripe::Ways,
};
use crate::{
    Error,
    resend::until_known,
    store::{self, order::OrderRow},
};

/// What stands for the order in a configured URL.
const ORDER_ID: &str = "{ORDER_ID}";

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewOrder {
    /// The pack's id.
    pub(crate) pack: String,
    /// The client's Idempotency-Key; empty for none.
    pub(crate) request_key: String,
    /// Where the customer's browser comes from, without a slash at the end.
    pub(crate) origin: String,
    /// The path there that it goes back to, with [`ORDER_ID`] in it; empty: the first page.
    pub(crate) back: String,
}

/// The answer to a request for an order.
#[derive(Clone, Debug)]
pub(crate) struct Ordered {
    pub(crate) order: OrderRow,
    /// Whether an earlier request with the same key was answered with it.
    pub(crate) replayed: bool,
}

impl Orders {
    /// What can be bought.
    pub(crate) fn packs(&self) -> &[Pack] {
        &self.inner.config.orders.packs
    }

    /// Opens an order and its page at Stripe. With the same request key it is the same order, for a day.
    ///
    /// # Errors
    /// When the key is a test key, there is no such pack, Stripe is not set up or fails, or the database failed.
    #[instrument(skip_all, fields(account.id = %caller.account))]
    pub(crate) async fn create(&self, caller: &Caller, wanted: NewOrder) -> Result<Ordered, Error> {
        if caller.mode != Mode::Live {
            return Err(Refusal::LiveKeyNeeded.into());
        }
        let stripe = self.stripe()?;
        let pack = self.inner.config.orders.pack(&wanted.pack);
        let pack = pack.ok_or_else(|| unknown_pack(self.packs()))?;
        let order = self
            .keep(self.row(caller.account, pack, &wanted.request_key))
            .await?;
        if order.pack != pack.id {
            return Err(Error::TransferConflict);
        }
        if order.url.is_some() {
            return Ok(Ordered {
                order,
                replayed: true,
            });
        }
        match stripe.open_page(&order, &self.ways(&order, &wanted)).await {
            Ok(page) => {
                let order = self.with_page(order, page.session, page.url).await?;
                info!(order.id = %order.id, pack = order.pack, "opened an order");
                Ok(Ordered {
                    order,
                    replayed: false,
                })
            }
            Err(refusal) => {
                // Who sends the same request again gets another try; without a key there is no such request.
                if order.request.is_none() {
                    self.give_up(order.id).await?;
                }
                Err(refusal.into())
            }
        }
    }

    /// One order of an account. Orders are live: for a test key there is none.
    ///
    /// # Errors
    /// When there is none, or the database failed.
    pub(crate) async fn get(&self, caller: &Caller, id: OrderId) -> Result<OrderRow, Error> {
        let db = &self.inner.db;
        let found: Result<_, Error> = db
            .read(async {
                let mut connection = db.reader().acquire().await?;
                store::order::get(&mut connection, id).await
            })
            .await;
        found?
            .filter(|order| order.account == caller.account && caller.mode == Mode::Live)
            .ok_or(Error::NotFound("order"))
    }

    /// When an order's credit was booked, in microseconds UTC, if it was.
    ///
    /// # Errors
    /// When the database failed.
    pub(crate) async fn paid_at(&self, id: OrderId) -> Result<Option<i64>, Error> {
        let db = &self.inner.db;
        db.read(async {
            let mut connection = db.reader().acquire().await?;
            store::order::booked_at(&mut connection, transfer_id(id, 0)).await
        })
        .await
    }

    /// A page of an account's orders, the newest first.
    ///
    /// # Errors
    /// When the database failed.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        before: Option<OrderId>,
        limit: u32,
    ) -> Result<Vec<OrderRow>, Error> {
        if caller.mode != Mode::Live {
            return Ok(Vec::new());
        }
        let (db, limit) = (&self.inner.db, i64::from(limit.clamp(1, 1_000)));
        db.read(async {
            let mut connection = db.reader().acquire().await?;
            store::order::list(&mut connection, caller.account, before, limit).await
        })
        .await
    }

    fn row(&self, account: AccountId, pack: &Pack, request_key: &str) -> OrderRow {
        let now = self.inner.db.now_micros();
        let request = derived(&[b"request", request_key.as_bytes()]).to_vec();
        OrderRow {
            id: chassis::mint(),
            account,
            request: (!request_key.is_empty()).then_some(request),
            pack: pack.id.clone(),
            name: pack.name.clone(),
            terms: Terms {
                credits: pack.amount(),
                price: i64::from(pack.price),
                currency: pack.currency.clone(),
            },
            url: None,
            payment: None,
            shown: Shown {
                progress: Progress::Open,
                received: 0,
                refunded: 0,
                disputed: 0,
            },
            booked: Booked::default(),
            bookings: 0,
            created_at: now,
            updated_at: now,
        }
    }

    /// Keeps an order, or finds the one that the same request made before.
    async fn keep(&self, order: OrderRow) -> Result<OrderRow, Error> {
        let (db, config) = (&self.inner.db, &self.inner.config);
        let life = micros(config.orders.idempotency);
        let kept = until_known(&config.limits, || {
            let order = order.clone();
            db.write(move |connection| {
                Box::pin(async move {
                    if let Some(request) = &order.request {
                        let until = order.created_at.saturating_sub(life);
                        store::order::forget_request(connection, order.account, request, until)
                            .await?;
                    }
                    store::order::insert(connection, &order).await?;
                    match &order.request {
                        Some(request) => {
                            store::order::by_request(connection, order.account, request).await
                        }
                        None => store::order::get(connection, order.id).await,
                    }
                })
            })
        });
        kept.await?.ok_or(Error::Corrupt("an order was not kept"))
    }

    async fn with_page(
        &self,
        order: OrderRow,
        session: String,
        url: String,
    ) -> Result<OrderRow, Error> {
        let (db, id) = (&self.inner.db, order.id);
        let kept = until_known(&self.inner.config.limits, || {
            let (session, url) = (session.clone(), url.clone());
            db.write(move |connection| {
                Box::pin(async move {
                    store::order::set_page(connection, id, &session, &url).await?;
                    store::order::get(connection, id).await
                })
            })
        });
        kept.await?.ok_or(Error::Corrupt("an order is gone"))
    }

    async fn give_up(&self, id: OrderId) -> Result<(), Error> {
        let db = &self.inner.db;
        let now = db.now_micros();
        db.write(move |connection| Box::pin(store::order::give_up(connection, id, now)))
            .await
    }

    fn ways(&self, order: &OrderRow, wanted: &NewOrder) -> Ways {
        let config = &self.inner.config.orders;
        let NewOrder { origin, back, .. } = wanted;
        let way = |configured: &Option<String>, own: String| {
            let url = configured.as_ref().unwrap_or(&own);
            url.replace(ORDER_ID, &order.id.to_string())
        };
        let [paid, turned] = if back.is_empty() {
            [(); 2].map(|()| format!("{origin}/?order={ORDER_ID}"))
        } else {
            // The page is told which of the two it was.
            [format!("{origin}{back}?paid=1"), format!("{origin}{back}")]
        };
        Ways {
            success: way(&config.success_url, paid),
            cancel: way(&config.cancel_url, turned),
        }
    }
}

fn unknown_pack(packs: &[Pack]) -> Error {
    let ids: Vec<&str> = packs.iter().map(|pack| pack.id.as_str()).collect();
    Error::invalid("pack", format!("be one of {}", ids.join(", ")))
}
