//! What the catalog keeps of a queue beside its name (docs/format.md, "Queues of an embedded store").
//!
//! Invariants:
//! - What was written once is read for ever: no variant and no field changes its place or its meaning.
//! - Only what differs from the default is written, so that a new option is a new [`Setting`] and nothing else.

use super::{Overflow, QueueOptions};
use serde::{Deserialize, Serialize};

/// The value of a queue's entry. The order of variants and fields is the format.
#[derive(Serialize, Deserialize)]
pub(super) enum Definition {
    /// Is only read.
    V1 { id: u64, options: OptionsV1 },
    /// In the order in which the settings are declared, none twice.
    V2 { id: u64, settings: Vec<Setting> },
}

/// The options of version 1.
#[derive(Serialize, Deserialize)]
pub(super) struct OptionsV1 {
    messages_max: Option<u64>,
    overflow: Overflow,
}

/// One option that differs from the default.
#[derive(Serialize, Deserialize)]
pub(super) enum Setting {
    MessagesMax(u64),
    BytesMax(u64),
    Overflow(Overflow),
    TimeToLiveMs(u64),
    PriorityMax(u8),
    RetentionMs(u64),
    RetentionBytes(u64),
}

impl Definition {
    pub(super) fn new(id: u64, options: &QueueOptions) -> Self {
        // Named one by one, so that an option without a setting does not compile.
        let QueueOptions {
            messages_max,
            bytes_max,
            overflow,
            time_to_live_ms,
            priority_max,
            retention_ms,
            retention_bytes,
        } = *options;
        let default = QueueOptions::default();
        let settings = [
            messages_max.map(Setting::MessagesMax),
            bytes_max.map(Setting::BytesMax),
            (overflow != default.overflow).then_some(Setting::Overflow(overflow)),
            time_to_live_ms.map(Setting::TimeToLiveMs),
            (priority_max != default.priority_max).then_some(Setting::PriorityMax(priority_max)),
            retention_ms.map(Setting::RetentionMs),
            retention_bytes.map(Setting::RetentionBytes),
        ];
        let settings = settings.into_iter().flatten().collect();
        Self::V2 { id, settings }
    }

    /// The queue in the journal, and its options.
    pub(super) fn into_parts(self) -> (u64, QueueOptions) {
        let mut options = QueueOptions::default();
        match self {
            Self::V1 { id, options: kept } => {
                options.messages_max = kept.messages_max;
                options.overflow = kept.overflow;
                (id, options)
            }
            Self::V2 { id, settings } => {
                for setting in settings {
                    match setting {
                        Setting::MessagesMax(messages) => options.messages_max = Some(messages),
                        Setting::BytesMax(bytes) => options.bytes_max = Some(bytes),
                        Setting::Overflow(overflow) => options.overflow = overflow,
                        Setting::TimeToLiveMs(ms) => options.time_to_live_ms = Some(ms),
                        Setting::PriorityMax(highest) => options.priority_max = highest,
                        Setting::RetentionMs(ms) => options.retention_ms = Some(ms),
                        Setting::RetentionBytes(bytes) => options.retention_bytes = Some(bytes),
                    }
                }
                (id, options)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    fn bytes(definition: &Definition) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec::encode_into(&mut bytes, definition, 1000).unwrap();
        bytes
    }

    fn parts(bytes: &[u8]) -> (u64, QueueOptions) {
        codec::decode::<Definition>(bytes).unwrap().into_parts()
    }

    fn with_all() -> QueueOptions {
        QueueOptions {
            messages_max: Some(0x0102),
            bytes_max: Some(0x0304),
            overflow: Overflow::DropOldest,
            time_to_live_ms: Some(0x0506),
            priority_max: 9,
            retention_ms: Some(0x0708),
            retention_bytes: Some(0x090a),
        }
    }

    #[test]
    fn a_definition_has_the_bytes_of_the_golden_file() {
        let golden: &[u8] = include_bytes!("../../tests/golden/queue-definition.bin");
        assert_eq!(bytes(&Definition::new(7, &with_all())), golden);
        assert_eq!(parts(golden), (7, with_all()));
    }

    #[test]
    fn a_queue_without_options_has_no_settings() {
        let golden = [1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(bytes(&Definition::new(7, &QueueOptions::default())), golden);
        assert_eq!(parts(&golden), (7, QueueOptions::default()));
    }

    #[test]
    fn what_version_1_wrote_is_still_read() {
        let limited = [
            0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
        ];
        assert_eq!(parts(&limited), (7, QueueOptions::newest(0x0102)));
        let unlimited = [0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(parts(&unlimited), (7, QueueOptions::default()));
    }

    #[test]
    fn a_setting_that_is_not_known_is_an_error_and_not_left_out() {
        let mut unknown = bytes(&Definition::new(7, &QueueOptions::at_most(1)));
        unknown[20] = 200;
        assert!(codec::decode::<Definition>(&unknown).is_err());
    }
}
