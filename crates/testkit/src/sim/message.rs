//! Messages whose bytes follow from their number, so that the model need not keep them.

use logpond_store::disk::sim::Rng;

/// What the message of one number looks like.
pub(super) struct Content {
    pub(super) properties: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// Bytes of properties that carry the number.
const NUMBER_BYTES: usize = 8;

impl Content {
    pub(super) fn of(number: u64) -> Self {
        let mut rng = Rng::new(number);
        let mut properties = number.to_le_bytes().to_vec();
        properties.resize(NUMBER_BYTES + rng.index(24), 7);
        let mut body = vec![0; body_len(&mut rng)];
        rng.fill(&mut body);
        Self { properties, body }
    }

    /// Bytes of the body, as limits count them.
    pub(super) fn body_bytes(&self) -> u64 {
        u64::try_from(self.body.len()).expect("a length fits into 64 bits")
    }

    /// The number of the message that has these properties and this body; `None` when no message has.
    pub(super) fn number(properties: &[u8], body: &[u8]) -> Option<u64> {
        let number = u64::from_le_bytes(properties.get(..NUMBER_BYTES)?.try_into().ok()?);
        let content = Self::of(number);
        (content.properties == properties && content.body == body).then_some(number)
    }
}

/// Many small bodies, some that fill blocks, few that fill half a segment.
fn body_len(rng: &mut Rng) -> usize {
    match rng.below(100) {
        0..5 => 0,
        5..50 => 1 + rng.index(64),
        50..75 => 65 + rng.index(400),
        75..96 => 500 + rng.index(3000),
        96..99 => 4000 + rng.index(8000),
        _ => 12_000 + rng.index(24_000),
    }
}
