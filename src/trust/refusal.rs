//! Why a document is refused: one closed list, each reason with the step that found it and a code that never changes.

use serde::{Deserialize, Serialize};

use super::document::{DecodeError, Invalid, SectionId};
use super::envelope::EnvelopeError;

/// The order of verification. Nothing of a later step has run when an earlier one refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Step {
    Size,
    Digest,
    Envelope,
    Signatures,
    Decode,
    Target,
    Floors,
    Sections,
    Resolve,
    Validate,
    Plan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("larger than such a document may be")]
    TooLarge,
    #[error("not as large as the assignment says")]
    SizeDiffers,
    #[error("not the bytes that were named")]
    DigestDiffers,
    #[error("cannot be decrypted with this device's key")]
    Undecryptable,
    #[error("the envelope is wrong")]
    Envelope(#[source] EnvelopeError),
    #[error("signed by nobody who may sign it")]
    WrongKey,
    #[error("signed by too few")]
    TooFewSignatures,
    #[error("a signature does not fit the bytes")]
    BadSignature,
    #[error("the payload is wrong")]
    Payload(#[source] DecodeError),
    #[error("of another fleet")]
    OtherTenant,
    #[error("for another device")]
    OtherDevice,
    #[error("not for this model")]
    OtherModel,
    #[error("needs newer firmware")]
    FirmwareTooOld,
    #[error("of another epoch than the root")]
    OtherEpoch,
    #[error("signed under a root that this device does not have yet")]
    RootAhead,
    #[error("not the root that comes next")]
    RootNotNext,
    #[error("an older root than one that was accepted")]
    RootRollback,
    #[error("an older assignment than one that was accepted")]
    AssignmentRollback,
    #[error("another assignment under a number that was used")]
    AssignmentReused,
    #[error("an older standard than one that was kept")]
    StandardRollback,
    #[error("not the number that the assignment names")]
    SeqDiffers,
    #[error("answers no question that this device asked")]
    UnknownNonce,
    #[error("answers a question that is too old")]
    ExpiredNonce,
    #[error("section {} is needed but unknown to this firmware", .0.0)]
    UnsupportedSection(SectionId),
    #[error("the values do not fit the standard")]
    Unresolvable,
    #[error("does not come out as head office computed it")]
    ResolvedMismatch,
    #[error("the config is invalid")]
    InvalidConfig,
    #[error("the config would open what must stay closed")]
    FloorRule,
    #[error("no way leads from here to there")]
    NoPlan,
}

impl Refusal {
    pub const fn step(self) -> Step {
        match self {
            Self::TooLarge | Self::SizeDiffers | Self::Envelope(EnvelopeError::TooLong) => Step::Size,
            Self::DigestDiffers | Self::Undecryptable => Step::Digest,
            Self::Envelope(
                EnvelopeError::Truncated
                | EnvelopeError::Magic
                | EnvelopeError::Kind
                | EnvelopeError::NotSupportedYet
                | EnvelopeError::Format
                | EnvelopeError::Count
                | EnvelopeError::Reserved
                | EnvelopeError::Algorithm
                | EnvelopeError::Order
                | EnvelopeError::Trailing,
            ) => Step::Envelope,
            Self::WrongKey | Self::TooFewSignatures | Self::BadSignature => Step::Signatures,
            Self::Payload(_) => Step::Decode,
            Self::OtherTenant | Self::OtherDevice | Self::OtherModel | Self::FirmwareTooOld => Step::Target,
            Self::OtherEpoch
            | Self::RootAhead
            | Self::RootNotNext
            | Self::RootRollback
            | Self::AssignmentRollback
            | Self::AssignmentReused
            | Self::StandardRollback
            | Self::SeqDiffers
            | Self::UnknownNonce
            | Self::ExpiredNonce => Step::Floors,
            Self::UnsupportedSection(_) => Step::Sections,
            Self::Unresolvable | Self::ResolvedMismatch => Step::Resolve,
            Self::InvalidConfig | Self::FloorRule => Step::Validate,
            Self::NoPlan => Step::Plan,
        }
    }

    /// For machines; never changes its meaning.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::SizeDiffers => "size_differs",
            Self::DigestDiffers => "digest_differs",
            Self::Undecryptable => "undecryptable",
            Self::Envelope(error) => envelope_code(error),
            Self::WrongKey => "wrong_key",
            Self::TooFewSignatures => "too_few_signatures",
            Self::BadSignature => "bad_signature",
            Self::Payload(DecodeError::Parse) => "unreadable",
            Self::Payload(DecodeError::Trailing) => "trailing_payload",
            Self::Payload(DecodeError::NotCanonical) => "second_encoding",
            Self::Payload(DecodeError::Invalid(invalid)) => invalid_code(invalid),
            Self::OtherTenant => "other_tenant",
            Self::OtherDevice => "other_device",
            Self::OtherModel => "other_model",
            Self::FirmwareTooOld => "firmware_too_old",
            Self::OtherEpoch => "other_epoch",
            Self::RootAhead => "root_ahead",
            Self::RootNotNext => "root_not_next",
            Self::RootRollback => "root_rollback",
            Self::AssignmentRollback => "assignment_rollback",
            Self::AssignmentReused => "assignment_reused",
            Self::StandardRollback => "standard_rollback",
            Self::SeqDiffers => "seq_differs",
            Self::UnknownNonce => "unknown_nonce",
            Self::ExpiredNonce => "expired_nonce",
            Self::UnsupportedSection(_) => "unsupported_section",
            Self::Unresolvable => "unresolvable",
            Self::ResolvedMismatch => "resolved_mismatch",
            Self::InvalidConfig => "invalid_config",
            Self::FloorRule => "floor_rule",
            Self::NoPlan => "no_plan",
        }
    }
}

const fn envelope_code(error: EnvelopeError) -> &'static str {
    match error {
        EnvelopeError::TooLong => "too_large",
        EnvelopeError::Truncated => "truncated",
        EnvelopeError::Magic => "no_document",
        EnvelopeError::Kind => "other_kind",
        EnvelopeError::NotSupportedYet => "not_supported_yet",
        EnvelopeError::Format => "other_format",
        EnvelopeError::Count => "signature_count",
        EnvelopeError::Reserved => "reserved_bytes",
        EnvelopeError::Algorithm => "other_algorithm",
        EnvelopeError::Order => "signature_order",
        EnvelopeError::Trailing => "trailing_bytes",
    }
}

const fn invalid_code(invalid: Invalid) -> &'static str {
    match invalid {
        Invalid::Threshold => "bad_threshold",
        Invalid::Key => "bad_key",
        Invalid::Order => "list_order",
        Invalid::NotCritical => "not_critical",
        Invalid::Flag => "unknown_flag",
        Invalid::Zero => "zero_number",
        Invalid::WayBack => "bad_way_back",
        Invalid::Exhausted => "fast_forward",
    }
}

impl From<EnvelopeError> for Refusal {
    fn from(error: EnvelopeError) -> Self {
        Self::Envelope(error)
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        Self::Payload(error)
    }
}
