//! A callback to the right address from somebody who has not its provider's key.

use std::{collections::HashMap, sync::Arc};

use domain::Catalogue;
use proto::code;

use crate::{house::eventually, sandboxed::Sandboxed};

#[tokio::test]
async fn a_callback_that_its_provider_did_not_sign_is_refused() {
    let text = include_str!("../../../../crates/domain/catalogue/flux-2.toml");
    let (ours, _) = text.split_once("[[providers]]").unwrap();
    let route = "adapter = \"fal\"\nprovider = \"fal\"\nmodel = \"fal-ai/flux-2-pro\"\n";
    let text = format!("{ours}[[providers]]\n{route}");
    let catalogue = Catalogue::parse(&[("flux-2.toml", &text)]).unwrap();
    let sandboxed = Sandboxed::new(Arc::new(catalogue)).await;
    let task = sandboxed.asked("delay=1h").await;
    eventually("fal has it", async || sandboxed.bill("fal").await.jobs == 1).await;
    // As long as its submit is under way, nobody knows which job is meant.
    eventually("it is known that fal has it", async || {
        let job = sqlx::query_scalar::<_, Option<String>>("select job from task where id = $1")
            .bind(task.to_vec())
            .fetch_one(sandboxed.running.db.reader())
            .await;
        job.unwrap().is_some()
    })
    .await;
    let signed = [
        ("x-fal-webhook-request-id", "1"),
        ("x-fal-webhook-user-id", "sandbox"),
        ("x-fal-webhook-timestamp", "1700000000"),
        ("x-fal-webhook-signature", "00"),
    ];
    let signed = signed.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for headers in [HashMap::new(), signed.into_iter().collect()] {
        let heard = sandboxed.running.hears(task, headers).await;
        assert_eq!(heard.unwrap_err().code, code::UNKNOWN_ROUTE);
    }
}
