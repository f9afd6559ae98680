//! Dead letters: messages that came to their end in one queue and go on to others.
//!
//! - A `Letter` is a message with its address and its past; when it dies, it becomes another one, addressed to the exchange for
//!   dead letters, and with one more of its `deaths` in the headers.
//! - Where it goes is found under the shard's lock (`hop`), also when a full queue refuses a publish and passes it on.
//! - A message whose delay is over (`delay`) goes the same way, and is no dead letter: it did not die.
//! - What the store hands out is moved by [`Broker::move_dead_letters`](crate::Broker::move_dead_letters) (`mover`); what reaches
//!   nobody is dropped, or tried again (`retained`), as the queue's strategy says.
//!
//! Invariants:
//! - The copies of a dead letter and the end of the original stand in one block: no crash shows a moment without the message, or one
//!   with both.
//! - A letter that died for another reason than a client's rejection does not reach a queue again in which it died since the last
//!   rejection. So nothing goes round for ever by itself.
//! - Of the copies of one message a full queue passes on one with the same keys (`walk`). So full queues that pass on to each other are
//!   not walked in all their orders.

mod deaths;
mod hop;
mod letter;
mod mover;
mod retained;
mod walk;

pub(crate) use letter::Letter;
pub(crate) use mover::{Mover, Watch};
pub(crate) use retained::Retained;
