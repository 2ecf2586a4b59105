//! A provider and a model that two files add, and nothing else: seen in the list of models, quoted, served and charged.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Aio, Api, Method, Sandbox, binary, eventually};

/// The provider of the docs.
const ACME: &str = include_str!("../../../../docs/providers/acme.toml");

const FOX: &str = r#"
slug = "acme/fox"
name = "Fox"
owned_by = "acme"
category = "image"
route = "images/generations"
deadline_seconds = 60
cancel = "queued"

[[params]]
name = "prompt"
type = "text"
min = 1
max = 5000
required = true

[[params]]
name = "num_images"
type = "integer"
min = 1
max = 4
default = 1

[price]
unit = "image"
per = "num_images"

[[price.rows]]
microcredits = 2_000_000

[[providers]]
adapter = "acme"
provider = "warehouse"
model = "picture-1"
"#;

const PRICE: i64 = 2_000_000;

/// The two files, in directories of their own.
struct Files(TempDir);

impl Files {
    fn new(provider: &str) -> Result<Self> {
        let home = tempfile::tempdir()?;
        for (place, file, text) in [
            ("models", "fox.toml", FOX),
            ("providers", "acme.toml", provider),
        ] {
            fs::create_dir(home.path().join(place))?;
            fs::write(home.path().join(place).join(file), text)?;
        }
        Ok(Self(home))
    }

