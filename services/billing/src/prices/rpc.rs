//! `aio.billing.v1.Prices` on the wire: wire -> domain, call, domain -> wire. No decisions.

use proto::{billing::v1 as wire, id_from_wire};
use tonic::{Request, Response, Status};

use crate::{
    Billing, Error, prices,
    rpc::{account_to_wire, by_from_wire},
};

/// The server side of the service.
#[derive(Clone, Debug)]
pub struct PricesRpc(pub(crate) Billing);

#[tonic::async_trait]
impl wire::prices_server::Prices for PricesRpc {
    async fn keep_price_list(
        &self,
        request: Request<wire::KeepPriceListRequest>,
    ) -> Result<Response<wire::KeepPriceListReply>, Status> {
        let wire::KeepPriceListRequest { version, body } = request.into_inner();
        prices::keep_list(&self.0.db, &version, body).await?;
        Ok(Response::new(wire::KeepPriceListReply {}))
    }

    async fn get_price_list(
        &self,
        request: Request<wire::GetPriceListRequest>,
    ) -> Result<Response<wire::PriceList>, Status> {
        let list = prices::list(&self.0.db, &request.into_inner().version).await?;
        Ok(Response::new(wire::PriceList {
            version: list.version,
            body: list.body,
            created_at: list.created_at,
        }))
    }

    async fn set_price_factor(
        &self,
        request: Request<wire::SetPriceFactorRequest>,
    ) -> Result<Response<wire::Account>, Status> {
        let request = request.into_inner();
        let account = id_from_wire(&request.account_id)?;
        let factor = domain::PriceFactor::new(request.price_factor)
            .ok_or_else(|| Error::invalid("price_factor", "be above 0 and at most 10"))?;
        let row = prices::set_factor(&self.0.db, account, factor, by_from_wire(request.by)).await?;
        Ok(Response::new(account_to_wire(row)))
    }
}
