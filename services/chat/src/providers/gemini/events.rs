//! From Gemini's events to OpenAI's chunks, one event at a time. Pure; nothing of an event is copied but what a chunk holds.
//!
//! Each event has the form of a whole answer, with what it adds to the parts. Usage counts from the beginning: the last report is told, at
//! the end. Nothing marks the end: it has come when each candidate has finished and the usage is there, or the provider closes
//! after that.

use upstream::Failure;

use super::{
    reply,
    request::Wishes,
    shape::{Delta, Extra, Finish, Logprobs, Piece, blocked, usage},
    wire::{self, Candidate, Given},
};
use crate::providers::{
    self,
    completion::{Common, Completion, Show, Usage, chunk},
    told,
};

/// One stream being told.
pub(super) struct Telling {
    wishes: Wishes,
    common: Common,
    /// How far each choice is.
    choices: Vec<Course>,
    /// Whether the first event came.
    begun: bool,
    usage: Option<wire::Usage>,
    pieces: Vec<providers::Piece>,
}

/// How far a choice is.
#[derive(Clone, Copy, Default)]
struct Course {
    state: State,
    /// Tool calls that were told.
    calls: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Silent,
    Begun,
    Finished,
}

// === impl Telling ===

impl Telling {
    /// A stream of so many choices that begins at `created`, in seconds.
    pub(super) fn new(wishes: Wishes, created: i64, choices: u64) -> Self {
        Self {
            wishes,
            common: Common {
                created,
                ..Common::default()
            },
            choices: vec![Course::default(); usize::try_from(choices).unwrap_or(1)],
            begun: false,
            usage: None,
            pieces: Vec::new(),
        }
    }

    fn candidate(&mut self, candidate: Candidate<'_>) -> Result<(), Failure> {
        let at = candidate.index;
        let Some(course) = self.choices.get(at) else {
            return Err(Failure::malformed(
                "there are more candidates than asked for",
            ));
        };
        let mut course = *course;
        let finish = candidate
            .finish_reason
            .filter(|_| course.state != State::Finished);
        let parts = candidate
            .content
            .unwrap_or_default()
            .parts
            .unwrap_or_default();
        let calls = parts.iter().filter(|part| part.function_call.is_some());
        let all_calls = course.calls.saturating_add(calls.count());
        // What ends in no answer is told as such while it still can be.
        let word = finish
            .map(|reason| Finish::of(&reason.0, all_calls))
            .map(|finish| finish.word().map(|word| (finish, word)))
            .transpose()?;
        if course.state == State::Silent {
            course.state = State::Begun;
            self.tell(
                at,
                Delta {
                    role: Some("assistant"),
                    content: Some(""),
                    ..Delta::default()
                },
            );
        }
        for part in parts {
            self.part(at, part, &mut course);
        }
        let logprobs = Logprobs::read(candidate.logprobs_result);
        let message = candidate.finish_message.map(|text| text.0);
        let message =
            message.filter(|_| word.is_some_and(|(finish, _)| finish == Finish::ContentFilter));
        if word.is_some() || logprobs.is_some() {
            self.push(
                &[Piece {
                    index: at,
                    delta: Delta {
                        refusal: message.as_deref(),
                        ..Delta::default()
                    },
                    finish_reason: word.map(|(_, word)| word),
                    logprobs,
                }],
                None,
            );
        }
        if word.is_some() {
            course.state = State::Finished;
        }
        if let Some(slot) = self.choices.get_mut(at) {
            *slot = course;
        }
        Ok(())
    }

    fn part(&mut self, at: usize, part: Given<'_>, course: &mut Course) {
        if let Some(called) = part.function_call {
            if !self.wishes.calls.allows(course.calls) {
                return;
            }
            let place = (&self.common, at, course.calls);
            let mut call = reply::call(called, part.thought_signature, place);
            call.index = Some(course.calls);
            course.calls = course.calls.saturating_add(1);
            return self.tell(
                at,
                Delta {
                    tool_calls: Some([call]),
                    ..Delta::default()
                },
            );
        }
        let text = part.text.unwrap_or_default().0;
        let text = Some(&*text).filter(|text| !text.is_empty());
        let mut delta = Delta {
            extra_content: Extra::of(part.thought_signature),
            ..Delta::default()
        };
        match (part.thought.unwrap_or_default(), self.wishes.show) {
            (false, _) => delta.content = text,
            (true, Show::Thoughts) => delta.reasoning_content = text,
            (true, Show::AnswerOnly) => {}
        }
        if delta.content.is_some()
            || delta.reasoning_content.is_some()
            || delta.extra_content.is_some()
        {
            self.tell(at, delta);
        }
    }

    fn tell(&mut self, index: usize, delta: Delta<'_>) {
        let piece = Piece {
            index,
            delta,
            finish_reason: None,
            logprobs: None,
        };
        self.push(&[piece], None);
    }

    fn push(&mut self, choices: &[Piece<'_>], usage: Option<Usage>) {
        let chunk = chunk(&Completion {
            common: &self.common,
            object: "chat.completion.chunk",
            choices,
            usage,
        });
        self.pieces.push(providers::Piece::Chunk(chunk));
    }

    fn is_finished(&self) -> bool {
        let mut choices = self.choices.iter();
        choices.all(|course| course.state == State::Finished)
    }

    /// The usage, and the end.
    fn finish(&mut self) {
        if let Some(usage) = self.usage.take().as_ref().and_then(usage) {
            self.push(&[], Some(usage));
        }
        self.pieces.push(providers::Piece::Done);
    }
}

impl told::Telling for Telling {
    fn take(&mut self, data: &[u8]) -> Result<Vec<providers::Piece>, Failure> {
        let mut response = reply::read(data)?;
        if !self.begun {
            self.begun = true;
            self.common = reply::common(&response, self.common.created);
        }
        let candidates = response.candidates.take().unwrap_or_default();
        if candidates.is_empty()
            && let Some(failure) = response.prompt_feedback.take().and_then(blocked)
        {
            return Err(failure);
        }
        for candidate in candidates {
            self.candidate(candidate)?;
        }
        let reports = response.usage_metadata.is_some();
        if reports {
            self.usage = response.usage_metadata;
        }
        if reports && self.is_finished() {
            self.finish();
        }
        Ok(std::mem::take(&mut self.pieces))
    }

    fn end(&mut self) -> Vec<providers::Piece> {
        if self.is_finished() {
            self.finish();
        }
        std::mem::take(&mut self.pieces)
    }
}
