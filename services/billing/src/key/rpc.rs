//! The service `Keys` on the wire: wire -> domain, call, domain -> wire. No decisions.

use std::time::Duration;

use domain::{Micros, Scope};
use proto::{
    billing::v1 as wire, common::v1 as common, context_from_wire, id_from_wire, mode_from_wire,
    mode_to_wire,
};
use tonic::{Request, Response, Status};

use super::{
    Asker, NewKey, Shown, create_key,
    list::{Page, list_keys},
    revoke_key,
    rotate::{Rotation, rotate_key},
    update::{CapsChange, Change, KeyChange, update_key},
};
use crate::{
    Billing, Error,
    ledger::Caps,
    rpc::{by_from_wire, optional},
    store::key::Those,
};

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl wire::keys_server::Keys for Billing {
    async fn create_key(
        &self,
        request: Request<wire::CreateKeyRequest>,
    ) -> Reply<wire::CreatedKey> {
        let request = request.into_inner();
        let asker = asker(request.context.clone(), request.by.clone())?;
        let wanted = new_key(&asker, request)?;
        let limits = &self.config.limits;
        let created = create_key(&self.db, &self.key_mac, limits, &asker, wanted).await?;
        Ok(Response::new(wire::CreatedKey {
            key_id: created.id.to_vec().into(),
            key: created.key.expose().to_owned(),
        }))
    }

    async fn list_keys(
        &self,
        request: Request<wire::ListKeysRequest>,
    ) -> Reply<wire::ListKeysReply> {
        let request = request.into_inner();
        let asker = asker(request.context, None)?;
        let account = match asker {
            Asker::Operator(_) => Some(id_from_wire(&request.account_id)?),
            Asker::Customer(_) => None,
        };
        let (only, after) = (optional(&request.key_id)?, optional(&request.after)?);
        let those = match (only, request.revoked) {
            (Some(key), _) => Those::Only(key),
            (None, false) => Those::Alive(after),
            (None, true) => Those::Revoked(after),
        };
        let page = Page {
            account,
            those,
            limit: request.limit,
        };
        let keys = list_keys(&self.db, &asker, page).await?;
        Ok(Response::new(wire::ListKeysReply {
            keys: keys.into_iter().map(wire::Key::from).collect(),
        }))
    }

    async fn update_key(&self, request: Request<wire::UpdateKeyRequest>) -> Reply<wire::Key> {
        let mut request = request.into_inner();
        let asker = asker(request.context.take(), request.by.take())?;
        let id = id_from_wire(&request.key_id)?;
        let change = KeyChange::from(request);
        let shown = update_key(&self.db, &self.config.limits, asker, id, change).await?;
        Ok(Response::new(shown.into()))
    }

    async fn rotate_key(
        &self,
        request: Request<wire::RotateKeyRequest>,
    ) -> Reply<wire::RotatedKey> {
        let request = request.into_inner();
        let asker = asker(request.context, request.by)?;
        let rotation = Rotation {
            key: id_from_wire(&request.key_id)?,
            overlap: Duration::from_millis(request.overlap_ms),
        };
        let limits = &self.config.limits;
        let rotated = rotate_key(&self.db, &self.key_mac, limits, asker, rotation).await?;
        Ok(Response::new(wire::RotatedKey {
            key_id: request.key_id,
            key: rotated.key.expose().to_owned(),
            previous_until: rotated.previous_until.unwrap_or_default(),
        }))
    }

    async fn revoke_key(
        &self,
        request: Request<wire::RevokeKeyRequest>,
    ) -> Reply<wire::RevokeKeyReply> {
        let request = request.into_inner();
        let asker = asker(request.context, request.by)?;
        revoke_key(&self.db, asker, id_from_wire(&request.key_id)?).await?;
        Ok(Response::new(wire::RevokeKeyReply {}))
    }
}

pub(crate) fn asker(
    context: Option<common::Context>,
    by: Option<common::Actor>,
) -> Result<Asker, Status> {
    match context {
        None => Ok(Asker::Operator(by_from_wire(by))),
        Some(context) => Ok(Asker::Customer(context_from_wire(Some(context))?)),
    }
}

