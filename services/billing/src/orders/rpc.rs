//! The service on the wire: wire -> domain, call, domain -> wire. No decisions.

use domain::Micros;
use proto::{billing::v1 as wire, context_from_wire, id_from_wire, mode_from_wire, mode_to_wire};
use tonic::{Request, Response, Status};

use super::{Orders, codes::NewCodes, create::NewOrder};
use crate::{
    audit_log::By,
    balance::statement,
    rpc::by_from_wire,
    store::{code::CodeRow, order::OrderRow},
};

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl wire::orders_server::Orders for Orders {
    async fn list_packs(&self, _: Request<wire::ListPacksRequest>) -> Reply<wire::ListPacksReply> {
        let packs = self.packs().iter().map(|pack| wire::Pack {
            id: pack.id.clone(),
            name: pack.name.clone(),
            credits: pack.amount().get(),
            price: i64::from(pack.price),
            currency: pack.currency.clone(),
        });
        Ok(Response::new(wire::ListPacksReply {
            packs: packs.collect(),
            sold: self.stripe().is_ok(),
        }))
    }

    async fn create_order(
        &self,
        request: Request<wire::CreateOrderRequest>,
    ) -> Reply<wire::CreateOrderReply> {
        let request = request.into_inner();
        let caller = context_from_wire(request.context)?;
        let wanted = NewOrder {
            pack: request.pack,
            request_key: request.request_key,
            origin: request.origin,
            back: request.back,
        };
        let ordered = self.create(&caller, wanted).await?;
        Ok(Response::new(wire::CreateOrderReply {
            order: Some(order_to_wire(ordered.order)),
            replayed: ordered.replayed,
        }))
    }

    async fn get_order(&self, request: Request<wire::GetOrderRequest>) -> Reply<wire::Order> {
        let request = request.into_inner();
        let caller = context_from_wire(request.context)?;
        let order = self.get(&caller, id_from_wire(&request.order_id)?).await?;
        let paid_at = self.paid_at(order.id).await?.unwrap_or_default();
        Ok(Response::new(wire::Order {
            paid_at,
            ..order_to_wire(order)
        }))
    }

    async fn list_orders(
        &self,
        request: Request<wire::ListOrdersRequest>,
    ) -> Reply<wire::ListOrdersReply> {
        let request = request.into_inner();
        let caller = context_from_wire(request.context)?;
        let before = Some(request.before).filter(|before| !before.is_empty());
        let before = before.map(|before| id_from_wire(&before)).transpose()?;
        let orders = self.list(&caller, before, request.limit).await?;
        Ok(Response::new(wire::ListOrdersReply {
            orders: orders.into_iter().map(order_to_wire).collect(),
        }))
    }

    async fn take_stripe_event(
        &self,
        request: Request<wire::StripeEvent>,
    ) -> Reply<wire::StripeEventReply> {
        let event = request.into_inner();
        self.take_event(&event.payload, &event.signature).await?;
        Ok(Response::new(wire::StripeEventReply {}))
    }

    async fn redeem(&self, request: Request<wire::RedeemRequest>) -> Reply<wire::RedeemReply> {
        let request = request.into_inner();
        let caller = context_from_wire(request.context)?;
        let redeemed = Self::redeem(self, &caller, &request.code).await?;
        Ok(Response::new(wire::RedeemReply {
            credits: redeemed.credits.get(),
            repeated: redeemed.repeated,
            balance: Some(statement(&self.inner.db, redeemed.balance).await?.into()),
        }))
    }

    async fn reset_test_balance(
        &self,
        request: Request<wire::ResetTestBalanceRequest>,
    ) -> Reply<wire::Balance> {
        let caller = context_from_wire(request.into_inner().context)?;
        let by = By::from(&caller);
        let balance = Self::reset_test_balance(self, caller.account, &by).await?;
        Ok(Response::new(
            statement(&self.inner.db, balance).await?.into(),
        ))
    }

    async fn create_redeem_codes(
        &self,
        request: Request<wire::CreateRedeemCodesRequest>,
    ) -> Reply<wire::CreatedRedeemCodes> {
        let request = request.into_inner();
        let wanted = NewCodes {
            count: request.count,
            credits: Micros::new(request.credits),
            mode: mode_from_wire(request.mode)?,
            max_uses: request.max_uses,
            expires_at: Some(request.expires_at).filter(|moment| *moment != 0),
            by: by_from_wire(request.by),
        };
        let codes = self.create_codes(wanted).await?.into_iter();
        let codes = codes.map(|(row, code)| wire::CreatedRedeemCode {
            code: Some(code_to_wire(row)),
            text: code.expose().to_owned(),
        });
        Ok(Response::new(wire::CreatedRedeemCodes {
            codes: codes.collect(),
        }))
    }

    async fn list_redeem_codes(
        &self,
        request: Request<wire::ListRedeemCodesRequest>,
    ) -> Reply<wire::ListRedeemCodesReply> {
        let request = request.into_inner();
        let before = Some(request.before).filter(|before| !before.is_empty());
        let before = before.map(|before| id_from_wire(&before)).transpose()?;
        let codes = self.list_codes(before, request.limit).await?;
        Ok(Response::new(wire::ListRedeemCodesReply {
            codes: codes.into_iter().map(code_to_wire).collect(),
        }))
    }

    async fn revoke_redeem_code(
        &self,
        request: Request<wire::RevokeRedeemCodeRequest>,
    ) -> Reply<wire::RevokeRedeemCodeReply> {
        let request = request.into_inner();
        let id = id_from_wire(&request.code_id)?;
        self.revoke_code(id, by_from_wire(request.by)).await?;
        Ok(Response::new(wire::RevokeRedeemCodeReply {}))
    }
}

fn order_to_wire(order: OrderRow) -> wire::Order {
    let payable = order.shown.status() == "pending";
    wire::Order {
        order_id: order.id.to_vec().into(),
        pack: order.pack,
        name: order.name,
        credits: order.terms.credits.get(),
        price: order.terms.price,
        currency: order.terms.currency,
        status: order.shown.status().to_owned(),
        checkout_url: order.url.filter(|_| payable).unwrap_or_default(),
        credited: order.booked.credited.get(),
        reversed: order.booked.reversed.get(),
        owed: order.booked.owed.get(),
        created_at: order.created_at,
        updated_at: order.updated_at,
        paid_at: 0,
    }
}

fn code_to_wire(code: CodeRow) -> wire::RedeemCode {
    let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
    wire::RedeemCode {
        code_id: code.id.to_vec().into(),
        last_four: code.last_four,
        mode: mode_to_wire(code.mode).into(),
        credits: code.credits.get(),
        max_uses: count(code.max_uses),
        uses: count(code.uses),
        expires_at: code.expires_at.unwrap_or_default(),
        revoked_at: code.revoked_at.unwrap_or_default(),
        created_at: code.created_at,
    }
}
