//! Bodies about keys: JSON -> wire. In a change, what is absent stays as it is, and `null` takes away what was there (JSON Merge
//! Patch, RFC 7396).

use std::time::Duration;

use chassis::{clock, config::duration};
use domain::{KeyId, Micros, Mode, Scope};
use proto::{
    billing::v1::{
        CapChange, Caps, CreateKeyRequest, RotateKeyRequest, UpdateKeyRequest, WordList,
    },
    mode_to_wire,
};

use crate::{
    App,
    auth::network,
    error::ApiError,
    http::{admin::TEXT_LEN, fields::Fields},
};

/// Whose key is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The caller's: of the same account and mode.
    Callers,
    /// Of any account: the body says of which mode.
    Anybodys,
}

/// The body of a new key; whose it is, is filled in later.
pub(super) fn new_key(app: &App, body: &[u8], whose: Whose) -> Result<CreateKeyRequest, ApiError> {
    let mut fields = Fields::parse(body)?;
    let name = fields.text("name", 1, TEXT_LEN);
    fields.require("name", name.as_ref());
    let mode = match whose {
        Whose::Callers => None,
        Whose::Anybodys => {
            let mode = fields.word("mode", "test or live", Mode::parse);
            fields.require("mode", mode.as_ref());
            mode
        }
    };
    let scopes = fields.words("scopes", "inference, read, manage, admin", |word| {
        Scope::parse(word).is_some()
    });
    let request = CreateKeyRequest {
        name: name.unwrap_or_default(),
        mode: mode.map(mode_to_wire).unwrap_or_default().into(),
        scopes: scopes.unwrap_or_default(),
        models: models(app, &mut fields).unwrap_or_default(),
        caps: fields.object("caps", |caps| Caps {
            day: caps.credits("day").map(Micros::get),
            month: caps.credits("month").map(Micros::get),
            total: caps.credits("total").map(Micros::get),
        }),
        rpm: fields.count("rpm").unwrap_or_default(),
        concurrency: fields.count("concurrency").unwrap_or_default(),
        max_open_tasks: fields.count("max_open_tasks").unwrap_or_default(),
        ip_allow: ip_allow(&mut fields).unwrap_or_default(),
        expires_at: expires_at(&mut fields).unwrap_or_default(),
        ..CreateKeyRequest::default()
    };
    fields.finish()?;
    Ok(request)
}

/// The body of a change.
pub(super) fn change(app: &App, key: KeyId, body: &[u8]) -> Result<UpdateKeyRequest, ApiError> {
    let mut fields = Fields::parse(body)?;
    let name = fields.text("name", 1, TEXT_LEN);
    let listed = |words: Vec<String>| WordList { words };
    let models = gone(&mut fields, "models").or_else(|| models(app, &mut fields).map(listed));
    let ip_allow = gone(&mut fields, "ip_allow").or_else(|| ip_allow(&mut fields).map(listed));
    let expires_at = gone(&mut fields, "expires_at").or_else(|| expires_at(&mut fields));
    let caps = if fields.is_null("caps") {
        [Some(CapChange::default()); 3]
    } else {
        let change = |caps: &mut Fields<'_>| ["day", "month", "total"].map(|name| cap(caps, name));
        fields.object("caps", change).unwrap_or_default()
    };
    let [cap_day, cap_month, cap_total] = caps;
    let request = UpdateKeyRequest {
        context: None,
        key_id: key.to_vec().into(),
        name,
        models,
        ip_allow,
        rpm: count(&mut fields, "rpm"),
        concurrency: count(&mut fields, "concurrency"),
        max_open_tasks: count(&mut fields, "max_open_tasks"),
        expires_at,
        cap_day,
        cap_month,
        cap_total,
        by: None,
    };
    fields.finish()?;
    Ok(request)
}

/// The body of a rotation; there may be none.
pub(super) fn rotation(key: KeyId, body: &[u8]) -> Result<RotateKeyRequest, ApiError> {
    let mut fields = Fields::parse(if body.is_empty() { b"{}" } else { body })?;
    let overlap = fields.word("overlap", "a duration, such as 24h", duration::parse);
    fields.finish()?;
    Ok(RotateKeyRequest {
        context: None,
        key_id: key.to_vec().into(),
        overlap_ms: overlap.map_or(0, millis),
        by: None,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn models(app: &App, fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let allowed = "models that GET /api/v1/models lists";
    fields.words("models", allowed, |name| app.catalogue.find(name).is_some())
}

fn ip_allow(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let allowed = "addresses or networks, such as 10.0.0.0/8";
    fields.words("ip_allow", allowed, |text| network(text).is_some())
}

/// Microseconds UTC.
fn expires_at(fields: &mut Fields<'_>) -> Option<i64> {
    let at = fields.moment("expires_at")?;
    if at <= clock::now_micros() {
        fields.invalid("expires_at", "lie in the future");
    }
    Some(at)
}

fn count(fields: &mut Fields<'_>, name: &str) -> Option<u32> {
    gone(fields, name).or_else(|| fields.count(name))
}

fn cap(caps: &mut Fields<'_>, name: &str) -> Option<CapChange> {
    if caps.is_null(name) {
        return Some(CapChange::default());
    }
    let amount = caps.credits(name).map(Micros::get)?;
    Some(CapChange {
        amount: Some(amount),
    })
}

/// What takes a limit away, if a field says so: on the wire, a nought or an empty list.
fn gone<T: Default>(fields: &mut Fields<'_>, name: &str) -> Option<T> {
    fields.is_null(name).then(T::default)
}