fn new_key(asker: &Asker, request: wire::CreateKeyRequest) -> Result<NewKey, Status> {
    let scopes = request.scopes.iter().map(|word| {
        let words = Scope::ALL.map(Scope::as_str).join(", ");
        Scope::parse(word).ok_or_else(|| Error::invalid("scopes", format!("hold only {words}")))
    });
    let scopes = scopes.collect::<Result<_, _>>()?;
    let (account, mode) = match asker {
        Asker::Operator(_) => (
            id_from_wire(&request.account_id)?,
            mode_from_wire(request.mode)?,
        ),
        Asker::Customer(caller) => (caller.account, caller.mode),
    };
    Ok(NewKey {
        account,
        mode,
        scopes,
        name: request.name,
        models: request.models,
        caps: request.caps.map(Caps::from).unwrap_or_default(),
        rpm: request.rpm,
        concurrency: request.concurrency,
        max_open_tasks: request.max_open_tasks,
        ip_allow: request.ip_allow,
        expires_at: Some(request.expires_at).filter(|moment| *moment != 0),
    })
}

fn cap_change(change: Option<wire::CapChange>) -> Change<Micros> {
    match change {
        None => Change::Keep,
        Some(wire::CapChange { amount: None }) => Change::Clear,
        Some(wire::CapChange {
            amount: Some(amount),
        }) => Change::Set(Micros::new(amount)),
    }
}

impl From<wire::UpdateKeyRequest> for KeyChange {
    fn from(request: wire::UpdateKeyRequest) -> Self {
        Self {
            name: request.name,
            models: request.models.map(|list| list.words),
            ip_allow: request.ip_allow.map(|list| list.words),
            rpm: request.rpm,
            concurrency: request.concurrency,
            max_open_tasks: request.max_open_tasks,
            expires_at: match request.expires_at {
                None => Change::Keep,
                Some(0) => Change::Clear,
                Some(moment) => Change::Set(moment),
            },
            caps: CapsChange {
                day: cap_change(request.cap_day),
                month: cap_change(request.cap_month),
                total: cap_change(request.cap_total),
            },
        }
    }
}

impl From<wire::Caps> for Caps {
    fn from(caps: wire::Caps) -> Self {
        Self {
            day: caps.day.map(Micros::new),
            month: caps.month.map(Micros::new),
            total: caps.total.map(Micros::new),
        }
    }
}

impl From<Caps> for wire::Caps {
    fn from(caps: Caps) -> Self {
        Self {
            day: caps.day.map(Micros::get),
            month: caps.month.map(Micros::get),
            total: caps.total.map(Micros::get),
        }
    }
}

impl From<Shown> for wire::Key {
    fn from(shown: Shown) -> Self {
        let Shown {
            row,
            budget,
            last_used_at,
            now,
        } = shown;
        let previous = row.previous.filter(|previous| previous.until > now);
        Self {
            key_id: row.id.to_vec().into(),
            mode: mode_to_wire(row.mode).into(),
            name: row.name,
            last_four: row.last_four,
            scopes: row.scopes,
            models: row.models,
            rpm: row.rpm,
            concurrency: row.concurrency,
            max_open_tasks: row.max_open_tasks,
            ip_allow: row.ip_allow,
            created_at: row.created_at,
            expires_at: row.expires_at.unwrap_or_default(),
            previous: previous.map(|previous| wire::PreviousSecret {
                last_four: previous.last_four,
                until: previous.until,
            }),
            budget: budget.map(|budget| {
                let budget = budget.at(now);
                wire::Budget {
                    caps: Some(budget.caps.into()),
                    spent_day: budget.spent_day.get(),
                    spent_month: budget.spent_month.get(),
                    spent_total: budget.spent_total.get(),
                }
            }),
            last_used_at: last_used_at.unwrap_or_default(),
            revoked_at: row.revoked_at.unwrap_or_default(),
        }
    }
}
