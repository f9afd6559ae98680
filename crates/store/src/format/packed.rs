//! Gists packed: of each only what the two before it do not foretell (docs/format.md, "Footer").
//!
//! Most records of a block are messages for the same queues, and their gists differ by steps: an ordinal, a message id and a
//! sequence number that rise by one, times that do not move. So each word is foretold as the one before plus the last step, and
//! only words that are something else are written.
//!
//! Invariants:
//! - What was packed unpacks to the same bytes, whatever they are.
//! - Each block is packed by itself.
//! - Unpacked gists take at most 32 times the packed bytes, whatever these are: a bit for each 4 bytes is the least.

use super::gist;
use super::pad8;

/// The gist follows as it is.
const LITERAL: u8 = 0;
/// A gist as long as the one before: a bit for each of its words, then the words that are not as foretold.
const FORETOLD: u8 = 1;
const WORD_LEN: usize = 4;
/// Words for which one byte of a mask speaks.
const WORDS_OF_A_BYTE: usize = 8;

/// The last two gists of a block.
#[derive(Default)]
pub(crate) struct Context {
    before: Vec<u8>,
    earlier: Vec<u8>,
}

impl Context {
    /// A new block begins.
    pub(crate) fn clear(&mut self) {
        self.before.clear();
        self.earlier.clear();
    }

    /// A gist that nothing is foretold from but its repetition.
    fn restart(&mut self, gist: &[u8]) {
        for kept in [&mut self.before, &mut self.earlier] {
            kept.clear();
            kept.extend_from_slice(gist);
        }
    }

    fn advance(&mut self, gist: &[u8]) {
        std::mem::swap(&mut self.before, &mut self.earlier);
        self.before.copy_from_slice(gist);
    }

    fn foretells(&self, len: usize) -> bool {
        len == self.before.len() && len > 0 && len.is_multiple_of(WORD_LEN)
    }

