//! What a chat request used, in disjoint classes of tokens.

/// Tokens by class. The classes do not overlap: a cached input token is not counted as input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens that were not in the provider's cache.
    pub input: u64,
    /// Input tokens read from the provider's cache.
    pub cached: u64,
    /// Input tokens of sound.
    pub audio_input: u64,
    /// Output tokens the customer sees.
    pub output: u64,
    /// Output tokens spent on reasoning.
    pub reasoning: u64,
    /// Output tokens of sound.
    pub audio_output: u64,
}

/// A class of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenClass {
    /// Input that was not in the provider's cache.
    Input,
    /// Input read from the provider's cache.
    Cached,
    /// Input of sound.
    AudioInput,
    /// Output the customer sees.
    Output,
    /// Output spent on reasoning.
    Reasoning,
    /// Output of sound.
    AudioOutput,
}

// === impl TokenClass ===

impl TokenClass {
    /// Every class, in the order of receipts.
    pub const ALL: [Self; 6] = [
        Self::Input,
        Self::Cached,
        Self::AudioInput,
        Self::Output,
        Self::Reasoning,
        Self::AudioOutput,
    ];

    /// The word of receipts and model files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Cached => "cached",
            Self::AudioInput => "audio_input",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::AudioOutput => "audio_output",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

// === impl Usage ===

impl Usage {
    /// The tokens of one class.
    pub const fn of(&self, class: TokenClass) -> u64 {
        match class {
            TokenClass::Input => self.input,
            TokenClass::Cached => self.cached,
            TokenClass::AudioInput => self.audio_input,
            TokenClass::Output => self.output,
            TokenClass::Reasoning => self.reasoning,
            TokenClass::AudioOutput => self.audio_output,
        }
    }

    /// The place of one class.
    pub const fn of_mut(&mut self, class: TokenClass) -> &mut u64 {
        match class {
            TokenClass::Input => &mut self.input,
            TokenClass::Cached => &mut self.cached,
            TokenClass::AudioInput => &mut self.audio_input,
            TokenClass::Output => &mut self.output,
            TokenClass::Reasoning => &mut self.reasoning,
            TokenClass::AudioOutput => &mut self.audio_output,
        }
    }
}
