//! What `connection.start` says about us.
//!
//! Invariants:
//! - Each capability is true, and is announced only because it is.
//! - The keys are RabbitMQ's. `version` is that of the RabbitMQ whose behaviour we follow, since clients branch on it; ours stands in `information`.

use logpond_amqp::{ShortStr, TableWriter, Value};

/// The RabbitMQ whose behaviour we follow.
pub const RABBITMQ_VERSION: &str = "4.3.6";

const CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// Appends the entries of the table.
pub(super) fn write(out: &mut Vec<u8>, cluster_name: &str, product: &str) {
    let text = |text: &'static str| Value::LongString(text.as_bytes());
    TableWriter::new(out)
        .nested(key("capabilities"), |table| {
            for capability in CAPABILITIES {
                table.put(key(capability), Value::Bool(true));
            }
        })
        .put(key("cluster_name"), Value::LongString(cluster_name.as_bytes()))
        .put(key("copyright"), text("Copyright (c) the Logpond contributors."))
        .put(
            key("information"),
            text(concat!(
                "Logpond ",
                env!("CARGO_PKG_VERSION"),
                ". Licensed under MIT or Apache-2.0."
            )),
        )
        .put(
            key("platform"),
            text(concat!("Rust ", env!("CARGO_PKG_RUST_VERSION"))),
        )
        .put(key("product"), Value::LongString(product.as_bytes()))
        .put(key("version"), text(RABBITMQ_VERSION));
}

fn key(name: &'static str) -> ShortStr<'static> {
    ShortStr::new(name.as_bytes()).expect("property names are short")
}
