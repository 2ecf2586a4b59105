//! The service on the wire: wire -> domain, call, domain -> wire. No decisions.

mod usage;

use std::time::Duration;

use domain::{Id, Micros, ids};
use proto::{
    Fault, billing::v1 as wire, code, common::v1 as common, id_from_wire, mode_from_wire,
    mode_to_wire,
};
use tonic::{Request, Response, Status};

use crate::{
    AuditLogRow, Billing,
    account::{NewAccount, Standing},
    alert::set_alert,
    audit::{Verdict, verdict},
    audit_log::{self, By},
    balance::{Statement, statement},
    credits::CreditsRequest,
    hold::{HoldRequest, Life},
    key::rpc::asker,
    ledger::BalanceId,
    settle::{Outcome, SettleRequest},
};

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl wire::billing_server::Billing for Billing {
    async fn authenticate(
        &self,
        request: Request<wire::AuthenticateRequest>,
    ) -> Reply<wire::Identity> {
        let identity = self.authenticate(&request.into_inner().key).await?;
        Ok(Response::new(wire::Identity {
            account_id: identity.account.to_vec().into(),
            mode: mode_to_wire(identity.mode).into(),
            key_id: identity.key.to_vec().into(),
            scopes: identity.scopes,
            models: identity.models,
            rpm: identity.rpm,
            concurrency: identity.concurrency,
            ip_allow: identity.ip_allow,
            max_open_tasks: identity.max_open_tasks,
            price_factor: identity.price_factor.parts_per_million(),
        }))
    }

    async fn hold(&self, request: Request<wire::HoldRequest>) -> Reply<wire::HoldReply> {
        let held = self
            .ledger()
            .hold(hold_from_wire(request.into_inner())?)
            .await?;
        Ok(Response::new(wire::HoldReply {
            granted: held.granted.get(),
            available: held.available.get(),
        }))
    }

    async fn settle(&self, request: Request<wire::SettleRequest>) -> Reply<wire::SettleReply> {
        let captured = self
            .ledger()
            .settle(settle_from_wire(request.into_inner())?)
            .await?;
        Ok(Response::new(wire::SettleReply {
            captured: captured.get(),
        }))
    }

    async fn extend(&self, request: Request<wire::ExtendRequest>) -> Reply<wire::ExtendReply> {
        let request = request.into_inner();
        let life = Duration::from_millis(u64::try_from(request.ttl_ms).unwrap_or(0));
        let hold = id_from_wire::<ids::Operation>(&request.hold_id)?;
        self.ledger().extend(hold, life).await?;
        Ok(Response::new(wire::ExtendReply {}))
    }

    async fn get_balance(&self, request: Request<wire::GetBalanceRequest>) -> Reply<wire::Balance> {
        let id = balance_from_wire(request.into_inner().context)?;
        Ok(Response::new(statement(&self.db, id).await?.into()))
    }

    async fn create_account(
        &self,
        request: Request<wire::CreateAccountRequest>,
    ) -> Reply<wire::Account> {
        let request = request.into_inner();
        let named = !request.account_id.is_empty();
        let id = named.then(|| id_from_wire(&request.account_id));
        let new = NewAccount {
            id: id.transpose()?,
            name: request.name,
            test_credits: request.test_credits.map(Micros::new),
        };
        let account = self.open_account(new, by_from_wire(request.by)).await?;
        Ok(Response::new(account_to_wire(account)))
    }

    async fn list_accounts(
        &self,
        request: Request<wire::ListAccountsRequest>,
    ) -> Reply<wire::ListAccountsReply> {
        let request = request.into_inner();
        let after = Some(request.after).filter(|after| !after.is_empty());
        let after = after.map(|after| id_from_wire(&after)).transpose()?;
        let accounts = self.list_accounts(after, request.limit).await?;
        Ok(Response::new(wire::ListAccountsReply {
            accounts: accounts
                .into_iter()
                .map(|account| wire::Account {
                    operator: account.id == self.operator(),
                    ..account_to_wire(account)
                })
                .collect(),
        }))
    }

    async fn add_credits(&self, request: Request<wire::AddCreditsRequest>) -> Reply<wire::Balance> {
        let request = request.into_inner();
        let balance = BalanceId {
            account: id_from_wire(&request.account_id)?,
            mode: mode_from_wire(request.mode)?,
        };
        let wanted = CreditsRequest {
            transfer: id_from_wire(&request.transfer_id)?,
            balance,
            amount: Micros::new(request.amount),
            reason: request.reason,
            by: by_from_wire(request.by),
            expires_at: Some(request.expires_at).filter(|moment| *moment != 0),
        };
        self.add_credits(wanted).await?;
        Ok(Response::new(statement(&self.db, balance).await?.into()))
    }

    async fn set_alert(&self, request: Request<wire::SetAlertRequest>) -> Reply<wire::Balance> {
        let request = request.into_inner();
        let caller = proto::context_from_wire(request.context)?;
        let below = request.below.map(Micros::new);
        let id = set_alert(&self.db, &self.config.limits, &caller, below).await?;
        Ok(Response::new(statement(&self.db, id).await?.into()))
    }

    async fn freeze_account(
        &self,
        request: Request<wire::FreezeAccountRequest>,
    ) -> Reply<wire::FreezeAccountReply> {
        let request = request.into_inner();
        let account = id_from_wire(&request.account_id)?;
        let standing = if request.frozen {
            Standing::Frozen
        } else {
            Standing::Good
        };
        self.set_standing(account, standing, by_from_wire(request.by))
            .await?;
        Ok(Response::new(wire::FreezeAccountReply {}))
    }

    async fn list_audit_log(
        &self,
        request: Request<wire::ListAuditLogRequest>,
    ) -> Reply<wire::ListAuditLogReply> {
        let request = request.into_inner();
        let asker = asker(request.context, None)?;
        let page = audit_log::Page {
            account: optional(&request.account_id)?,
            before: optional(&request.before)?,
            limit: request.limit,
        };
        let entries = audit_log::audit_log(&self.db, &asker, page).await?;
        Ok(Response::new(wire::ListAuditLogReply {
            entries: entries.into_iter().map(logged_to_wire).collect(),
        }))
    }

    async fn audit(&self, _: Request<wire::AuditRequest>) -> Reply<wire::AuditReply> {
        let checks = self.audit().await?;
        Ok(Response::new(wire::AuditReply {
            ok: verdict(&checks) == Verdict::Kept,
            checks: checks
                .into_iter()
                .map(|check| wire::AuditCheck {
                    name: check.name.to_owned(),
                    ok: check.holds == Verdict::Kept,
                    figure: check.figure,
                })
                .collect(),
        }))
    }
}

