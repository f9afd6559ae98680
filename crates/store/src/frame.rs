//! One encoded value on disk, proven intact before it is decoded (docs/format.md, "Frame").
//!
//! Invariants:
//! - Length and checksum are verified before the codec sees a byte.
//! - Codec and schema are judged only once the checksum holds, so a flipped bit never looks like another version.
//!
//! Elsewhere: the encoding of values (`codec`), sequences of frames in a file (`catalog`).

use byteorder::{ByteOrder, LittleEndian};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, CODEC_BINCODE_FIXED, CodecError};

/// The first four bytes of each frame: `LPFR`.
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"LPFR";
/// Bytes before the payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;
/// Largest payload.
pub(crate) const FRAME_PAYLOAD_BYTES_MAX: u32 = 1 << 30;

/// Why bytes are not a frame that can be read, or a value cannot become one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The bytes end inside the frame.
    #[error("the frame is cut off: {have} of {needed} bytes")]
    Truncated {
        /// How many bytes the frame needs, as far as known.
        needed: u64,
        /// How many there are.
        have: u64,
    },
    /// Something else stands here.
    #[error("no frame begins here")]
    NotAFrame,
    /// The length field is impossible, or the value too large to be written.
    #[error("a frame of {len} bytes is beyond the limit of {limit}")]
    TooLong {
        /// Its length.
        len: u64,
        /// The largest allowed.
        limit: u64,
    },
    /// The bytes were changed since they were written.
    #[error("checksum {found:#010x} instead of {stored:#010x}")]
    Damaged {
        /// What the frame claims.
        stored: u32,
        /// What its bytes give.
        found: u32,
    },
    /// Intact, but written by another version of this software.
    #[error(
        "codec {codec}, schema {schema} instead of codec {expected_codec}, schema {expected_schema}: \
             written by another version; open it with that version"
    )]
    OtherVersion {
        /// The frame's codec.
        codec: u16,
        /// The frame's schema.
        schema: u16,
        /// Our codec.
        expected_codec: u16,
        /// The schema asked for.
        expected_schema: u16,
    },
    /// Intact, but not what its version promises: a bug in the writer.
    #[error("an intact frame does not decode: {0}")]
    Codec(#[from] CodecError),
}

/// What a frame's checksum is bound to besides its bytes, so that bytes which a user brought, or which stand at
/// another place, never pass for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal(u32);

impl Seal {
    /// Bound to nothing: the place of the file says enough.
    pub(crate) const NONE: Self = Self(0);

    /// Bound to a store and a place in a file.
    pub(crate) fn at(store: u128, offset: u64) -> Self {
        let mut bytes = [0; 24];
        LittleEndian::write_u128(&mut bytes[..16], store);
        LittleEndian::write_u64(&mut bytes[16..], offset);
        Self(crc32fast::hash(&bytes))
    }
}

/// An intact frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) codec: u16,
    pub(crate) schema: u16,
    pub(crate) sequence: u64,
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, once its checksum holds under `seal`.
    pub(crate) fn parse(bytes: &'a [u8], seal: Seal) -> Result<Self, FrameError> {
        let have = to_u64(bytes.len());
        if bytes.len() < FRAME_HEADER_BYTES {
            let magic = &FRAME_MAGIC[..bytes.len().min(FRAME_MAGIC.len())];
            let needed = to_u64(FRAME_HEADER_BYTES);
            return Err(if bytes.starts_with(magic) {
                FrameError::Truncated { needed, have }
            } else {
                FrameError::NotAFrame
            });
        }
        if !bytes.starts_with(&FRAME_MAGIC) {
            return Err(FrameError::NotAFrame);
        }
        let len = LittleEndian::read_u32(&bytes[16..20]);
        if len > FRAME_PAYLOAD_BYTES_MAX {
            return Err(FrameError::TooLong {
                len: len.into(),
                limit: FRAME_PAYLOAD_BYTES_MAX.into(),
            });
        }
        let end = FRAME_HEADER_BYTES + usize::try_from(len).expect("a limited length fits into memory");
        if bytes.len() < end {
            return Err(FrameError::Truncated {
                needed: to_u64(end),
                have,
            });
        }
        let (stored, found) = (
            LittleEndian::read_u32(&bytes[20..24]),
            checksum(&bytes[..end], seal),
        );
        if stored != found {
            return Err(FrameError::Damaged { stored, found });
        }
        Ok(Self {
            codec: LittleEndian::read_u16(&bytes[4..6]),
            schema: LittleEndian::read_u16(&bytes[6..8]),
            sequence: LittleEndian::read_u64(&bytes[8..16]),
            payload: &bytes[FRAME_HEADER_BYTES..end],
        })
    }

    /// Bytes of the whole frame.
    pub(crate) const fn len(&self) -> usize {
        FRAME_HEADER_BYTES + self.payload.len()
    }

    /// Its value, if it was written with this `schema`.
    pub(crate) fn value<T: DeserializeOwned>(&self, schema: u16) -> Result<T, FrameError> {
        if (self.codec, self.schema) != (CODEC_BINCODE_FIXED, schema) {
            return Err(FrameError::OtherVersion {
                codec: self.codec,
                schema: self.schema,
                expected_codec: CODEC_BINCODE_FIXED,
                expected_schema: schema,
            });
        }
        Ok(codec::decode(self.payload)?)
    }
}

/// Appends `value` as a frame.
pub(crate) fn write_into(
    out: &mut Vec<u8>,
    value: &impl Serialize,
    schema: u16,
    sequence: u64,
    seal: Seal,
) -> Result<(), FrameError> {
    let start = out.len();
    out.resize(start + FRAME_HEADER_BYTES, 0);
    if let Err(error) = codec::encode_into(out, value, FRAME_PAYLOAD_BYTES_MAX.into()) {
        out.truncate(start);
        return Err(error.into());
    }
    let frame = &mut out[start..];
    let len = u32::try_from(frame.len() - FRAME_HEADER_BYTES).expect("the codec kept the limit");
    frame[..4].copy_from_slice(&FRAME_MAGIC);
    LittleEndian::write_u16(&mut frame[4..6], CODEC_BINCODE_FIXED);
    LittleEndian::write_u16(&mut frame[6..8], schema);
    LittleEndian::write_u64(&mut frame[8..16], sequence);
    LittleEndian::write_u32(&mut frame[16..20], len);
    let crc = checksum(frame, seal);
    LittleEndian::write_u32(&mut frame[20..24], crc);
    Ok(())
}

/// `value` as a frame.
pub(crate) fn write(value: &impl Serialize, schema: u16, sequence: u64) -> Result<Vec<u8>, FrameError> {
    let mut out = Vec::new();
    write_into(&mut out, value, schema, sequence, Seal::NONE)?;
    Ok(out)
}

/// The value, sequence number and length of the frame at the start of `bytes`.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], schema: u16) -> Result<(T, u64, usize), FrameError> {
    let frame = Frame::parse(bytes, Seal::NONE)?;
    Ok((frame.value(schema)?, frame.sequence, frame.len()))
}

/// Covers everything but itself: the length too, so that a frame cannot be intact at a wrong length.
fn checksum(frame: &[u8], seal: Seal) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..20]);
    hasher.update(&frame[FRAME_HEADER_BYTES..]);
    hasher.finalize() ^ seal.0
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("lengths fit into 64 bits")
}

#[cfg(test)]
mod tests;
