//! The first start: the operator's key, an account to play with, and a line to paste.

use anyhow::{Context as _, ensure};
use billing::{Billing, By, Caps, NewKey};
use chassis::{config::Settings, secrets::Secrets};
use dashboard::Dashboard;
use domain::{Mode, Scope};

use crate::{
    args::{Args, Role},
    config::{self, Config},
    say,
};

/// Makes the value of `AIO_BOOTSTRAP_KEY` the operator's key, if there is one and it is the first.
pub(crate) async fn bootstrap(billing: &Billing) -> anyhow::Result<()> {
    match config::bootstrap_key()? {
        Some(key) => billing.bootstrap(&key).await.context("AIO_BOOTSTRAP_KEY"),
        None => Ok(()),
    }
}

/// Makes what a first start needs, and what to print about it; nothing on later starts.
pub(crate) async fn prepare(billing: &Billing, url: &str) -> anyhow::Result<Vec<String>> {
    bootstrap(billing).await?;
    let accounts = billing.list_accounts(None, 2).await?;
    if accounts
        .iter()
        .any(|account| account.id != billing.operator())
    {
        return Ok(Vec::new());
    }
    let account = billing
        .create_account("First account", None, By::operator())
        .await?;
    let key = billing
        .create_key(NewKey {
            name: "first key".to_owned(),
            account: account.id,
            mode: Mode::Test,
            scopes: vec![Scope::Inference, Scope::Read, Scope::Manage],
            models: Vec::new(),
            caps: Caps::default(),
            rpm: 0,
            concurrency: 0,
            max_open_tasks: 0,
            ip_allow: Vec::new(),
            expires_at: None,
        })
        .await?;
    Ok(welcome(url, key.key.expose()))
}

/// Says how to sign in to the dashboard as an operator, until one has.
pub(crate) async fn invite_operator(pages: &Dashboard) -> anyhow::Result<()> {
    let Some(link) = pages.first_link().await? else {
        return Ok(());
    };
    for line in [
        "Sign in to the dashboard as its operator; this works once, within a day:",
        "",
        &format!("  {link}"),
        "",
    ] {
        say::line(line);
    }
    Ok(())
}

/// A link that lets an operator in, or whoever has this address set a new password.
pub(crate) fn sign_in_link(
    args: &Args,
    settings: &Settings,
    email: &str,
) -> anyhow::Result<String> {
    let (server, told): (Config, _) = (settings.section("server")?, settings.section("secrets")?);
    let secrets = match Secrets::configured(&told) {
        Ok(secrets) => secrets,
        // Those of `aio up` are in its data directory.
        Err(missing) => {
            let place = args.data_dir();
            ensure!(
                place.is_dir(),
                "{missing}; and nothing is at {}: name the data directory by --data-dir",
                place.display()
            );
            Secrets::load_or_create(&place, &told)?
        }
    };
    let url = server.public_url(server.listen(Role::Edge.port()));
    let life = dashboard::Config::read(settings)?
        .door
        .limits
        .lives
        .sign_in_link;
    let email = email.trim().to_lowercase();
    Ok(dashboard::sign_in_link(&secrets, &url, &email, life))
}

fn welcome(url: &str, key: &str) -> Vec<String> {
    vec![
        String::new(),
        "Your first API key, for test mode, shown this once:".to_owned(),
        String::new(),
        format!("  {key}"),
        String::new(),
        "Try it; it costs play money and needs no provider:".to_owned(),
        String::new(),
        format!(
            "  curl {url}/api/v1/chat/completions -H 'Authorization: Bearer {key}' \
             -H 'Content-Type: application/json' -d '{}'",
            r#"{"model":"gemini","messages":[{"role":"user","content":"Hello"}]}"#
        ),
        String::new(),
    ]
}
