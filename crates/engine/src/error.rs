//! How the engine refuses: a code that never changes and a text `op: rule, got value`.
//! The text crosses into JavaScript as `CODE: text`; `ts/errors.ts` knows the codes.

use std::fmt;

/// The codes of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// An allocation would pass the limit, or the memory could not grow.
    OutOfMemory,
    /// Words, ids, extents or scalars that break a rule of the format. Always a fault of the caller.
    BadProgram,
    /// A kernel met data that breaks a rule (see `Engine::fault`).
    KernelFault,
    /// A thread died; this engine is unusable from then on.
    Poisoned,
    /// Not allowed while a run is in progress.
    Busy,
}

impl Code {
    /// The code as it is written in the text.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::OutOfMemory => "OUT_OF_MEMORY",
            Code::BadProgram => "BAD_PROGRAM",
            Code::KernelFault => "KERNEL_FAULT",
            Code::Poisoned => "POISONED",
            Code::Busy => "BUSY",
        }
    }
}

/// A refused call. Nothing was changed by it, unless its documentation says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineError {
    /// The stable code.
    pub code: Code,
    /// `op: rule, got value`.
    pub text: String,
}

impl EngineError {
    /// An error with a code and a text.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.text)
    }
}

impl std::error::Error for EngineError {}

/// Short for a `BAD_PROGRAM` error.
pub(crate) fn bad(text: impl Into<String>) -> EngineError {
    EngineError::new(Code::BadProgram, text)
}
