//! The ways in which a stream is asked for, and what comes of one that ends behind so many of the provider's events.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use testkit::{Api, Event, Events};

/// How long every answer is: tokens of four bytes, as its provider counts.
pub(crate) const TOKENS: usize = 6;
/// So every answer begins, before the model's name.
const BEGINNING: &str = "Sandbox reply. Model: ";

/// A wire protocol behind a model, and the words in which it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Behind OpenAI's protocol; the usage event is asked for.
    OpenAi,
    /// The same without the usage event.
    OpenAiPlain,
    /// Behind Google's protocol.
    Gemini,
    /// Behind Anthropic's protocol.
    Claude,
    /// Behind OpenAI's, in Anthropic's words.
    Messages,
    /// Behind Anthropic's, in Anthropic's words.
    ClaudeMessages,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) way: Way,
    /// So many of the provider's events are let through.
    pub(crate) after: usize,
    /// The customer's label: by it its receipt is found.
    pub(crate) label: String,
    pub(crate) body: String,
    /// Whether it has an Idempotency-Key.
    pub(crate) key: Option<String>,
}

/// What a customer saw.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) replayed: bool,
    pub(crate) text: String,
    /// The error, as an answer or inside the stream.
    pub(crate) error: Option<Value>,
    /// Whether it came to its end.
    pub(crate) done: bool,
    /// What it is said to have cost, where that is said.
    pub(crate) credits: Option<Value>,
}

/// A stream that is being read.
pub(crate) struct Hearing {
    pub(crate) heard: Heard,
    events: Option<Events>,
}

// === impl Way ===

impl Way {
    pub(crate) const ALL: [Self; 6] = [
        Self::OpenAi,
        Self::OpenAiPlain,
        Self::Gemini,
        Self::Claude,
        Self::Messages,
        Self::ClaudeMessages,
    ];

    /// What is asked for.
    const fn model(self) -> &'static str {
        match self {
            Self::OpenAi | Self::OpenAiPlain | Self::Messages => "gpt-6-1-sol",
            Self::Gemini => "gemini",
            Self::Claude | Self::ClaudeMessages => "claude-opus-5-5",
        }
    }

    pub(crate) const fn is_messages(self) -> bool {
        matches!(self, Self::Messages | Self::ClaudeMessages)
    }

    /// The provider's events before the first of text: the role; or the message, a ping, and the block.
    const fn head(self) -> usize {
        match self {
            Self::OpenAi | Self::OpenAiPlain | Self::Messages => 1,
            Self::Gemini => 0,
            Self::Claude | Self::ClaudeMessages => 3,
        }
    }

    /// Its events behind the text: reason, usage and `[DONE]`; reason and usage in one; or block, reason with usage, and stop.
    const fn tail(self) -> usize {
        match self {
            Self::Gemini => 1,
            Self::OpenAi
            | Self::OpenAiPlain
            | Self::Messages
            | Self::Claude
            | Self::ClaudeMessages => 3,
        }
    }

    /// All of the provider's events.
    pub(crate) const fn events(self) -> usize {
        self.head() + TOKENS + self.tail()
    }

    /// How many tokens of text are among so many events.
    pub(crate) fn tokens(self, events: usize) -> usize {
        events.saturating_sub(self.head()).min(TOKENS)
    }

    /// The text of so many of the provider's tokens.
    pub(crate) fn says(self, tokens: usize) -> String {
        let whole = format!("{BEGINNING}{}", self.model());
        whole.chars().take(4 * tokens).collect()
    }

    /// Whether the provider's report is among so many events: it is the last but one, and the last of Google's.
    pub(crate) const fn is_reported(self, events: usize) -> bool {
        events + self.tail() / 2 >= self.events()
    }

    /// Whether anything of the answer is among so many events.
    pub(crate) const fn has_begun(self, events: usize) -> bool {
        events > 0 && events >= self.head()
    }

    /// Micro-credits for a token of input and one of output.
    pub(crate) const fn prices(self) -> (i64, i64) {
        match self {
            Self::OpenAi | Self::OpenAiPlain | Self::Messages => (200, 1_000),
            Self::Gemini => (50, 300),
            Self::Claude | Self::ClaudeMessages => (400, 2_000),
        }
    }

    pub(crate) const fn path(self) -> &'static str {
        if self.is_messages() {
            "/messages"
        } else {
            "/chat/completions"
        }
    }

    pub(crate) fn body(self, text: &str, label: &str) -> Value {
        let mut body = json!({
            "model": self.model(), "max_tokens": 256, "stream": true,
            "messages": [{ "role": "user", "content": text }],
        });
        match self {
            Self::OpenAi | Self::Gemini | Self::Claude => {
                body["user"] = json!(label);
                body["stream_options"] = json!({ "include_usage": true });
            }
            Self::OpenAiPlain => body["user"] = json!(label),
            Self::Messages | Self::ClaudeMessages => body["metadata"] = json!({ "user_id": label }),
        }
        body
    }
}