    /// Appends a gist of the block to `out`.
    pub(crate) fn pack(&mut self, gist: &[u8], out: &mut Vec<u8>) {
        if !self.foretells(gist.len()) {
            out.push(LITERAL);
            out.extend_from_slice(gist);
            self.restart(gist);
            return;
        }
        let mask_len = mask_len(gist.len());
        out.reserve(1 + mask_len + gist.len());
        out.push(FORETOLD);
        let mask_at = out.len();
        out.resize(mask_at + mask_len, 0);
        let foretold = foretold(&self.before, &self.earlier);
        for (index, (word, foretold)) in words(gist).zip(foretold).enumerate() {
            if word != foretold {
                out[mask_at + index / WORDS_OF_A_BYTE] |= 1 << (index % WORDS_OF_A_BYTE);
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
        self.advance(gist);
    }

    /// Appends the gist at the beginning of `packed` to `out`, which ends where a gist may begin. Returns how many bytes it took;
    /// `None` when it makes no sense.
    fn unpack(&mut self, packed: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let (tag, rest) = packed.split_first()?;
        let start = out.len();
        let used = match *tag {
            LITERAL => {
                let len = gist::len(rest)?;
                out.extend_from_slice(&rest[..len]);
                self.restart(&out[start..]);
                len
            }
            FORETOLD if self.foretells(self.before.len()) => {
                let (mask, mut differing) = rest.split_at_checked(mask_len(self.before.len()))?;
                for (index, foretold) in foretold(&self.before, &self.earlier).enumerate() {
                    let mut word = foretold.to_le_bytes();
                    if mask[index / WORDS_OF_A_BYTE] & 1 << (index % WORDS_OF_A_BYTE) != 0 {
                        let (said, behind) = differing.split_first_chunk()?;
                        word = *said;
                        differing = behind;
                    }
                    out.extend_from_slice(&word);
                }
                self.advance(&out[start..]);
                rest.len() - differing.len()
            }
            _ => return None,
        };
        out.resize(start + pad8(out.len() - start), 0);
        Some(1 + used)
    }
}

/// Appends the gists of a block to `out`, each padded to 8 bytes. `None` when the bytes make no sense, which those that were
/// packed never do.
pub(crate) fn unpack(mut packed: &[u8], context: &mut Context, out: &mut Vec<u8>) -> Option<()> {
    context.clear();
    while !packed.is_empty() {
        let used = context.unpack(packed, out)?;
        packed = &packed[used..];
    }
    Some(())
}

const fn mask_len(gist_len: usize) -> usize {
    (gist_len / WORD_LEN).div_ceil(WORDS_OF_A_BYTE)
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    let (words, _) = bytes.as_chunks::<WORD_LEN>();
    words.iter().map(|word| u32::from_le_bytes(*word))
}

/// Each word with the step that it last made.
fn foretold(before: &[u8], earlier: &[u8]) -> impl Iterator<Item = u32> {
    words(before)
        .zip(words(earlier))
        .map(|(before, earlier)| before.wrapping_add(before.wrapping_sub(earlier)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::message::{MessageParts, Origin, Persistence, record_of};
    use crate::format::record::{AckReason, Range, RangesKind, put_ranges, ranges_len};
    use crate::ids::{QueueId, Seq};
    use proptest::prelude::*;

    /// The gist of the message with this ordinal in a block for some queues.
    fn message(ordinal: u32, queues: usize, body: &[u8]) -> Vec<u8> {
        let parts = MessageParts {
            origin: Origin::Published,
            persistence: Persistence::Persistent,
            priority: crate::Priority::NONE,
            message_id: 1000 + u64::from(ordinal),
            timestamp_ms: 77,
            properties: &[b"props"],
            body: &[body],
        };
        let mut bytes = record_of(ordinal, &parts, &vec![(9, u64::from(ordinal) + 10, 0); queues]);
        let crc = crc32fast::hash(&bytes[4..]).to_le_bytes();
        bytes[..4].copy_from_slice(&crc);
        bytes.truncate(gist::len(&bytes).unwrap());
        bytes
    }

    fn ack(ordinal: u32, ranges: usize) -> Vec<u8> {
        let range = Range {
            queue: QueueId::new(1),
            first: Seq::new(3),
            count: 4,
        };
        let mut bytes = vec![0; ranges_len(ranges)];
        let kind = RangesKind::Ack(AckReason::Acked);
        put_ranges(&mut bytes, ordinal, kind, &vec![range; ranges]);
        bytes
    }

    fn packed(gists: &[Vec<u8>]) -> Vec<u8> {
        let (mut context, mut out) = (Context::default(), Vec::new());
        gists.iter().for_each(|gist| context.pack(gist, &mut out));
        out
    }

    fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        unpack(packed, &mut Context::default(), &mut out)?;
        Some(out)
    }

    fn padded(gists: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for gist in gists {
            out.extend_from_slice(gist);
            out.resize(pad8(out.len()), 0);
        }
        out
    }

    #[test]
    fn of_a_row_of_messages_each_takes_its_two_checksums_a_mask_and_a_tag() {
        let gists: Vec<_> = (0..1000)
            .map(|n| message(n, 1, &n.to_le_bytes().repeat(256)))
            .collect();
        let packed = packed(&gists);
        let steps = 2 * 12 + 7 * 4;
        assert!(
            packed.len() <= 1000 * (1 + 2 + 4 + 4) + 44 + steps,
            "{}",
            packed.len()
        );
        assert_eq!(unpacked(&packed), Some(padded(&gists)));
    }

    #[test]
    fn bytes_that_end_within_a_gist_or_begin_like_none_are_refused() {
        let whole = packed(&[message(0, 1, b"a"), message(1, 1, b"b")]);
        let first = packed(&[message(0, 1, b"a")]).len();
        for end in 1..whole.len() {
            assert_eq!(unpacked(&whole[..end]).is_some(), end == first, "{end}");
        }
        assert_eq!(unpacked(&[2]), None);
        assert_eq!(
            unpacked(&[FORETOLD, 0, 0, 0]),
            None,
            "nothing foretells the first"
        );
    }

    proptest! {
        #[test]
        fn whatever_the_gists_of_a_block_they_unpack_as_they_were_packed(
            shapes in prop::collection::vec((0_usize..4, prop::collection::vec(any::<u8>(), 0..300)), 0..40)
        ) {
            let gists: Vec<_> = (0..).zip(&shapes).map(|(ordinal, (queues, body))| match queues {
                0 => ack(ordinal, body.len() % 3),
                queues => message(ordinal, *queues, body),
            }).collect();
            prop_assert_eq!(unpacked(&packed(&gists)), Some(padded(&gists)));
        }

        #[test]
        fn whatever_the_bytes_unpacking_ends_within_its_bound(
            bytes in prop::collection::vec(any::<u8>(), 0..200), tags in prop::collection::vec(0_u8..3, 0..8)
        ) {
            let mut packed = packed(&[message(0, 1, b"a")]);
            for tag in tags {
                packed.push(tag);
                packed.extend_from_slice(&bytes[..bytes.len().min(20)]);
            }
            packed.extend_from_slice(&bytes);
            if let Some(gists) = unpacked(&packed) {
                prop_assert!(gists.len() <= packed.len() * WORD_LEN * WORDS_OF_A_BYTE);
            }
        }
    }
}
