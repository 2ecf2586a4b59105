//! From Anthropic's events to OpenAI's chunks, one event at a time. Pure.
//!
//! | event | chunks |
//! |---|---|
//! | `message_start` | none: the first chunk (`role`) waits for the first block, so that an error before it is a status |
//! | `content_block_start` | a tool's: the call's `index`, `id` and `name` |
//! | `content_block_delta` | `content`, `arguments`, and `reasoning_content` for who wants it |
//! | `content_block_stop` | thinking: its element of `reasoning_details`. A call that was given no arguments: `{}` |
//! | `message_delta` | `finish_reason`, then the usage |
//! | `message_stop` | the end |
//! | `error` | the failure |
//! | `ping`, and what is new | none |

use std::collections::BTreeMap;

use upstream::Failure;

use super::{
    refusal, reply,
    shape::{self, Call, Common, Completion, Delta, Function, Usage, chunk, finish_reason},
    thoughts::{Detail, Place, Show},
    wire::{self, Event, Given, Thought},
};
use crate::providers::{Piece, told};

/// One stream being told.
pub(super) struct Telling {
    show: Show,
    common: Common,
    /// Whether the first chunk was told.
    begun: bool,
    /// The blocks that have begun and not ended, by their index.
    open: BTreeMap<u64, Open>,
    /// What was told so far: where a block of thinking stands.
    told: Place,
    usage: wire::Usage,
    pieces: Vec<Piece>,
}

/// A block that has not ended.
enum Open {
    Text,
    /// A tool call: which one, what its arguments are if no deltas come, and how many bytes of them came.
    Call {
        index: usize,
        input: String,
        told: usize,
    },
    /// Thinking, with where it stands.
    Thought(Given, Place),
    /// A kind that is not handed on.
    Other,
}

// === impl Telling ===

impl Telling {
    /// A stream that begins at `created`, in seconds.
    pub(super) fn new(show: Show, created: i64) -> Self {
        Self {
            show,
            common: Common {
                created,
                ..Common::default()
            },
            begun: false,
            open: BTreeMap::new(),
            told: Place::default(),
            usage: wire::Usage::default(),
            pieces: Vec::new(),
        }
    }

    fn start(&mut self, message: wire::Message) {
        self.common.id = message.id;
        self.common.model = message.model;
        // What of the output is counted here is not all of it.
        let usage = message.usage.unwrap_or_default();
        self.usage = wire::Usage {
            output_tokens: None,
            output_tokens_details: None,
            ..usage
        };
    }

    /// The chunk before all others.
    fn begin(&mut self) {
        if !self.begun {
            self.begun = true;
            self.tell(Delta {
                role: Some("assistant"),
                content: Some(""),
                ..Delta::default()
            });
        }
    }

