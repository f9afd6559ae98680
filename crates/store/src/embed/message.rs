//! What is published: a body, and properties beside it.

/// A message to be published. Borrows its bytes until a [`Batch`](super::Batch) has copied them.
///
/// ```
/// use logpond_store::Message;
/// let message = Message::new("a body of any bytes").with_properties(&[1, 2, 3]);
/// assert_eq!(message.body(), b"a body of any bytes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    properties: &'a [u8],
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// A message with this body and no properties.
    #[must_use]
    pub fn new<B: AsRef<[u8]> + ?Sized>(body: &'a B) -> Self {
        Self {
            properties: &[],
            body: body.as_ref(),
        }
    }

    /// The same with properties: bytes that travel beside the body and mean nothing to the store.
    #[must_use]
    pub fn with_properties<P: AsRef<[u8]> + ?Sized>(self, properties: &'a P) -> Self {
        Self {
            properties: properties.as_ref(),
            ..self
        }
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The properties.
    #[must_use]
    pub const fn properties(&self) -> &'a [u8] {
        self.properties
    }
}
