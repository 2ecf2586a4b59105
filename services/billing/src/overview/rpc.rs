//! `aio.billing.v1.Operators` on the wire: wire -> domain, call, domain -> wire. No decisions.

use db::Backlog;
use domain::Micros;
use proto::{
    billing::v1::{self as wire, operators_server::OperatorsServer},
    common::v1 as common,
    id_from_wire, mode_to_wire,
};
use tonic::{Request, Response, Status};

use super::{Overview, Search};
use crate::{
    Billing, overview,
    rpc::account_to_wire,
    store::overview::{BalanceSum, ServedSum, SoldSum},
};

impl Billing {
    /// The service for operators.
    pub(crate) fn operators_server(&self) -> OperatorsServer<Self> {
        OperatorsServer::new(self.clone())
    }
}

#[tonic::async_trait]
impl wire::operators_server::Operators for Billing {
    async fn get_overview(
        &self,
        request: Request<wire::GetOverviewRequest>,
    ) -> Result<Response<wire::Overview>, Status> {
        let seen = overview::overview(&self.db, request.into_inner().since).await?;
        Ok(Response::new(seen.into()))
    }

    async fn find_accounts(
        &self,
        request: Request<wire::FindAccountsRequest>,
    ) -> Result<Response<wire::FindAccountsReply>, Status> {
        let request = request.into_inner();
        let before = Some(request.before).filter(|before| !before.is_empty());
        let search = Search {
            name: request.name,
            before: before.map(|before| id_from_wire(&before)).transpose()?,
            limit: request.limit,
        };
        let accounts = overview::find_accounts(&self.db, search).await?;
        Ok(Response::new(wire::FindAccountsReply {
            accounts: accounts.into_iter().map(account_to_wire).collect(),
        }))
    }

    async fn get_account(
        &self,
        request: Request<wire::GetAccountRequest>,
    ) -> Result<Response<wire::Account>, Status> {
        let id = id_from_wire(&request.into_inner().account_id)?;
        let account = overview::account(&self.db, id).await?;
        Ok(Response::new(account_to_wire(account)))
    }

    async fn list_price_lists(
        &self,
        request: Request<wire::ListPriceListsRequest>,
    ) -> Result<Response<wire::ListPriceListsReply>, Status> {
        let lists = overview::price_lists(&self.db, request.into_inner().limit).await?;
        let lists = lists
            .into_iter()
            .map(|(version, created_at)| wire::KeptPriceList {
                version,
                created_at,
            });
        Ok(Response::new(wire::ListPriceListsReply {
            lists: lists.collect(),
        }))
    }
}

impl From<Overview> for wire::Overview {
    fn from(seen: Overview) -> Self {
        let Backlog {
            count,
            more,
            oldest,
        } = seen.outbox;
        Self {
            balances: seen.balances.into_iter().map(Into::into).collect(),
            oldest_hold: seen.oldest_hold,
            served: seen.served.into_iter().map(Into::into).collect(),
            sold: seen.sold.into_iter().map(Into::into).collect(),
            outbox: Some(common::Backlog {
                count,
                more,
                oldest,
            }),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl From<BalanceSum> for wire::BalanceSum {
    fn from(sum: BalanceSum) -> Self {
        Self {
            mode: mode_to_wire(sum.mode).into(),
            accounts: sum.accounts,
            frozen: sum.frozen,
            posted: sum.posted.get(),
            held: sum.held.get(),
            open_holds: sum.open_holds,
        }
    }
}

impl From<ServedSum> for wire::ServedSum {
    fn from(sum: ServedSum) -> Self {
        Self {
            mode: mode_to_wire(sum.mode).into(),
            model: sum.model,
            provider: sum.provider,
            outcome: sum.outcome,
            class: sum.class,
            operations: sum.operations,
            charged: sum.charged.get(),
            written_off: sum.written_off.get(),
            counted: sum.counted,
            counted_charged: sum.counted_charged.get(),
            tokens: sum.tokens.to_vec(),
        }
    }
}

impl From<SoldSum> for wire::SoldSum {
    fn from(sum: SoldSum) -> Self {
        let [credited, reversed] = [sum.credited, sum.reversed].map(Micros::get);
        Self {
            currency: sum.currency,
            orders: sum.orders,
            credited,
            reversed,
            received: sum.received,
            refunded: sum.refunded,
        }
    }
}