    fn open(&mut self, at: u64, block: Given) {
        let open = match block.r#type.as_str() {
            "text" => {
                self.text(block.text.as_deref());
                Open::Text
            }
            "tool_use" => self.call(block),
            "thinking" | "redacted_thinking" => {
                self.think(block.thinking.as_deref());
                Open::Thought(block, self.told)
            }
            _ => Open::Other,
        };
        self.open.insert(at, open);
    }

    fn call(&mut self, block: Given) -> Open {
        let index = self.told.after_calls;
        self.told.after_calls = index.saturating_add(1);
        self.tell_call(Call {
            index: Some(index),
            id: block.id,
            r#type: Some("function"),
            function: Function {
                name: block.name,
                arguments: String::new(),
            },
        });
        Open::Call {
            index,
            input: reply::arguments(block.input.as_deref()),
            told: 0,
        }
    }

    fn add(&mut self, at: u64, delta: wire::Delta) {
        match self.open.get_mut(&at) {
            Some(Open::Text) => self.text(delta.text.as_deref()),
            Some(Open::Call { index, told, .. }) => {
                let arguments = delta.partial_json.unwrap_or_default();
                let index = *index;
                *told = told.saturating_add(arguments.len());
                self.arguments(index, arguments);
            }
            Some(Open::Thought(block, _)) => {
                append(&mut block.thinking, delta.thinking.as_deref());
                append(&mut block.signature, delta.signature.as_deref());
                self.think(delta.thinking.as_deref());
            }
            Some(Open::Other) | None => {}
        }
    }

    fn close(&mut self, at: u64) {
        match self.open.remove(&at) {
            Some(Open::Call {
                index,
                input,
                told: 0,
            }) => self.arguments(index, input),
            Some(Open::Thought(block, place)) => {
                if let Some(thought) = Thought::of(block, self.show) {
                    self.tell(Delta {
                        reasoning_details: Some([Detail { thought, place }]),
                        ..Delta::default()
                    });
                }
            }
            Some(Open::Text | Open::Call { .. } | Open::Other) | None => {}
        }
    }

    fn finish(&mut self, delta: wire::Delta, usage: Option<wire::Usage>) {
        if let Some(reason) = delta.stop_reason {
            self.begin();
            let explanation = delta.stop_details.and_then(|stop| stop.explanation);
            self.piece(
                Delta {
                    refusal: explanation.as_deref(),
                    ..Delta::default()
                },
                Some(finish_reason(&reason)),
            );
        }
        if let Some(usage) = usage {
            self.usage.update(usage);
            self.tell_usage();
        }
    }

    fn text(&mut self, text: Option<&str>) {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.told.after_text = self.told.after_text.saturating_add(text.len());
            self.tell(Delta {
                content: Some(text),
                ..Delta::default()
            });
        }
    }

    fn think(&mut self, thinking: Option<&str>) {
        let thinking = thinking.filter(|thinking| !thinking.is_empty());
        if let (Some(thinking), Show::Thoughts) = (thinking, self.show) {
            self.tell(Delta {
                reasoning_content: Some(thinking),
                ..Delta::default()
            });
        }
    }

    fn arguments(&mut self, index: usize, arguments: String) {
        if !arguments.is_empty() {
            self.tell_call(Call {
                index: Some(index),
                function: Function {
                    name: None,
                    arguments,
                },
                ..Call::default()
            });
        }
    }

    fn tell_call(&mut self, call: Call) {
        self.tell(Delta {
            tool_calls: Some([call]),
            ..Delta::default()
        });
    }

    fn tell(&mut self, delta: Delta<'_>) {
        self.piece(delta, None);
    }

    fn piece(&mut self, delta: Delta<'_>, finish_reason: Option<&'static str>) {
        let choice = shape::Piece {
            index: 0,
            delta,
            finish_reason,
        };
        self.push(&[choice], None);
    }

    fn tell_usage(&mut self) {
        if let Some(usage) = shape::usage(&self.usage) {
            self.push(&[], Some(usage));
        }
    }

    fn push(&mut self, choices: &[shape::Piece<'_>], usage: Option<Usage>) {
        self.pieces.push(Piece::Chunk(chunk(&Completion {
            common: &self.common,
            object: "chat.completion.chunk",
            choices,
            usage,
        })));
    }
}

impl told::Telling for Telling {
    fn take(&mut self, data: &[u8]) -> Result<Vec<Piece>, Failure> {
        let event: Event = serde_json::from_slice(data)
            .map_err(|_| Failure::malformed("an event is not a JSON object of a known form"))?;
        match event.r#type.as_str() {
            "message_start" => self.start(event.message.unwrap_or_default()),
            "content_block_start" => {
                self.begin();
                self.open(event.index, event.content_block.unwrap_or_default());
            }
            "content_block_delta" => self.add(event.index, event.delta),
            "content_block_stop" => self.close(event.index),
            "message_delta" => self.finish(event.delta, event.usage),
            "message_stop" => self.pieces.push(Piece::Done),
            "error" => return Err(refusal::reported(data)),
            _ => {}
        }
        Ok(std::mem::take(&mut self.pieces))
    }
}

// === impl Usage ===

impl wire::Usage {
    /// Takes a later report, which counts from the beginning as well; what it leaves out stays.
    fn update(&mut self, later: Self) {
        fn take<T>(slot: &mut Option<T>, later: Option<T>) {
            if later.is_some() {
                *slot = later;
            }
        }
        take(&mut self.input_tokens, later.input_tokens);
        take(
            &mut self.cache_creation_input_tokens,
            later.cache_creation_input_tokens,
        );
        take(
            &mut self.cache_read_input_tokens,
            later.cache_read_input_tokens,
        );
        take(&mut self.output_tokens, later.output_tokens);
        take(&mut self.output_tokens_details, later.output_tokens_details);
    }
}

fn append(text: &mut Option<String>, piece: Option<&str>) {
    if let Some(piece) = piece {
        text.get_or_insert_default().push_str(piece);
    }
}