// === impl Ask ===

impl Ask {
    /// A request whose directive is `words` and the place of its end; all of one series are equally long.
    pub(crate) fn new((way, after): (Way, usize), series: &str, words: &str) -> Self {
        let label = format!("{series}-{way:?}-{after:02}");
        let text = format!("Hello [sandbox tokens={TOKENS} {words} after={after:02}]");
        Self {
            way,
            after,
            body: way.body(&text, &label).to_string(),
            label,
            key: None,
        }
    }

    #[must_use]
    pub(crate) fn keyed(mut self) -> Self {
        self.key = Some(self.label.clone());
        self
    }

    /// One for each place where a stream of any way may end, but for its very end.
    pub(crate) fn everywhere(series: &str, words: &str) -> Vec<Self> {
        let places = |way: Way| (0..way.events()).map(move |after| (way, after));
        let places = Way::ALL.into_iter().flat_map(places);
        places
            .map(|place| Self::new(place, series, words))
            .collect()
    }

    /// How many tokens of input and of output a published tokenizer counts.
    pub(crate) fn counted(&self) -> Result<(i64, i64)> {
        let says = self.way.says(self.way.tokens(self.after));
        Ok((testkit::input_tokens(&self.body)?, testkit::tokens(&says)?))
    }

    pub(crate) async fn open(&self, api: &Api) -> Result<Hearing> {
        let mut headers = vec![("content-type", "application/json")];
        if let Some(key) = &self.key {
            headers.push(("idempotency-key", key));
        }
        let body = Bytes::from(self.body.clone());
        let response = api
            .open(Method::POST, self.way.path(), &headers, body)
            .await?;
        let mut heard = Heard {
            status: response.status().as_u16(),
            replayed: response.headers().contains_key("idempotent-replayed"),
            ..Heard::default()
        };
        if heard.status == 200 {
            let events = Some(Events::of(response));
            return Ok(Hearing { heard, events });
        }
        let answer: Value = serde_json::from_slice(&response.bytes().await?)?;
        heard.error = Some(answer["error"].clone());
        let events = None;
        Ok(Hearing { heard, events })
    }

    /// All there is to hear.
    pub(crate) async fn hear(&self, api: &Api) -> Result<Heard> {
        let mut hearing = self.open(api).await?;
        while hearing.next().await? {}
        Ok(hearing.heard)
    }
}

// === impl Hearing ===

impl Hearing {
    /// Takes in one event; whether there was one.
    pub(crate) async fn next(&mut self) -> Result<bool> {
        let Some(events) = &mut self.events else {
            return Ok(false);
        };
        let Some(event) = events.next().await? else {
            return Ok(false);
        };
        self.heard.take(&event)?;
        Ok(true)
    }

    /// Reads until so much text has come.
    pub(crate) async fn until(&mut self, tokens: usize) -> Result<()> {
        while self.heard.text.len() < 4 * tokens {
            ensure!(self.next().await?, "it ended before: {:?}", self.heard);
        }
        Ok(())
    }
}

// === impl Heard ===

impl Heard {
    fn take(&mut self, event: &Event) -> Result<()> {
        if event.data == "[DONE]" {
            self.done = true;
            return Ok(());
        }
        let data = event.json()?;
        if data["type"] == "message_stop" {
            self.done = true;
        }
        for place in ["/choices/0/delta/content", "/delta/text"] {
            let text = data.pointer(place).and_then(Value::as_str);
            self.text.push_str(text.unwrap_or_default());
        }
        for (slot, name) in [
            (&mut self.error, "error"),
            (&mut self.credits, "credits_consumed"),
        ] {
            let said = data.get(name).filter(|said| !said.is_null());
            *slot = said.cloned().or_else(|| slot.take());
        }
        Ok(())
    }

    /// What an error says was charged, in micro-credits.
    pub(crate) fn told(&self) -> Result<i64> {
        let error = self.error.as_ref().context("no error")?;
        let message = error["message"].as_str().context("no message")?;
        if message.contains("nothing was charged") {
            return Ok(0);
        }
        let number = message
            .split_whitespace()
            .find_map(|word| word.parse::<serde_json::Number>().ok());
        testkit::micros(&number.with_context(|| message.to_owned())?.into())
    }
}
