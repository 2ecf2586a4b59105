//! Who asks. A handler says in its signature what it needs, and cannot run without it: [`Scoped<Inference>`].

use std::{marker::PhantomData, net::IpAddr, sync::Arc};

use axum::extract::FromRequestParts;
use chassis::http::{Peer, client_address};
use domain::{AccountId, Caller, KeyId, Mode, PriceFactor, Scope};
use http::{HeaderMap, header, request::Parts};
use ipnet::IpNet;
use proto::{
    Fault, WireError, billing::v1 as billing, code, common::v1 as wire, id_from_wire,
    mode_from_wire, price_factor_from_wire,
};

use crate::{App, Door, Gate, error::ApiError, limits, ticket::Ticket};

/// A caller whose key opens this route. The type says what for.
pub(crate) struct Scoped<N> {
    /// Who asks.
    pub(crate) identity: Arc<Identity>,
    /// The request's id.
    pub(crate) request_id: String,
    need: PhantomData<fn() -> N>,
}

/// What a route needs of a key.
pub(crate) trait Need: 'static {
    /// One of these scopes; none when any key will do.
    const SCOPES: &'static [Scope];
    /// Whether it costs so much work that it is refused first when there is too much of it.
    const IS_WORK: bool = matches!(Self::SCOPES, [Scope::Inference]);
}

macro_rules! needs {
    ($($(#[$doc:meta])* $need:ident = $scope:expr;)*) => { $(
        $(#[$doc])*
        pub(crate) enum $need {}
        impl Need for $need { const SCOPES: &'static [Scope] = &$scope; }
    )* };
}

needs! {
    /// Any good key.
    AnyKey = [];
    /// Paid routes.
    Inference = [Scope::Inference];
    /// Looking at things.
    Read = [Scope::Read];
    /// Asking what something would cost.
    Quoting = [Scope::Inference, Scope::Read];
    /// Looking at what a paid route answered, or takes.
    Kept = [Scope::Inference, Scope::Read];
    /// Webhooks and keys of the own account.
    Manage = [Scope::Manage];
    /// Everything of every account.
    Admin = [Scope::Admin];
}

/// Who is behind a key, and what the key may do.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Whose money and things.
    pub(crate) account: AccountId,
    /// Which balance.
    pub(crate) mode: Mode,
    /// The key; `None` on the operator's socket.
    pub(crate) key: Option<KeyId>,
    /// What the key may do.
    pub(crate) scopes: Vec<Scope>,
    /// Models the key may use; empty means all.
    pub(crate) models: Vec<String>,
    /// Requests per minute; 0 means the configured default.
    pub(crate) rpm: u32,
    /// Open requests; 0 means the configured default.
    pub(crate) concurrency: u32,
    /// Networks the key may be used from; `None` means all.
    pub(crate) ip_allow: Option<Vec<IpNet>>,
    /// Open media tasks; 0 means no limit but the account's.
    pub(crate) max_open_tasks: u32,
    /// The name under which the key is limited.
    pub(crate) limit_key: String,
    /// The name under which the account is limited, in the key's mode.
    pub(crate) limit_account: String,
    /// What other services are told about the caller, but for the request's id.
    context: wire::Context,
}

// === impl Scoped ===

impl<N> Scoped<N> {
    /// The same caller, for what goes on after the handler.
    pub(crate) fn again(&self) -> Self {
        Self {
            identity: Arc::clone(&self.identity),
            request_id: self.request_id.clone(),
            need: PhantomData,
        }
    }

    /// What other services are told about the caller.
    pub(crate) fn context(&self) -> wire::Context {
        wire::Context {
            request_id: self.request_id.clone(),
            ..self.identity.context.clone()
        }
    }

    /// Who changes something for an operator: for the books and the audit log.
    pub(crate) fn by(&self) -> wire::Actor {
        let key = self.identity.key;
        wire::Actor {
            name: key.map_or_else(|| "operator".to_owned(), |key| key.to_string()),
            request_id: self.request_id.clone(),
        }
    }
}

impl<N: Need> FromRequestParts<Gate> for Scoped<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, gate: &Gate) -> Result<Self, ApiError> {
        let ticket = parts
            .extensions
            .get::<Arc<Ticket>>()
            .ok_or_else(ApiError::internal)?;
        let identity = match gate.door {
            Door::Operator => Arc::clone(&gate.app.operator),
            Door::Public => {
                if N::IS_WORK {
                    limits::take_on(&gate.app, ticket)?;
                }
                identify(&gate.app, parts).await?
            }
        };
        let mut needed = N::SCOPES.iter();
        if !N::SCOPES.is_empty() && !needed.any(|scope| identity.scopes.contains(scope)) {
            let words: Vec<&str> = N::SCOPES.iter().map(|scope| scope.as_str()).collect();
            let message = format!(
                "this key does not have the scope `{}`, which this route needs",
                words.join("` or `")
            );
            return Err(ApiError::new(code::MISSING_SCOPE, message));
        }
        if gate.door == Door::Public {
            limits::admit(&gate.app, ticket, &identity).await?;
        }
        Ok(Self {
            identity,
            request_id: ticket.request_id.clone(),
            need: PhantomData,
        })
    }
}

