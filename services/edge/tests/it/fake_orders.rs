//! Scripted orders: they answer what customers may see, and remember what they were asked.

use std::sync::Arc;

use proto::{Fault, billing::v1 as wire, code};
use tonic::{Request, Response, Status};

use crate::fakes::World;

pub(crate) struct FakeOrders(pub(crate) Arc<World>);

type Reply<T> = Result<Response<T>, Status>;

fn order(id: &[u8]) -> wire::Order {
    wire::Order {
        order_id: id.to_vec().into(),
        pack: "small".into(),
        name: "1,000 credits".into(),
        credits: 1_000_000_000,
        price: 1_000,
        currency: "usd".into(),
        status: "pending".into(),
        checkout_url: "https://pay.example/1".into(),
        credited: 0,
        reversed: 0,
        owed: 0,
        created_at: 1_500_000,
        updated_at: 1_500_000,
        paid_at: 0,
    }
}

fn code_row() -> wire::RedeemCode {
    wire::RedeemCode {
        code_id: vec![6; 16].into(),
        last_four: "9XYZ".into(),
        mode: proto::common::v1::Mode::Live.into(),
        credits: 2_500_000,
        max_uses: 3,
        uses: 1,
        expires_at: 0,
        revoked_at: 0,
        created_at: 1_500_000,
    }
}

fn balance() -> wire::Balance {
    wire::Balance {
        account_id: vec![7; 16].into(),
        mode: proto::common::v1::Mode::Test.into(),
        posted: 2_500_000,
        ..wire::Balance::default()
    }
}

#[tonic::async_trait]
impl wire::orders_server::Orders for FakeOrders {
    async fn list_packs(&self, _: Request<wire::ListPacksRequest>) -> Reply<wire::ListPacksReply> {
        let pack = wire::Pack {
            id: "small".into(),
            name: "1,000 credits".into(),
            credits: 1_000_000_000,
            price: 1_000,
            currency: "usd".into(),
        };
        Ok(Response::new(wire::ListPacksReply {
            packs: vec![pack],
            sold: true,
        }))
    }

    async fn create_order(
        &self,
        request: Request<wire::CreateOrderRequest>,
    ) -> Reply<wire::CreateOrderReply> {
        let (request, mut orders) = (request.into_inner(), self.0.orders.lock().unwrap());
        let replayed = orders
            .iter()
            .any(|earlier| earlier.request_key == request.request_key);
        orders.push(request);
        Ok(Response::new(wire::CreateOrderReply {
            order: Some(order(&[5; 16])),
            replayed,
        }))
    }

    async fn get_order(&self, request: Request<wire::GetOrderRequest>) -> Reply<wire::Order> {
        Ok(Response::new(order(&request.into_inner().order_id)))
    }

    async fn list_orders(
        &self,
        request: Request<wire::ListOrdersRequest>,
    ) -> Reply<wire::ListOrdersReply> {
        let request = request.into_inner();
        let first = if request.before.is_empty() { 5 } else { 4 };
        let orders = vec![order(&[first; 16])];
        Ok(Response::new(wire::ListOrdersReply { orders }))
    }

    async fn take_stripe_event(
        &self,
        request: Request<wire::StripeEvent>,
    ) -> Reply<wire::StripeEventReply> {
        let event = request.into_inner();
        if event.signature.is_empty() {
            return Err(Fault::of(code::INVALID_SIGNATURE).into());
        }
        self.0.events.lock().unwrap().push(event);
        Ok(Response::new(wire::StripeEventReply {}))
    }

    async fn redeem(&self, request: Request<wire::RedeemRequest>) -> Reply<wire::RedeemReply> {
        if request.into_inner().code == "wrong" {
            return Err(Fault::of(code::INVALID_REDEEM_CODE).into());
        }
        Ok(Response::new(wire::RedeemReply {
            credits: 2_500_000,
            repeated: false,
            balance: Some(balance()),
        }))
    }

    async fn reset_test_balance(
        &self,
        _: Request<wire::ResetTestBalanceRequest>,
    ) -> Reply<wire::Balance> {
        Ok(Response::new(balance()))
    }

    async fn create_redeem_codes(
        &self,
        request: Request<wire::CreateRedeemCodesRequest>,
    ) -> Reply<wire::CreatedRedeemCodes> {
        self.0.new_codes.lock().unwrap().push(request.into_inner());
        let code = wire::CreatedRedeemCode {
            code: Some(code_row()),
            text: "AIO-shown-once".into(),
        };
        Ok(Response::new(wire::CreatedRedeemCodes {
            codes: vec![code],
        }))
    }

    async fn list_redeem_codes(
        &self,
        _: Request<wire::ListRedeemCodesRequest>,
    ) -> Reply<wire::ListRedeemCodesReply> {
        let codes = vec![code_row()];
        Ok(Response::new(wire::ListRedeemCodesReply { codes }))
    }

    async fn revoke_redeem_code(
        &self,
        _: Request<wire::RevokeRedeemCodeRequest>,
    ) -> Reply<wire::RevokeRedeemCodeReply> {
        Ok(Response::new(wire::RevokeRedeemCodeReply {}))
    }
}
