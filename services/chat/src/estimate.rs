//! What was used, where the provider told nothing that can be believed: our own tokenizer counts what was asked and what arrived.
//!
//! It counts a little at a time, so that the requests beside it go on, and up to a limit. Where a text is longer, the rest is taken to have as many tokens
//! for its length as what was counted. For a model with another tokenizer than ours this is an estimate; for all of them it leaves out
//! what nobody has seen: reasoning that was not shown.

use domain::receipt::UsageSource;
use tokio::task::yield_now;

use crate::{
    bill::Tally, bound::Bound, config::EstimateLimits, plan::Plan, text::Text, tokens::Counter,
};

/// Bytes that are counted in one go: a tenth of a millisecond at worst.
const AT_ONCE: usize = 1024;
/// Bytes of text that are taken for one token where none of it could be counted.
const BYTES_PER_TOKEN: u64 = 4;

/// Tokens, and who counted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) tokens: u64,
    pub(crate) source: UsageSource,
}

/// What a request used, as far as it is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) input: Counted,
    pub(crate) output: Counted,
}

/// Texts that are being counted.
#[derive(Default)]
struct Count {
    counter: Counter,
    /// The part that is being read.
    part: String,
    /// Bytes that were counted.
    bytes: usize,
    /// The same as they are written in JSON, escapes and all.
    written: usize,
    /// Bytes since others had their turn.
    since: usize,
}

// === impl Estimate ===

impl Estimate {
    /// Counts a request and what came of it.
    pub(crate) async fn of(
        plan: &Plan,
        bound: &Bound,
        tally: &Tally,
        limits: &EstimateLimits,
    ) -> Self {
        Self {
            input: input(plan, bound, limits.input_bytes).await,
            output: output(tally).await,
        }
    }

    /// Who counted, as one word.
    pub(crate) fn source(&self) -> UsageSource {
        let by_length = [self.input, self.output]
            .iter()
            .any(|counted| counted.source != UsageSource::Tokenizer);
        if by_length {
            UsageSource::Estimate
        } else {
            UsageSource::Tokenizer
        }
    }
}

/// The input of a request: its texts, and half of what its media may have at most. Never more than what is held for them.
pub(crate) async fn input(plan: &Plan, bound: &Bound, most: usize) -> Counted {
    let found = plan.texts();
    let mut count = Count::default();
    let mut left = 0_u64;
    for text in found.texts {
        left = left.saturating_add(count.text(text, most).await);
    }
    let counted = count.with_rest(left, count.written);
    let text = counted.tokens.saturating_add(found.tokens).min(bound.text);
    Counted {
        tokens: text.saturating_add(bound.media.div_ceil(2)),
        ..counted
    }
}

/// What has arrived of the output.
async fn output(tally: &Tally) -> Counted {
    let (text, left) = tally.heard();
    let mut count = Count::default();
    count.text(Text::Quoted(&text), text.len()).await;
    count.with_rest(left, count.bytes)
}

// === impl Count ===

impl Count {
    /// Counts a text, as far as all together have at most so many bytes. So many bytes of it are left.
    async fn text(&mut self, mut text: Text<'_>, most: usize) -> u64 {
        loop {
            let fits = most.saturating_sub(self.bytes).min(AT_ONCE);
            let before = text.len();
            text.read(&mut self.part, fits);
            let written = before.saturating_sub(text.len());
            self.written = self.written.saturating_add(written);
            if self.part.is_empty() {
                break;
            }
            self.counter.push(&self.part);
            self.bytes = self.bytes.saturating_add(self.part.len());
            self.since = self.since.saturating_add(self.part.len());
            if self.since >= AT_ONCE {
                self.since = 0;
                yield_now().await;
            }
        }
        self.counter.end_text();
        u64::try_from(text.len()).unwrap_or(u64::MAX)
    }

    /// All tokens, if so many bytes more have as many for their length as so many had.
    fn with_rest(&self, rest: u64, counted: usize) -> Counted {
        let tokens = self.counter.tokens();
        if rest == 0 {
            let source = UsageSource::Tokenizer;
            return Counted { tokens, source };
        }
        let bytes = u64::try_from(counted).unwrap_or(u64::MAX);
        let product = u128::from(tokens).saturating_mul(u128::from(rest));
        let more = product.checked_div(u128::from(bytes)).map_or_else(
            || rest.div_ceil(BYTES_PER_TOKEN),
            |more| u64::try_from(more).unwrap_or(u64::MAX),
        );
        Counted {
            tokens: tokens.saturating_add(more),
            source: UsageSource::Estimate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn counted(texts: &[&str], most: usize) -> Counted {
        let mut count = Count::default();
        let mut left = 0;
        for text in texts {
            left += count.text(Text::Quoted(text), most).await;
        }
        count.with_rest(left, count.written)
    }

    #[tokio::test]
    async fn what_is_longer_than_the_limit_is_taken_to_go_on_as_it_began() {
        let counted_by = |tokens, source| Counted { tokens, source };
        let great = "tiktoken is great!";
        let long = "tiktoken is great! ".repeat(1_000);
        for (texts, most, tokens, source) in [
            (&[][..], 100, 0, UsageSource::Tokenizer),
            (&[great], 100, 6, UsageSource::Tokenizer),
            (&[great, great], 36, 12, UsageSource::Tokenizer),
            (&[great, great], 18, 12, UsageSource::Estimate),
            (&[great], 0, 5, UsageSource::Estimate),
            (&[r"a\nb"], 3, 3, UsageSource::Tokenizer),
        ] {
            assert_eq!(
                counted(texts, most).await,
                counted_by(tokens, source),
                "{texts:?}"
            );
        }
        // What is written in escapes is as long as what it says.
        let escaped = "\\u043c\\u043e\\u0440\\u0435 ".repeat(1_000);
        let all = counted(&[&escaped], usize::MAX).await.tokens;
        let some = counted(&[&escaped], 900).await.tokens;
        assert!(some.abs_diff(all) < all / 50, "{some} of {all}");
        let whole = counted(&[&long], usize::MAX).await;
        let half = counted(&[&long], long.len() / 2).await;
        assert_eq!(whole, counted_by(6_001, UsageSource::Tokenizer));
        assert_eq!(half.source, UsageSource::Estimate);
        assert!(half.tokens.abs_diff(whole.tokens) < 10, "{half:?}");
    }
}