impl From<Statement> for wire::Balance {
    fn from(statement: Statement) -> Self {
        let Statement { id, balance, .. } = statement;
        let expiring = statement.expiring.into_iter().map(|lot| wire::Expiring {
            left: lot.left.get(),
            expires_at: lot.expires_at,
        });
        Self {
            account_id: id.account.to_vec().into(),
            mode: mode_to_wire(id.mode).into(),
            posted: balance.posted.get(),
            held: balance.held.get(),
            open_holds: balance.open_holds,
            frozen: balance.frozen,
            expiring: expiring.collect(),
            alert_below: statement.alert_below.map(Micros::get),
        }
    }
}

/// An id, where none is empty.
fn optional<K: ids::Kind>(bytes: &[u8]) -> Result<Option<Id<K>>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some(id_from_wire(bytes)?))
}

/// Who changes something for an operator.
pub(crate) fn by_from_wire(by: Option<common::Actor>) -> By {
    let operator = By::operator();
    by.map_or(operator, |by| By {
        actor: by.name,
        request: by.request_id,
    })
}

fn logged_to_wire(row: AuditLogRow) -> wire::AuditLogEntry {
    wire::AuditLogEntry {
        entry_id: row.id.to_vec().into(),
        account_id: row.account.map(|id| id.to_vec().into()).unwrap_or_default(),
        mode: row
            .mode
            .map(|mode| mode_to_wire(mode).into())
            .unwrap_or_default(),
        actor: row.actor,
        request_id: row.request,
        action: row.action,
        subject: row.subject,
        detail: row.detail.into_bytes().into(),
        created_at: row.created_at,
    }
}

/// The balance of whoever asks.
fn balance_from_wire(context: Option<common::Context>) -> Result<BalanceId, Status> {
    let caller = proto::context_from_wire(context)?;
    Ok(BalanceId {
        account: caller.account,
        mode: caller.mode,
    })
}

fn hold_from_wire(request: wire::HoldRequest) -> Result<HoldRequest, Status> {
    let kind = request.kind();
    let caller = proto::context_from_wire(request.context)?;
    let life = match kind {
        wire::HoldKind::Media => Life::Media,
        // A negative time is none at all, and refused as such.
        wire::HoldKind::Chat => Life::Chat(Duration::from_millis(
            u64::try_from(request.ttl_ms).unwrap_or(0),
        )),
        wire::HoldKind::Unspecified => return Err(malformed()),
    };
    Ok(HoldRequest {
        hold: id_from_wire::<ids::Operation>(&request.hold_id)?,
        balance: BalanceId {
            account: caller.account,
            mode: caller.mode,
        },
        amount: Micros::new(request.amount),
        floor: Micros::new(request.floor),
        life,
        key: caller.key,
        price_version: request.price_version,
    })
}

fn settle_from_wire(request: wire::SettleRequest) -> Result<SettleRequest, Status> {
    let outcome = match request.outcome() {
        wire::Outcome::Capture => Outcome::Capture(Micros::new(request.amount)),
        wire::Outcome::Release => Outcome::Release,
        wire::Outcome::Unspecified => return Err(malformed()),
    };
    Ok(SettleRequest {
        hold: id_from_wire(&request.hold_id)?,
        outcome,
        payer: match request.context {
            None => None,
            context => Some(balance_from_wire(context)?),
        },
        // JSON is UTF-8. What is not cannot be kept, and must not stand in the way of the charge.
        receipt: String::from_utf8(request.receipt.to_vec()).unwrap_or_default(),
    })
}

pub(crate) fn account_to_wire(account: crate::AccountRow) -> wire::Account {
    wire::Account {
        account_id: account.id.to_vec().into(),
        name: account.name,
        created_at: account.created_at,
        price_factor: account.price_factor.parts_per_million(),
        operator: false,
    }
}

/// An enum without a value: never a customer's fault.
fn malformed() -> Status {
    Fault::of(code::INTERNAL).into()
}
