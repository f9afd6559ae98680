//! AMQP 0-9-1 with RabbitMQ's extensions: bytes to values and back, sans-I/O and zero-copy.
//!
//! What is decoded borrows from the caller's buffer; what is encoded is appended to the caller's `Vec<u8>`. The crate knows
//! no socket, no clock and no broker. Nothing here allocates for a length that a peer merely claims.
//!
//! - [`parse_frame`] finds frames; [`Method::decode`], [`ContentHeader::parse`] and [`Properties::parse`] read their payloads.
//! - [`parse_publish`] and [`parse_ack`] recognise the two hot shapes without going through [`Method`].
//! - [`encode_delivery`], [`encode_content`] and [`encode_ack`] write the hot answers.
#![forbid(unsafe_code)]

pub mod limits;
pub mod method;

mod channel_id;
mod content;
mod cursor;
mod decode_error;
mod delivery;
mod fast_path;
mod frame;
mod method_id;
mod method_writer;
mod properties;
mod property_list;
mod protocol_header;
mod reply_code;
mod short_str;
mod table;
mod table_writer;
mod value;

pub use channel_id::ChannelId;
pub use content::{ContentHeader, encode_content, encode_content_header};
pub use decode_error::{ContentError, Malformed, MethodError, TableError};
pub use delivery::{Delivery, encode_ack, encode_delivery, encode_nack};
pub use fast_path::{Ack, Publish, parse_ack, parse_publish};
pub use frame::{Frame, FrameError, FrameKind, encode_heartbeat, parse_frame};
pub use method::Method;
pub use method_id::MethodId;
pub use properties::{HotProperties, Properties};
pub use property_list::PropertyList;
pub use protocol_header::{HeaderMismatch, PROTOCOL_HEADER, parse_protocol_header};
pub use reply_code::ReplyCode;
pub use short_str::{ShortStr, TooLong};
pub use table::{Array, Entries, Items, Table};
pub use table_writer::{ArrayWriter, TableWriter};
pub use value::{Decimal, Value};
