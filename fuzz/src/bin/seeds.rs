//! Writes the first inputs of each target: `cargo run --manifest-path fuzz/Cargo.toml --bin seeds -- fuzz/corpus`.

use logpond_amqp::{
    ChannelId, Method, ShortStr, Table, TableWriter, Value, encode_ack, encode_content, encode_heartbeat,
    method,
};
use std::path::Path;

const ONE: ChannelId = ChannelId::new(1);

fn main() -> std::io::Result<()> {
    let into = std::env::args()
        .nth(1)
        .expect("name the directory of the corpora");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let dir = Path::new(&into).join(target);
        std::fs::create_dir_all(&dir)?;
        std::fs::write(dir.join(name), bytes)
    };
    for (name, conversation) in conversations() {
        write("session", name, &conversation)?;
        write(
            "frame",
            name,
            &[&u16::MAX.to_be_bytes()[..], &conversation].concat(),
        )?;
    }
    for (number, bytes) in methods().iter().enumerate() {
        write("method", &format!("{number:02}"), &bytes[7..bytes.len() - 1])?;
    }
    write("table", "all", everything(&mut Vec::new()).as_bytes())?;
    write("table", "queue", quorum(&mut Vec::new()).as_bytes())?;
    let mut content = Vec::new();
    let replies = Some(short("amq.rabbitmq.reply-to"));
    encode_content(&mut content, ONE, &properties(replies), b"body", 4096);
    let len = usize::from(content[6]) + 256 * usize::from(content[5]);
    write("header", "properties", &content[7..7 + len])?;
    write("header", "none", &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

fn short(text: &str) -> ShortStr<'_> {
    ShortStr::try_from(text).expect("a short name")
}

fn everything(bytes: &mut Vec<u8>) -> Table<'_> {
    let mut table = TableWriter::new(bytes);
    table.put(short("bool"), Value::Bool(true));
    table.put(short("i8"), Value::I8(-1));
    table.put(short("u16"), Value::U16(7));
    table.put(short("i32"), Value::I32(1000));
    table.put(short("i64"), Value::I64(-5));
    table.put(short("f64"), Value::F64(1.5));
    table.put(short("time"), Value::Timestamp(1_700_000_000));
    table.put(short("text"), Value::LongString(b"text"));
    table.put(short("void"), Value::Void);
    table.nested(short("in"), |inner| {
        inner.put(short("x"), Value::I32(1));
    });
    table.finish().expect("a short table")
}

fn quorum(bytes: &mut Vec<u8>) -> Table<'_> {
    let mut table = TableWriter::new(bytes);
    table.put(short("x-queue-type"), Value::LongString(b"quorum"));
    table.put(short("x-delivery-limit"), Value::I32(1));
    table.put(short("x-consumer-timeout"), Value::I32(50));
    table.put(short("x-dead-letter-exchange"), Value::LongString(b"later"));
    table.finish().expect("a short table")
}

fn classic(bytes: &mut Vec<u8>) -> Table<'_> {
    let mut table = TableWriter::new(bytes);
    table.put(short("x-max-length"), Value::I32(2));
    table.put(short("x-message-ttl"), Value::I32(100));
    table.put(short("x-max-priority"), Value::I32(5));
    table.put(short("x-overflow"), Value::LongString(b"reject-publish-dlx"));
    table.put(short("x-dead-letter-exchange"), Value::LongString(b""));
    table.put(short("x-dead-letter-routing-key"), Value::LongString(b"b"));
    table.finish().expect("a short table")
}

/// Persistent, with a delay and a priority. Who expects replies has to consume them first, or its channel is closed.
fn properties(reply_to: Option<ShortStr<'_>>) -> Vec<u8> {
    let mut table = Vec::new();
    let mut headers = TableWriter::new(&mut table);
    headers.put(short("x-delay"), Value::I32(30));
    let headers = headers.finish().expect("a short table");
    let list = logpond_amqp::PropertyList {
        headers: Some(headers),
        delivery_mode: Some(2),
        priority: Some(3),
        expiration: Some(short("1000")),
        reply_to,
        ..logpond_amqp::PropertyList::default()
    };
    let mut bytes = Vec::new();
    list.encode(&mut bytes);
    bytes
}

fn methods() -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    let arguments = quorum(&mut bytes);
    let mut more = Vec::new();
    let queue = short("a");
    let list = [
        Method::ChannelOpen(method::channel::Open),
        declare("a", arguments),
        delaying(&mut more),
        bind("later", "a"),
        consume("a"),
        Method::BasicGet(method::basic::Get { queue, no_ack: false }),
        nack(1),
        Method::ConfirmSelect(method::confirm::Select { no_wait: true }),
        Method::TxSelect(method::tx::Select),
        Method::TxCommit(method::tx::Commit),
    ];
    list.iter()
        .map(|method| {
            let mut bytes = Vec::new();
            method.encode(ONE, &mut bytes);
            bytes
        })
        .collect()
}

fn declare<'a>(name: &'a str, arguments: Table<'a>) -> Method<'a> {
    Method::QueueDeclare(method::queue::Declare {
        queue: short(name),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: true,
        arguments,
    })
}

/// The exchange "later".
fn delaying(bytes: &mut Vec<u8>) -> Method<'_> {
    let mut table = TableWriter::new(bytes);
    table.put(short("x-delayed-type"), Value::LongString(b"fanout"));
    Method::ExchangeDeclare(method::exchange::Declare {
        exchange: short("later"),
        kind: short("x-delayed-message"),
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        no_wait: true,
        arguments: table.finish().expect("a short table"),
    })
}

