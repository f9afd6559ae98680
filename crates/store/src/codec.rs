//! Values to bytes and back: the one place that knows bincode.
//!
//! Invariants:
//! - Fixed-width integers, little endian: the bytes of a value do not depend on the machine.
//! - Decoding never allocates beyond what the input's length justifies, and leaves no byte over.
//! - No encoded type holds a sequence of zero-sized elements: its length would be bounded by nothing.
//!
//! Elsewhere: what proves the bytes intact before they come here (`frame`).

use bincode::Options;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The number that frames give this encoding. Another one gets another number.
pub(crate) const CODEC_BINCODE_FIXED: u16 = 1;

/// Why a value could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(#[from] bincode::Error);

fn options(limit: u64) -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_little_endian()
        .with_limit(limit)
        .reject_trailing_bytes()
}

/// Appends the bytes of `value`, at most `limit` of them.
pub(crate) fn encode_into(out: &mut Vec<u8>, value: &impl Serialize, limit: u64) -> Result<(), CodecError> {
    Ok(options(limit).serialize_into(out, value)?)
}

/// The value that all of `bytes` stand for.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let limit = u64::try_from(bytes.len()).expect("lengths fit into 64 bits");
    Ok(options(limit).deserialize(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_length_beyond_the_input_is_an_error_and_no_allocation() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        assert!(decode::<Vec<u8>>(&bytes).is_err());
        bytes.truncate(3);
        assert!(decode::<Vec<u8>>(&bytes).is_err());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = Vec::new();
        encode_into(&mut bytes, &7_u32, 100).unwrap();
        assert_eq!(bytes, [7, 0, 0, 0]);
        bytes.push(0);
        assert!(decode::<u32>(&bytes).is_err());
    }
}
