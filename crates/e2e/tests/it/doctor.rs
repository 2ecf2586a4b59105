//! `aio doctor`: what is well and what is not, with what to do about it; and what a shell is told of the command line.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, process::Output};

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::{Aio, Role, Shape};

/// What the doctor says: the exit code is what it says as well.
fn told(output: &Output) -> Result<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    let told: Value = serde_json::from_str(&text).with_context(|| format!("{text}{error}"))?;
    assert_eq!(told["ok"], output.status.success(), "{told:#}");
    Ok(told)
}

/// How everything of this name is.
fn of<'t>(told: &'t Value, name: &str) -> Vec<&'t Value> {
    let checks = told["checks"].as_array().into_iter().flatten();
    checks.filter(|check| check["name"] == name).collect()
}

fn has(told: &Value, name: &str, status: &str, words: &str) -> bool {
    of(told, name).into_iter().any(|check| {
        let said = check["said"].as_str().unwrap_or_default();
        check["status"] == status && said.contains(words)
    })
}

#[tokio::test]
async fn what_is_wrong_is_found_and_what_is_right_is_said() -> Result<()> {
    let mut aio = Aio::start().await?;
    let listen = aio.base().replace("http://", "");
    let doctor = ["doctor", "--json", "--listen", listen.as_str()];
    if Shape::of_this_run()? != Shape::Embedded {
        return on_servers(aio).await;
    }
    // Beside a running program.
    let well = told(&aio.command(&doctor).await?)?;
    assert_eq!(well["ok"], true, "{well:#}");
    for (name, words) in [
        ("configuration", "holds together"),
        ("secrets", "0600"),
        ("data directory", "0700"),
        ("disk", "free"),
        ("descriptors", "open"),
        ("clock", "not before"),
        ("ports", "an aio runs here"),
        (
            "databases",
            "billing, chat, media, webhooks, dashboard, sandbox",
        ),
    ] {
        let good = ["ok", "warning"].map(|status| has(&well, name, status, words));
        assert!(good.contains(&true), "{name}: {well:#}");
    }
    assert!(
        has(&well, "providers", "warning", "none has a credential"),
        "{well:#}"
    );
    assert!(aio.stop().await?.success());
    let file = aio.data_dir().join("secrets.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    fs::set_permissions(aio.data_dir(), fs::Permissions::from_mode(0o755))?;
    let _taken = TcpListener::bind(&listen)?;
    aio.set("AIO_LIMITS__WEBHOOKS__AT_ONCE", "many");
    aio.set("AIO_PROVIDERS__OPENAI__API_KEY", "canary-of-a-provider");
    aio.set(
        "AIO_PROVIDERS__OPENAI__BASE_URL",
        "https://nobody.invalid/v1",
    );
    let ill = told(&aio.command(&doctor).await?)?;
    for (name, status, words) in [
        ("configuration", "failed", "limits.webhooks.at_once"),
        ("secrets", "failed", "0644"),
        ("data directory", "warning", "0755"),
        ("ports", "failed", "cannot listen"),
        ("providers", "ok", "credentials of openai"),
        ("names", "failed", "nobody.invalid"),
    ] {
        assert!(has(&ill, name, status, words), "{name}: {ill:#}");
    }
    assert!(!ill.to_string().contains("canary"), "{ill:#}");
    // For people: a line each.
    let people = aio.command(&doctor[..1]).await?;
    let text = String::from_utf8_lossy(&people.stdout).into_owned();
    assert!(
        text.lines().any(|line| line.starts_with("FAIL  secrets ")),
        "{text}"
    );
    assert!(text.contains("chmod 600"), "{text}");
    // A role names its servers, and a wish for one that is none is told with the rest.
    let check = aio.command(&["config", "check"]).await?;
    assert_eq!(check.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&check.stderr).contains("at_once"));
    Ok(())
}

/// The same where everything is a process of its own.
async fn on_servers(mut aio: Aio) -> Result<()> {
    let well = told(&aio.command_of(Role::Billing, &["doctor", "--json"]).await?)?;
    assert_eq!(well["ok"], true, "{well:#}");
    for (name, words) in [
        ("secrets", "are configured"),
        ("postgresql", "billing ("),
        ("rabbitmq", "queues"),
        ("redis", "runs scripts"),
        ("clock", "from the database's"),
        ("peers", "webhooks at"),
    ] {
        assert!(has(&well, name, "ok", words), "{name}: {well:#}");
    }
    // A role's user sees its own schema alone.
    assert!(!has(&well, "postgresql", "ok", "media ("), "{well:#}");
    aio.kill_role(Role::Webhooks)?;
    let nowhere = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    aio.set(
        "AIO_RABBITMQ__URL",
        &format!("amqp://me:canary@{nowhere}/%2f"),
    );
    aio.set("AIO_REDIS__URL", &format!("redis://:canary@{nowhere}/0"));
    let ill = told(&aio.command_of(Role::Edge, &["doctor", "--json"]).await?)?;
    for (name, status, words) in [
        ("postgresql", "warning", "database.url is not set"),
        ("rabbitmq", "failed", ""),
        ("redis", "failed", ""),
        ("peers", "failed", "webhooks at"),
        ("peers", "ok", "billing at"),
    ] {
        assert!(has(&ill, name, status, words), "{name}: {ill:#}");
    }
    assert!(!ill.to_string().contains("canary"), "{ill:#}");
    Ok(())
}

#[tokio::test]
async fn shells_and_the_manual_are_told_of_the_command_line() -> Result<()> {
    let aio = Aio::embedded().await?;
    // Whatever is wrong with the configuration.
    let aio = {
        let mut aio = aio;
        aio.set("AIO_CONFIG", "nowhere.toml");
        aio
    };
    for (arguments, begins) in [
        (["completions", "bash"].as_slice(), "_aio() {"),
        (&["completions", "zsh"], "#compdef aio"),
        (&["completions", "fish"], "# Print an optspec"),
        (&["man"], ".ie"),
    ] {
        let output = aio.command(arguments).await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.starts_with(begins),
            "{arguments:?}: {text}"
        );
    }
    Ok(())
}