fn bind<'a>(exchange: &'a str, queue: &'a str) -> Method<'a> {
    Method::QueueBind(method::queue::Bind {
        queue: short(queue),
        exchange: short(exchange),
        routing_key: short("k"),
        no_wait: true,
        arguments: Table::EMPTY,
    })
}

fn consume(queue: &str) -> Method<'_> {
    Method::BasicConsume(method::basic::Consume {
        queue: short(queue),
        consumer_tag: short("t"),
        no_local: false,
        no_ack: false,
        exclusive: false,
        no_wait: true,
        arguments: Table::EMPTY,
    })
}

const fn nack(delivery_tag: u64) -> Method<'static> {
    Method::BasicNack(method::basic::Nack {
        delivery_tag,
        multiple: false,
        requeue: true,
    })
}

fn publish(exchange: &str, key: &str, out: &mut Vec<u8>) {
    let publish = method::basic::Publish {
        exchange: short(exchange),
        routing_key: short(key),
        mandatory: true,
        immediate: false,
    };
    Method::BasicPublish(publish).encode(ONE, out);
    encode_content(out, ONE, &properties(None), b"body", 4096);
}

/// Lets so many milliseconds pass.
fn wait(ms: u16, out: &mut Vec<u8>) {
    let at = out.len();
    encode_heartbeat(out);
    out[at + 1..at + 3].copy_from_slice(&ms.to_be_bytes());
}

fn conversations() -> [(&'static str, Vec<u8>); 4] {
    let say =
        |methods: &[Method<'_>], out: &mut Vec<u8>| methods.iter().for_each(|method| method.encode(ONE, out));
    let open = Method::ChannelOpen(method::channel::Open);
    let mut dying = Vec::new();
    let mut bytes = Vec::new();
    say(
        &[
            open,
            declare("b", Table::EMPTY),
            declare("a", classic(&mut bytes)),
        ],
        &mut dying,
    );
    say(
        &[Method::ConfirmSelect(method::confirm::Select { no_wait: true })],
        &mut dying,
    );
    (0..4).for_each(|_| publish("", "a", &mut dying));
    wait(200, &mut dying);
    say(&[consume("b")], &mut dying);
    wait(1, &mut dying);
    encode_ack(&mut dying, ONE, 1, true);
    say(&[nack(2), Method::ChannelClose(close())], &mut dying);

    let mut delayed = Vec::new();
    let mut bytes = Vec::new();
    let mut more = Vec::new();
    say(
        &[
            open,
            delaying(&mut bytes),
            declare("a", quorum(&mut more)),
            bind("later", "a"),
        ],
        &mut delayed,
    );
    publish("later", "k", &mut delayed);
    wait(50, &mut delayed);
    say(&[consume("a")], &mut delayed);
    wait(1, &mut delayed);
    say(&[nack(1)], &mut delayed);
    wait(60, &mut delayed);
    wait(60, &mut delayed);

    let mut transacted = Vec::new();
    let mut bytes = Vec::new();
    say(&[open, declare("a", quorum(&mut bytes))], &mut transacted);
    say(&[Method::TxSelect(method::tx::Select)], &mut transacted);
    publish("", "a", &mut transacted);
    say(&[Method::TxCommit(method::tx::Commit)], &mut transacted);
    let get = method::basic::Get {
        queue: short("a"),
        no_ack: false,
    };
    say(
        &[
            Method::BasicGet(get),
            nack(1),
            Method::TxRollback(method::tx::Rollback),
        ],
        &mut transacted,
    );
    say(
        &[Method::BasicRecover(method::basic::Recover { requeue: true })],
        &mut transacted,
    );
    wait(9, &mut transacted);

    let mut cancelled = Vec::new();
    let mut bytes = Vec::new();
    let mut more = Vec::new();
    let tx = Method::TxSelect(method::tx::Select);
    say(
        &[
            hearing(&mut bytes),
            open,
            declare("a", quorum(&mut more)),
            consume("a"),
        ],
        &mut cancelled,
    );
    (0..2).for_each(|_| publish("", "a", &mut cancelled));
    wait(1, &mut cancelled);
    say(&[tx], &mut cancelled);
    encode_ack(&mut cancelled, ONE, 1, false);
    wait(60, &mut cancelled);
    say(&[Method::TxRollback(method::tx::Rollback)], &mut cancelled);
    encode_ack(&mut cancelled, ONE, 2, true);
    [
        ("dying", dying),
        ("delayed", delayed),
        ("transacted", transacted),
        ("cancelled", cancelled),
    ]
}

/// The client hears of cancellations.
fn hearing(bytes: &mut Vec<u8>) -> Method<'_> {
    let mut table = TableWriter::new(bytes);
    table.nested(short("capabilities"), |inner| {
        inner.put(short("consumer_cancel_notify"), Value::Bool(true));
    });
    Method::ConnectionStartOk(method::connection::StartOk {
        client_properties: table.finish().expect("a short table"),
        mechanism: short("PLAIN"),
        response: b"",
        locale: short("en_US"),
    })
}

fn close() -> method::channel::Close<'static> {
    method::channel::Close {
        reply_code: 200,
        reply_text: short("bye"),
        class_id: 0,
        method_id: 0,
    }
}
