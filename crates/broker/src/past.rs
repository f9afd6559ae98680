//! What the broker has to remember of a message and its properties do not say, or do not say for certain.
//!
//! Invariants:
//! - A client's own header `x-death` is never taken for a past: only what is remembered here makes it the broker's.
//! - Hidden keys route a message for as long as it lives, and are shown to nobody.
//! - What `to_bytes` wrote, `parse` reads back.

/// See the module. A message without one has not died, and its further keys are those of its header `CC`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past<'a> {
    /// Whether it was dead-lettered: then the header `x-death` is the broker's.
    pub has_died: bool,
    /// By which keys it is routed beside its routing key.
    pub shown: Vec<&'a [u8]>,
    /// By which it is routed besides: those of its header `BCC`.
    pub hidden: Vec<&'a [u8]>,
}

const DIED: u8 = 1;
const SHOWN: u8 = 0;
const HIDDEN: u8 = 1;

impl<'a> Past<'a> {
    /// Flags, then for each key whether it is hidden, its length in four bytes, and the key.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![if self.has_died { DIED } else { 0 }];
        let shown = self.shown.iter().map(|key| (SHOWN, *key));
        let hidden = self.hidden.iter().map(|key| (HIDDEN, *key));
        for (kind, key) in shown.chain(hidden) {
            let len = u32::try_from(key.len()).expect("a key is shorter than the properties that it came in");
            bytes.push(kind);
            bytes.extend(len.to_be_bytes());
            bytes.extend_from_slice(key);
        }
        bytes
    }

    /// Reads it back; `None` if it is none of ours.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (flags, mut rest) = bytes.split_first()?;
        let mut past = Self {
            has_died: flags & DIED != 0,
            ..Self::default()
        };
        while let Some((kind, behind)) = rest.split_first() {
            let (len, behind) = behind.split_first_chunk()?;
            let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
            let (key, behind) = behind.split_at_checked(len)?;
            if *kind == HIDDEN {
                past.hidden.push(key);
            } else {
                past.shown.push(key);
            }
            rest = behind;
        }
        Some(past)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_what_is_cut_is_refused() {
        let past = Past {
            has_died: true,
            shown: vec![b"a", b""],
            hidden: vec![b"bcc"],
        };
        let bytes = past.to_bytes();
        assert_eq!(Past::parse(&bytes), Some(past));
        assert_eq!(Past::parse(&Past::default().to_bytes()), Some(Past::default()));
        assert_eq!(Past::parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(Past::parse(&[]), None);
    }
}
