//! What an operator does for a test: accounts, credit and keys, by the admin routes.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Api;

/// An account with a key of mode `test` that may do all a customer may.
#[derive(Clone, Debug)]
pub struct Account {
    /// acct_…
    pub id: String,
    /// The key itself.
    pub key: String,
    /// A client with that key.
    pub api: Api,
    admin: Api,
}

// === impl Account ===

impl Account {
    /// Makes an account with so much play money, and its key.
    ///
    /// # Errors
    /// When an admin route refuses.
    pub async fn create(admin: &Api, test_credits: &Value) -> Result<Self> {
        let body = json!({ "name": "somebody", "test_credits": test_credits });
        let made = admin.post("/admin/accounts", &body).await?.data(201)?;
        let id = text(&made, "account_id")?;
        ensure!(id.starts_with("acct_"), "{id} is no account");
        let scopes = ["inference", "read", "manage"];
        let body = json!({ "name": "all", "mode": "test", "scopes": scopes });
        let (_, key) = create_key(admin, &id, &body).await?;
        Ok(Self {
            id,
            api: admin.with_key(Some(&key)),
            key,
            admin: admin.clone(),
        })
    }

    /// Makes another key, of this mode, with these scopes: a client, and the key's id.
    ///
    /// # Errors
    /// When the admin route refuses.
    pub async fn key(&self, mode: &str, scopes: &[&str]) -> Result<(Api, String)> {
        let body = json!({ "name": "another", "mode": mode, "scopes": scopes });
        let (id, key) = create_key(&self.admin, &self.id, &body).await?;
        Ok((self.admin.with_key(Some(&key)), id))
    }

    /// Gives live credit, and a client with a live key.
    ///
    /// # Errors
    /// When an admin route refuses.
    pub async fn live(&self, credits: u32) -> Result<Api> {
        let path = format!("/admin/accounts/{}/credits", self.id);
        let body = json!({ "credits": credits, "mode": "live", "reason": "a test" });
        self.admin.post(&path, &body).await?.data(200)?;
        let (api, _) = self.key("live", &["inference", "read", "manage"]).await?;
        Ok(api)
    }
}

async fn create_key(admin: &Api, account: &str, body: &Value) -> Result<(String, String)> {
    let path = format!("/admin/accounts/{account}/keys");
    let made = admin.post(&path, body).await?.data(201)?;
    Ok((text(&made, "key_id")?, text(&made, "key")?))
}

fn text(data: &Value, name: &str) -> Result<String> {
    let text = data[name].as_str();
    Ok(text.with_context(|| format!("no {name}"))?.to_owned())
}
