//! OpenAI's images (developers.openai.com, API of November 2026): one call makes a picture, or edits some, and answers with it.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use upstream::{Call, Failure, ProviderClient};

use super::{
    Access, Answers, Cancelled, Cost, MediaProvider, Order, Progress, Started,
    at_once::{self, Answer},
    wire,
};

/// Where pictures are made of a text, and where of pictures as well.
const GENERATIONS: &str = "images/generations";
const EDITS: &str = "images/edits";
/// The pictures that an edit is of, as the catalogue names them: URLs, which they fetch, or files.
const IMAGES: &str = "images";
/// What they bill a million tokens of some models with, in millionths of a US dollar: of words that go in, of pictures that do, and of
/// pictures that come out.
const PRICES: [(&str, [i64; 3]); 1] = [("gpt-image-1.5", [5_000_000, 8_000_000, 32_000_000])];
const MILLION: i64 = 1_000_000;

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct OpenAi {
    client: ProviderClient,
}

/// The wire shape of an answer.
#[derive(Deserialize)]
struct Made {
    data: Vec<Picture>,
    #[serde(default, deserialize_with = "wire::lenient")]
    output_format: Option<String>,
    #[serde(default, deserialize_with = "wire::lenient")]
    usage: Usage,
}

/// The wire shape of a picture.
#[derive(Deserialize)]
struct Picture {
    b64_json: Option<String>,
}

/// The wire shape of what an answer took.
#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    input_tokens: i64,
    #[serde(default)]
    output_tokens: i64,
    #[serde(default)]
    input_tokens_details: Details,
}

/// The wire shape of what went in.
#[derive(Default, Deserialize)]
struct Details {
    #[serde(default)]
    image_tokens: i64,
}

// === impl OpenAi ===

impl OpenAi {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl MediaProvider for OpenAi {
    fn answers(&self, _model: &str) -> Answers {
        Answers::AtOnce
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let (path, body) = body(order.model, order.parameters);
        let url = wire::place(&access.base_url, path)?;
        let headers = wire::with_json(wire::bearer(access));
        let call = Call::submit(url, headers, Value::Object(body).to_string().into());
        let (answer, id) = match at_once::submit(&self.client, call).await? {
            Answer::Made(answer, id) => (answer, id),
            Answer::Failed(started) => return Ok(started),
        };
        let made: Made = wire::read(&answer, "the answer to a submit has no pictures")?;
        let cost = made.usage.cost(order.model);
        let files = made.files();
        if files.is_empty() {
            return Err(Failure::malformed("the answer to a submit has no pictures"));
        }
        Ok(at_once::given(&id, files, cost))
    }

    async fn check(&self, _: &Access, job: &str) -> Result<Progress, Failure> {
        Ok(at_once::check(job).unwrap_or(Progress::Missing))
    }

    /// Whatever has a job is done.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::TooLate)
    }
}

/// Where to, and what. With pictures it is an edit.
fn body(model: &str, parameters: &Map<String, Value>) -> (&'static str, Map<String, Value>) {
    let mut body = parameters.clone();
    body.insert("model".to_owned(), model.into());
    let images = wire::take_texts(&mut body, IMAGES);
    if images.is_empty() {
        return (GENERATIONS, body);
    }
    let images = images.into_iter().map(|url| json!({ "image_url": url }));
    body.insert(IMAGES.to_owned(), images.collect());
    (EDITS, body)
}

// === impl Made ===

impl Made {
    /// Pictures as URLs. A format that they do not name is the usual one; what a file is, its bytes say.
    fn files(self) -> Vec<String> {
        let format = self.output_format.unwrap_or_else(|| "png".to_owned());
        let content_type = format!("image/{format}");
        let pictures = self.data.into_iter().filter_map(|one| one.b64_json);
        pictures
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| wire::data_url(&content_type, bytes))
            .collect()
    }
}

// === impl Usage ===

impl Usage {
    /// What it costs us, of a model whose prices are known.
    fn cost(&self, model: &str) -> Option<Cost> {
        let (_, prices) = PRICES.iter().find(|(name, _)| *name == model)?;
        let pictures = self.input_tokens_details.image_tokens;
        let words = self.input_tokens.saturating_sub(pictures);
        let parts = [words, pictures, self.output_tokens];
        let sums = parts
            .iter()
            .zip(prices)
            .map(|(tokens, price)| tokens.saturating_mul(*price));
        let micro_usd = sums.fold(0_i64, i64::saturating_add).checked_div(MILLION)?;
        (micro_usd > 0).then_some(Cost { micro_usd })
    }
}

#[cfg(test)]
mod tests;
