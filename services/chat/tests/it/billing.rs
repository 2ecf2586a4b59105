//! A billing that books in memory, and fails as it is told.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use domain::{
    Catalogue,
    receipt::{Receipt, recompute},
};
use proto::{
    Fault,
    billing::v1::{
        ExtendReply, ExtendRequest, FreezeAccountReply, FreezeAccountRequest,
        billing_server::Billing, prices_server::Prices, *,
    },
    code,
};
use tonic::{Request, Response, Status};

/// What happens to the next call of a kind.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    /// It is answered.
    Answer,
    /// It is refused, and nothing is booked.
    Refuse(Fault),
    /// It is booked, and never answered.
    BookAndStall,
    /// It is neither booked nor answered.
    Stall,
}

/// What was booked.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Micro-credits that are not held.
    pub(crate) available: i64,
    pub(crate) open: HashMap<Vec<u8>, i64>,
    /// The most that were open at once.
    pub(crate) most_open: usize,
    pub(crate) holds: Vec<HoldRequest>,
    /// How each hold ended: what was charged, or that nothing was.
    pub(crate) ended: HashMap<Vec<u8>, Option<i64>>,
    pub(crate) settles_asked: usize,
    /// Those that ended by time: they can still be charged late.
    expired: HashSet<Vec<u8>>,
    /// What ended a hold; not its repeats.
    pub(crate) settles: Vec<SettleRequest>,
    /// Price lists that are kept, by version.
    pub(crate) lists: HashMap<String, String>,
    /// What happens to the next list.
    pub(crate) list_plans: VecDeque<Plan>,
    pub(crate) hold_plans: VecDeque<Plan>,
    /// The last one stays.
    pub(crate) settle_plans: VecDeque<Plan>,
}

/// The fake. Clones share their books.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeBilling(Arc<Mutex<Books>>);

// === impl FakeBilling ===

impl FakeBilling {
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap()
    }

    /// The one charge: micro-credits, and the receipt.
    pub(crate) fn captured(&self) -> (i64, serde_json::Value) {
        let books = self.books();
        let [settle] = books.settles.as_slice() else {
            panic!("{} settlements", books.settles.len());
        };
        assert_eq!(settle.outcome(), Outcome::Capture);
        (settle.amount, books.checked(settle))
    }

    /// Why nothing was charged: the receipt of the one release.
    pub(crate) fn released(&self) -> serde_json::Value {
        let books = self.books();
        let [settle] = books.settles.as_slice() else {
            panic!("{} settlements", books.settles.len());
        };
        assert_eq!((settle.outcome(), settle.amount), (Outcome::Release, 0));
        books.checked(settle)
    }

    /// Every open hold ends by itself.
    pub(crate) fn expire_all(&self) {
        let mut books = self.books();
        for (id, held) in std::mem::take(&mut books.open) {
            books.available += held;
            books.expired.insert(id.clone());
            books.ended.insert(id, None);
        }
    }

    /// How many settlements were asked for.
    pub(crate) fn settles_asked(&self) -> usize {
        self.books().settles_asked
    }

    async fn follow<T>(
        plan: Plan,
        book: impl FnOnce() -> Result<T, Fault>,
    ) -> Result<Response<T>, Status> {
        match plan {
            Plan::Answer => Ok(Response::new(book()?)),
            Plan::Refuse(fault) => Err(fault.into()),
            Plan::BookAndStall => {
                book()?;
                std::future::pending().await
            }
            Plan::Stall => std::future::pending().await,
        }
    }
}

// === impl Books ===

impl Books {
    /// A settlement's receipt, which says what is charged and can be computed again from the list that was kept for it.
    pub(crate) fn checked(&self, settle: &SettleRequest) -> serde_json::Value {
        let Ok(receipt) = serde_json::from_slice::<Receipt>(&settle.receipt) else {
            // Of what a dead process left, no more is known than that.
            assert_eq!(settle.amount, 0);
            return serde_json::from_slice(&settle.receipt).unwrap();
        };
        let list = self.lists.get(&receipt.price_version);
        if let Some(list) = list {
            let sum = recompute(&Catalogue::from_list(list).unwrap(), &receipt).unwrap();
            assert_eq!(sum.total.get(), settle.amount);
        } else {
            assert_eq!(
                settle.amount, 0,
                "nothing is charged by a list that is not kept"
            );
        }
        serde_json::from_slice(&settle.receipt).unwrap()
    }

    fn hold(&mut self, request: HoldRequest) -> Result<HoldReply, Fault> {
        let id = request.hold_id.to_vec();
        if let Some(granted) = self.open.get(&id) {
            return Ok(HoldReply {
                granted: *granted,
                available: self.available,
            });
        }
        if self.ended.contains_key(&id) {
            return Err(conflict());
        }
        let granted = request.amount.min(self.available);
        if granted < request.floor {
            let message = format!(
                "this request needs {} micro-credits, {} are available",
                request.floor, self.available
            );
            return Err(Fault::new(code::INSUFFICIENT_CREDITS, message));
        }
        self.available -= granted;
        self.open.insert(id, granted);
        self.most_open = self.most_open.max(self.open.len());
        self.holds.push(request);
        Ok(HoldReply {
            granted,
            available: self.available,
        })
    }