    fn place(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn settings(&self) -> [(&'static str, String); 2] {
        [
            ("AIO_MODELS__DIRECTORY", self.place("models")),
            ("AIO_MODELS__PROVIDERS", self.place("providers")),
        ]
    }

    async fn start(&self, more: &[(&str, &str)]) -> Result<Aio> {
        let own = self.settings();
        let own = own.each_ref().map(|(name, value)| (*name, value.as_str()));
        Aio::with(&[&own, more].concat()).await
    }
}

/// A task with this prompt, to its end.
async fn ended(api: &Api, prompt: &str) -> Result<Value> {
    let body = json!({ "model": "acme/fox", "prompt": prompt, "num_images": 2 });
    api.ended(&api.image(&body).await?).await
}

async fn is_served(api: &Api) -> Result<()> {
    let task = ended(api, "a fox [sandbox delay=50ms]").await?;
    assert_eq!(task["status"], "completed", "{task}");
    assert_eq!(task["consumed_microcredits"], 2 * PRICE);
    let output = task["output"].as_array().context("no output")?;
    assert_eq!(output.len(), 2);
    for file in output {
        assert_eq!(
            (&file["content_type"], &file["width"]),
            (&json!("image/png"), &json!(1024))
        );
    }
    ensure!(!task.to_string().contains("/rest/"), "{task}");
    let id = task["task_id"].as_str().context("no id")?;
    // The receipt comes behind the charge.
    let path = format!("/operations/{id}/receipt");
    let shown = eventually("the receipt", async || {
        let reply = api.get(&path).await?;
        Ok((reply.status == 200).then_some(reply))
    });
    let shown = shown.await?.data(200)?;
    assert_eq!(shown["receipt"]["total_microcredits"], 2 * PRICE, "{shown}");
    Ok(())
}

#[tokio::test]
async fn two_files_add_a_provider_and_a_model() -> Result<()> {
    let server = Sandbox::start().await?;
    let files = Files::new(ACME)?;
    let place = format!("{}/rest", server.base());
    let aio = files
        .start(&[
            ("AIO_PROVIDERS__WAREHOUSE__BASE_URL", &place),
            (
                "AIO_PROVIDERS__WAREHOUSE__API_KEY",
                "canary-of-the-provider",
            ),
        ])
        .await?;
    let account = aio.account(100).await?;
    let listed = account.api.get("/models/acme/fox").await?.json()?;
    assert_eq!(
        (&listed["id"], &listed["category"]),
        (&json!("acme/fox"), &json!("image"))
    );
    let body = json!({ "model": "acme/fox", "prompt": "a fox", "num_images": 3 });
    let quote = json!({ "route": "images/generations", "body": body });
    let quote = account.api.post("/quote", &quote).await?.data(200)?;
    assert_eq!(testkit::micros(&quote["max_credits"])?, 3 * PRICE);

    // A test key reaches the sandbox of the program, by the wire that the file names; a live key the provider's own server.
    is_served(&account.api).await?;
    let live = account.live(100).await?;
    is_served(&live).await?;
    let bill = format!("{}/bill", server.base());
    let nobody = aio.api(None);
    let bill = nobody.send(Method::GET, &bill, &[], String::new());
    let bill = bill.await?.json()?;
    assert_eq!(
        bill["by_provider"]["rest"],
        json!({ "jobs": 1, "billed": 40_000, "repeated": 0 })
    );
    aio.finish().await
}

#[tokio::test]
async fn what_fails_there_is_free_and_says_why() -> Result<()> {
    let files = Files::new(ACME)?;
    let aio = files
        .start(&[
            ("AIO_LIMITS__MEDIA__POLL__SETTLE_IN", "1s"),
            ("AIO_LIMITS__MEDIA__MAX_ATTEMPTS", "2"),
        ])
        .await?;
    let api = aio.account(100).await?.api;
    for (words, code, message) in [
        ("fail delay=50ms", "upstream_failed", ""),
        (
            "moderated delay=0s",
            "content_moderated",
            "The input was rejected.",
        ),
        ("out_of_balance", "upstream_failed", ""),
        ("vanish delay=50ms", "upstream_failed", ""),
    ] {
        let task = ended(&api, &format!("a fox [sandbox outcome={words}]")).await?;
        assert_eq!(
            (&task["status"], &task["error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{words}"
        );
        let told = task["error"]["message"].as_str().unwrap_or_default();
        ensure!(message.is_empty() || told == message, "{words}: {told}");
        assert_eq!(task["consumed_microcredits"], 0);
    }
    assert_eq!(api.settled().await?.posted, 100_000_000);
    aio.finish().await
}

#[tokio::test]
async fn a_provider_that_the_sandbox_does_not_play_has_no_test_keys() -> Result<()> {
    let alone = ACME.replace("sandbox = \"rest\"", "");
    let files = Files::new(&alone)?;
    let aio = files.start(&[]).await?;
    let api = aio.account(100).await?.api;
    let body = json!({ "model": "acme/fox", "prompt": "a fox" });
    let refused = api.post("/images/generations", &body).await?;
    let error = refused.error(503, "no_provider")?;
    ensure!(
        error.to_string().contains("plays no provider of acme/fox"),
        "{error}"
    );
    assert_eq!(api.settled().await?.posted, 100_000_000);
    aio.finish().await
}

/// What `aio config check` ends with, and says to standard error.
fn check(files: &Files) -> Result<(bool, String)> {
    let checked = Command::new(binary()?)
        .args(["config", "check"])
        .envs(files.settings())
        .current_dir(Path::new("/"))
        .output()?;
    Ok((checked.status.success(), String::from_utf8(checked.stderr)?))
}

#[tokio::test]
async fn all_that_is_wrong_with_a_file_is_said_before_anything_starts() -> Result<()> {
    let wrong = ACME
        .replace("{{ model }}", "{{ modle }}")
        .replace("finished = \"done\"", "finished = \"ended\"")
        .replace("class = \"balance\"", "class = \"poor\"");
    let files = Files::new(&wrong)?;
    let Err(error) = files.start(&[]).await else {
        anyhow::bail!("it started");
    };
    let (is_fine, checked) = check(&files)?;
    ensure!(!is_fine, "{checked}");
    for told in [format!("{error:#}"), checked] {
        for line in [
            "acme.toml: submit.body: there is no variable modle",
            "acme.toml: states.finished: ended is none of running, done,",
            "acme.toml: errors.rules[2].class: poor is none of auth,",
        ] {
            ensure!(told.contains(line), "{line}: {told}");
        }
    }
    let (is_fine, told) = check(&Files::new(ACME)?)?;
    ensure!(is_fine, "{told}");
    let other = ACME.replace("name = \"acme\"", "name = \"other\"");
    let (is_fine, told) = check(&Files::new(&other)?)?;
    ensure!(
        !is_fine
            && told.contains("the model acme/fox names the adapter acme, which does not exist"),
        "{told}"
    );
    Ok(())
}
