//! One thing wrong with a request's parameters.

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// Required, and not there.
    Missing,
    /// Not a field of this model.
    Unknown,
    /// There, with a wrong type or a value that is not allowed.
    Invalid,
}

/// One thing wrong with a request's parameters, in words for the customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub kind: ProblemKind,
    /// The field's path, as the customer wrote it: `input_urls[2]`.
    pub param: String,
    /// Names the field, the problem and what is allowed.
    pub message: String,
}

// === impl Problem ===

impl Problem {
    /// A required field is not there.
    pub fn missing(param: impl Into<String>) -> Self {
        let param = param.into();
        Self {
            kind: ProblemKind::Missing,
            message: format!("{param} is required"),
            param,
        }
    }

    /// A field is there and wrong; `allowed` completes the sentence "`param` must …".
    pub fn invalid(param: impl Into<String>, allowed: impl AsRef<str>) -> Self {
        let param = param.into();
        Self {
            kind: ProblemKind::Invalid,
            message: format!("{param} must {}", allowed.as_ref()),
            param,
        }
    }
}
