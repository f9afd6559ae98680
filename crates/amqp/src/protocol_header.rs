//! The eight octets that a client sends first.

/// What opens a connection of AMQP 0-9-1.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// What opens a connection of AMQP 0-9, which is served as one of 0-9-1: as RabbitMQ does.
const PROTOCOL_HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";

/// What a server that speaks SASL first would be asked with; RabbitMQ's answer to what it does not know at all.
const SASL_HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";

/// The client speaks something else. Write the answer, then close the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the AMQP 0-9-1 protocol header: {received:02x?}")]
pub struct HeaderMismatch {
    /// What the client sent; what did not arrive is zero.
    pub received: [u8; 8],
    /// The header to answer with.
    pub answer: [u8; 8],
}

/// Looks for the protocol header; the number is how many octets it took, `None` asks for more.
///
/// Refuses as soon as a wrong octet is seen, so that an HTTP request does not wait for a timeout.
//= amqp-0-9-1 2.2.4 the protocol header
pub fn parse_protocol_header(buf: &[u8]) -> Result<Option<usize>, HeaderMismatch> {
    let seen = &buf[..buf.len().min(PROTOCOL_HEADER.len())];
    if seen == PROTOCOL_HEADER || seen == PROTOCOL_HEADER_0_9 {
        return Ok(Some(PROTOCOL_HEADER.len()));
    }
    // The first eight octets decide the answer; before them, only a foreign start is certain.
    if seen.len() < PROTOCOL_HEADER.len() && b"AMQP".starts_with(&seen[..seen.len().min(4)]) {
        return Ok(None);
    }
    let mut received = [0; 8];
    received[..seen.len()].copy_from_slice(seen);
    Err(HeaderMismatch {
        received,
        answer: answer_to(received),
    })
}

/// As RabbitMQ 4: what comes after 0-9 is told our version, all others that SASL is where AMQP 1.0 begins.
fn answer_to(received: [u8; 8]) -> [u8; 8] {
    match received.strip_prefix(b"AMQP") {
        Some([0, 0, 9..=u8::MAX, _]) => PROTOCOL_HEADER,
        _ => SASL_HEADER,
    }
}