    /// As the ledger does: the first ending counts, its repeats are answered alike, and every other one is refused.
    fn settle(&mut self, request: SettleRequest) -> Result<SettleReply, Fault> {
        let id = request.hold_id.to_vec();
        let is_capture = request.outcome() == Outcome::Capture;
        if is_capture && request.context.is_some() && self.expired.remove(&id) {
            self.available -= request.amount;
            self.ended.insert(id, Some(request.amount));
            return Ok(SettleReply {
                captured: request.amount,
            });
        }
        if let Some(ended) = self.ended.get(&id) {
            return match ended {
                Some(captured) if is_capture && *captured == request.amount => Ok(SettleReply {
                    captured: *captured,
                }),
                None if !is_capture => Ok(SettleReply { captured: 0 }),
                Some(_) | None => Err(conflict()),
            };
        }
        let captured = match self.open.remove(&id) {
            Some(held) => {
                let captured = request.amount.min(held);
                self.available += held - captured;
                captured
            }
            None => 0,
        };
        self.ended.insert(id, is_capture.then_some(captured));
        self.settles.push(request);
        Ok(SettleReply { captured })
    }

    /// Every charge.
    pub(crate) fn charges(&self) -> Vec<i64> {
        self.ended.values().filter_map(|ended| *ended).collect()
    }
}

fn conflict() -> Fault {
    Fault::new(code::HOLD_CONFLICT, "the hold has ended otherwise")
}

#[tonic::async_trait]
impl Billing for FakeBilling {
    async fn hold(&self, request: Request<HoldRequest>) -> Result<Response<HoldReply>, Status> {
        let plan = self.books().hold_plans.pop_front().unwrap_or(Plan::Answer);
        Self::follow(plan, || self.books().hold(request.into_inner())).await
    }

    async fn settle(
        &self,
        request: Request<SettleRequest>,
    ) -> Result<Response<SettleReply>, Status> {
        let plan = {
            let mut books = self.books();
            books.settles_asked += 1;
            let plans = &mut books.settle_plans;
            let last = plans.len() <= 1;
            let plan = if last {
                plans.front().cloned()
            } else {
                plans.pop_front()
            };
            plan.unwrap_or(Plan::Answer)
        };
        Self::follow(plan, || self.books().settle(request.into_inner())).await
    }

    async fn extend(&self, _: Request<ExtendRequest>) -> Result<Response<ExtendReply>, Status> {
        Err(not_here())
    }

    async fn freeze_account(
        &self,
        _: Request<FreezeAccountRequest>,
    ) -> Result<Response<FreezeAccountReply>, Status> {
        Err(not_here())
    }

    async fn authenticate(
        &self,
        _: Request<AuthenticateRequest>,
    ) -> Result<Response<Identity>, Status> {
        Err(not_here())
    }

    async fn get_balance(
        &self,
        request: Request<GetBalanceRequest>,
    ) -> Result<Response<Balance>, Status> {
        let context = request.into_inner().context.unwrap();
        let books = self.books();
        let held: i64 = books.open.values().sum();
        Ok(Response::new(Balance {
            account_id: context.account_id,
            mode: context.mode,
            posted: books.available + held,
            held,
            open_holds: i64::try_from(books.open.len()).unwrap(),
            ..Balance::default()
        }))
    }

    async fn create_account(
        &self,
        _: Request<CreateAccountRequest>,
    ) -> Result<Response<Account>, Status> {
        Err(not_here())
    }

    async fn list_accounts(
        &self,
        _: Request<ListAccountsRequest>,
    ) -> Result<Response<ListAccountsReply>, Status> {
        Err(not_here())
    }

    async fn add_credits(
        &self,
        _: Request<AddCreditsRequest>,
    ) -> Result<Response<Balance>, Status> {
        Err(not_here())
    }

    async fn set_alert(&self, _: Request<SetAlertRequest>) -> Result<Response<Balance>, Status> {
        Err(not_here())
    }

    async fn list_audit_log(
        &self,
        _: Request<ListAuditLogRequest>,
    ) -> Result<Response<ListAuditLogReply>, Status> {
        Err(not_here())
    }

    async fn audit(&self, _: Request<AuditRequest>) -> Result<Response<AuditReply>, Status> {
        Err(not_here())
    }
}

#[tonic::async_trait]
impl Prices for FakeBilling {
    async fn keep_price_list(
        &self,
        request: Request<KeepPriceListRequest>,
    ) -> Result<Response<KeepPriceListReply>, Status> {
        let plan = self.books().list_plans.pop_front().unwrap_or(Plan::Answer);
        let KeepPriceListRequest { version, body } = request.into_inner();
        Self::follow(plan, || {
            assert_eq!(domain::catalogue::version_of(&body), version);
            self.books().lists.insert(version, body);
            Ok(KeepPriceListReply {})
        })
        .await
    }

    async fn get_price_list(
        &self,
        _: Request<GetPriceListRequest>,
    ) -> Result<Response<PriceList>, Status> {
        Err(not_here())
    }

    async fn set_price_factor(
        &self,
        _: Request<SetPriceFactorRequest>,
    ) -> Result<Response<Account>, Status> {
        Err(not_here())
    }
}

fn not_here() -> Status {
    Status::unimplemented("chat has no business with this")
}
