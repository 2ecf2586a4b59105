//! `aio credits codes`: make redeem codes, list them, revoke one.

use http::Method;
use serde_json::json;

use super::{Call, Needs, get, number, post, print};
use crate::args::Codes;

/// Where redeem codes are.
const PATH: &str = "/admin/redeem-codes";

/// The call that a command is.
pub(super) fn call(command: &Codes) -> anyhow::Result<Call> {
    match command {
        Codes::Create {
            count,
            credits,
            mode,
            max_uses,
            expires,
            reach,
        } => {
            let (credits, mode) = (number(credits)?, mode.as_str());
            let expires = json!(expires);
            let body = format!(
                r#"{{"count":{count},"credits":{credits},"mode":"{mode}","max_uses":{max_uses},"expires_at":{expires}}}"#
            );
            let path = PATH.to_owned();
            Ok(post(path, body, reach.clone(), print::new_codes))
        }
        Codes::List(reach) => Ok(get(PATH, reach.clone(), print::codes)),
        Codes::Revoke { code, reach } => Ok(Call {
            method: Method::DELETE,
            path: format!("{PATH}/{code}"),
            body: None,
            reach: reach.clone(),
            needs: Needs::Billing,
            show: print::fields,
        }),
    }
}