// === impl Identity ===

impl Identity {
    /// Whoever can open the operator's socket: the file's mode is the permission.
    pub(crate) fn operator() -> Self {
        Self::of(
            AccountId::NIL,
            Mode::Live,
            None,
            billing::Identity {
                scopes: vec![Scope::Admin.as_str().to_owned()],
                ..billing::Identity::default()
            },
        )
    }

    /// Reads billing's answer.
    pub(crate) fn from_wire(identity: billing::Identity) -> Result<Self, WireError> {
        let account = id_from_wire(&identity.account_id)?;
        let mode = mode_from_wire(identity.mode)?;
        let key = id_from_wire(&identity.key_id)?;
        price_factor_from_wire(identity.price_factor)?;
        Ok(Self::of(account, mode, Some(key), identity))
    }

    fn of(account: AccountId, mode: Mode, key: Option<KeyId>, identity: billing::Identity) -> Self {
        let scopes: Vec<Scope> = identity
            .scopes
            .iter()
            .filter_map(|word| Scope::parse(word))
            .collect();
        let context = wire::Context::from(&Caller {
            account,
            mode,
            key,
            user: None,
            scopes: scopes.clone(),
            request_id: String::new(),
            price_factor: PriceFactor::new(identity.price_factor).unwrap_or_default(),
        });
        // An entry that is no network allows nobody.
        let networks = || {
            identity
                .ip_allow
                .iter()
                .filter_map(|text| network(text))
                .collect()
        };
        Self {
            account,
            mode,
            key,
            scopes,
            ip_allow: (!identity.ip_allow.is_empty()).then(networks),
            models: identity.models,
            rpm: identity.rpm,
            concurrency: identity.concurrency,
            max_open_tasks: identity.max_open_tasks,
            limit_account: format!("{account}.{}", mode.as_str()),
            limit_key: key.map(|key| key.to_string()).unwrap_or_default(),
            context,
        }
    }
}

/// Reads a network or a single address.
pub(crate) fn network(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Finds out who asks.
async fn identify(app: &App, parts: &Parts) -> Result<Arc<Identity>, ApiError> {
    let key = presented(&parts.headers)?;
    let identity = app.keys.identify(key).await?;
    if let Some(allowed) = &identity.ip_allow {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
        let address = peer
            .map(|peer| client_address(peer, &parts.headers, &app.config.server.trusted_proxies));
        let inside = |address: IpAddr| allowed.iter().any(|network| network.contains(&address));
        if !address.is_some_and(inside) {
            let message = "this key may not be used from your address";
            return Err(ApiError::new(code::ADDRESS_NOT_ALLOWED, message));
        }
    }
    Ok(identity)
}

/// The key a request presents.
fn presented(headers: &HeaderMap) -> Result<&str, ApiError> {
    let missing = |message| ApiError::from(Fault::new(code::MISSING_KEY, message));
    let (value, scheme) = match (headers.get(header::AUTHORIZATION), headers.get("x-api-key")) {
        (Some(value), _) => (value, true),
        (None, Some(value)) => (value, false),
        (None, None) => {
            let message = "no API key: send `Authorization: Bearer aio_…` or `x-api-key: aio_…`";
            return Err(missing(message));
        }
    };
    let text = value.to_str().unwrap_or_default().trim();
    if !scheme {
        return Ok(text);
    }
    match text.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Ok(key.trim()),
        Some(_) | None => Err(missing(
            "the Authorization header must be `Bearer` and an API key: `Bearer aio_…`",
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_key_is_found_in_either_header() {
        let found = |pairs: &[(&'static str, &str)]| {
            presented(&headers(pairs))
                .map(str::to_owned)
                .map_err(|error| error.fault().code.word)
        };
        assert_eq!(found(&[("authorization", "Bearer k")]), Ok("k".to_owned()));
        assert_eq!(found(&[("authorization", "bearer  k")]), Ok("k".to_owned()));
        assert_eq!(found(&[("x-api-key", "k")]), Ok("k".to_owned()));
        assert_eq!(
            found(&[("x-api-key", "other"), ("authorization", "Bearer k")]),
            Ok("k".to_owned())
        );
        assert_eq!(found(&[("authorization", "Basic k")]), Err("missing_key"));
        assert_eq!(found(&[("authorization", "k")]), Err("missing_key"));
        assert_eq!(found(&[]), Err("missing_key"));
    }

    #[test]
    fn networks_and_addresses_are_both_read() {
        assert_eq!(network("10.0.0.0/8"), "10.0.0.0/8".parse().ok());
        assert_eq!(network("10.0.0.1"), "10.0.0.1/32".parse().ok());
        assert_eq!(network("::1"), "::1/128".parse().ok());
        assert_eq!(network("localhost"), None);
    }
}
