//! What a task would cost. A dry run: everything is checked as a submit checks it, and nothing is written down or held.

use proto::common::v1::Quote;
use serde_json::Value;

use crate::{
    Error, Media,
    hold::available,
    inputs, origin, room,
    submit::{Submission, prepare},
};

/// Says what a task would cost, or why it would be refused; a balance that is too low is no reason.
pub(crate) async fn quote(media: &Media, submission: Submission) -> Result<Quote, Error> {
    let (task, _) = prepare(media, &submission).await?;
    room::for_outputs(media, &submission.caller).await?;
    inputs::check(media, &task).await?;
    origin::check_once(media, &task).await?;
    let available = available(media, &submission.caller).await?;
    let factor = task.price.applied.price_factor;
    let mut resolved = task.price.applied.parameters;
    resolved.insert("model".to_owned(), Value::String(task.model));
    Ok(Quote {
        expected: task.held.get(),
        max: task.held.get(),
        affordable: available >= task.held,
        price_version: task.price_version,
        resolved: serde_json::to_vec(&resolved)?.into(),
        price_factor: factor.parts_per_million(),
    })
}
