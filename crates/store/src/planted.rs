//! Known bugs, planted one at a time, to prove that the simulation would find them.
//!
//! One classic cannot be planted here, a checksum that does not cover the length: a wrong length moves the bytes that the
//! checksum is computed over, and the lengths in a record must add up to its own.
//!
//! Invariants:
//! - Without the feature `planted-faults` nothing can be planted, and the questions cost nothing.

/// A bug that a storage engine could have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Planted {
    SkipSync,
    SkipDirectorySync,
    ConfirmBeforeSync,
    ApplyAckBeforeDurable,
    StaleTailAfterCut,
    RetryAfterFailedSync,
    ReuseFreedPageTooEarly,
    ForgetReferenceInFanOut,
    RecycleOneSegmentTooMany,
    TrustIndexOverLog,
    ChangeCheckpointedPage,
    RecycleAckBeforeMessage,
    ReadTailThroughCache,
    EvacuateWithoutCheckpoint,
    DropInLaterBlock,
    ExpireByReplayClock,
    ForgetBytesInCheckpoint,
    TrustFooterOfAnotherSegment,
    SkipAckInFooter,
    ForgetSkipped,
    LeavePersistentUnlogged,
    ForgetAttemptsInCheckpoint,
    ForgetAttemptsInState,
    EndDeadLetterWhenTaken,
}

impl Planted {
    /// Every bug that can be planted.
    pub const ALL: [Self; 24] = [
        Self::SkipSync,
        Self::SkipDirectorySync,
        Self::ConfirmBeforeSync,
        Self::ApplyAckBeforeDurable,
        Self::StaleTailAfterCut,
        Self::RetryAfterFailedSync,
        Self::ReuseFreedPageTooEarly,
        Self::ForgetReferenceInFanOut,
        Self::RecycleOneSegmentTooMany,
        Self::TrustIndexOverLog,
        Self::ChangeCheckpointedPage,
        Self::RecycleAckBeforeMessage,
        Self::ReadTailThroughCache,
        Self::EvacuateWithoutCheckpoint,
        Self::DropInLaterBlock,
        Self::ExpireByReplayClock,
        Self::ForgetBytesInCheckpoint,
        Self::TrustFooterOfAnotherSegment,
        Self::SkipAckInFooter,
        Self::ForgetSkipped,
        Self::LeavePersistentUnlogged,
        Self::ForgetAttemptsInCheckpoint,
        Self::ForgetAttemptsInState,
        Self::EndDeadLetterWhenTaken,
    ];

    /// What the bug does, in words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::SkipSync => "skip a sync",
            Self::SkipDirectorySync => "skip a directory sync",
            Self::ConfirmBeforeSync => "confirm before the sync",
            Self::ApplyAckBeforeDurable => "apply an ack before it is durable",
            Self::StaleTailAfterCut => "leave a stale tail after a cut",
            Self::RetryAfterFailedSync => "sync again after a failed sync",
            Self::ReuseFreedPageTooEarly => "reuse a freed index page too early",
            Self::ForgetReferenceInFanOut => "forget a reference in a fan-out",
            Self::RecycleOneSegmentTooMany => "recycle one segment too many",
            Self::TrustIndexOverLog => "trust the index over the log",
            Self::ChangeCheckpointedPage => "change a checkpointed page in place",
            Self::RecycleAckBeforeMessage => "recycle an ack before its message",
            Self::ReadTailThroughCache => "read the tail through the cache",
            Self::EvacuateWithoutCheckpoint => "evacuate without checkpoint",
            Self::DropInLaterBlock => "drop in a later block than the cause",
            Self::ExpireByReplayClock => "expire by the clock of the replay",
            Self::ForgetBytesInCheckpoint => "forget in a checkpoint what a queue holds in bytes",
            Self::TrustFooterOfAnotherSegment => "trust a footer of another segment",
            Self::SkipAckInFooter => "leave acknowledgements out of a footer",
            Self::ForgetSkipped => "forget to say which entries the log skipped",
            Self::LeavePersistentUnlogged => "leave a persistent message unlogged",
            Self::ForgetAttemptsInCheckpoint => "forget in a checkpoint how often messages came back",
            Self::ForgetAttemptsInState => "forget how often messages came back when a queue is told again",
            Self::EndDeadLetterWhenTaken => "end a dead letter when it is taken",
        }
    }
}

#[cfg(feature = "planted-faults")]
mod switch {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Planted;

    const NOTHING: usize = usize::MAX;
    static PLANTED: AtomicUsize = AtomicUsize::new(NOTHING);

    /// Plants one bug in all stores of this process, or none.
    pub fn plant(bug: Option<Planted>) {
        let index = bug.and_then(|bug| Planted::ALL.iter().position(|other| *other == bug));
        PLANTED.store(index.unwrap_or(NOTHING), Ordering::SeqCst);
    }

    pub(crate) fn is(bug: Planted) -> bool {
        Planted::ALL.get(PLANTED.load(Ordering::Relaxed)) == Some(&bug)
    }
}

#[cfg(feature = "planted-faults")]
pub(crate) use switch::is;
#[cfg(feature = "planted-faults")]
pub use switch::plant;

/// Whether the bug is planted: never, in this build.
#[cfg(not(feature = "planted-faults"))]
pub(crate) const fn is(_: Planted) -> bool {
    false
}
