//! Arbitrary values: pools of fields, tables, property lists, and every method filled from a pool.

use logpond_amqp::method::{access, basic, channel, confirm, connection, exchange, queue, tx};
use logpond_amqp::{Array, Decimal, Method, PropertyList, ShortStr, Table, TableWriter, Value};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// An owned value, since those of the codec borrow.
#[derive(Debug, Clone)]
pub enum Tree {
    Leaf(Leaf),
    Table(Vec<(String, Tree)>),
    Array(Vec<Tree>),
}

#[derive(Debug, Clone)]
pub enum Leaf {
    Bool(bool),
    I8(i8),
    U8(u8),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    F32(f32),
    F64(f64),
    Decimal(u8, u32),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    Timestamp(u64),
    Void,
}

pub fn leaf() -> impl Strategy<Value = Leaf> {
    prop_oneof![
        any::<bool>().prop_map(Leaf::Bool),
        any::<i8>().prop_map(Leaf::I8),
        any::<u8>().prop_map(Leaf::U8),
        any::<i16>().prop_map(Leaf::I16),
        any::<u16>().prop_map(Leaf::U16),
        any::<i32>().prop_map(Leaf::I32),
        any::<u32>().prop_map(Leaf::U32),
        any::<i64>().prop_map(Leaf::I64),
        any::<f32>().prop_map(Leaf::F32),
        any::<f64>().prop_map(Leaf::F64),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| Leaf::Decimal(scale, value)),
        vec(any::<u8>(), 0..40).prop_map(Leaf::Text),
        vec(any::<u8>(), 0..40).prop_map(Leaf::Bytes),
        any::<u64>().prop_map(Leaf::Timestamp),
        Just(Leaf::Void),
    ]
}

pub fn tree() -> impl Strategy<Value = Tree> {
    leaf().prop_map(Tree::Leaf).prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            // Sorted and unique keys, so that codecs with maps agree on the bytes.
            btree_map("[a-zA-Z0-9.-]{0,12}", inner.clone(), 0..5)
                .prop_map(|map| Tree::Table(map.into_iter().collect())),
            vec(inner, 0..5).prop_map(Tree::Array),
        ]
    })
}

/// The octets of a table of arbitrary values.
pub fn table_bytes() -> impl Strategy<Value = Vec<u8>> {
    btree_map("[a-zA-Z0-9.-]{0,12}", tree(), 0..5).prop_map(|entries| {
        let mut out = Vec::new();
        let mut writer = TableWriter::new(&mut out);
        for (key, value) in &entries {
            put(&mut writer, key, value);
        }
        writer.finish().unwrap();
        out
    })
}

pub fn put(writer: &mut TableWriter<'_>, key: &str, tree: &Tree) {
    let key = short(key);
    match tree {
        Tree::Leaf(leaf) => {
            writer.put(key, leaf.value());
        }
        Tree::Table(entries) => {
            writer.nested(key, |inner| {
                entries.iter().for_each(|(key, value)| put(inner, key, value));
            });
        }
        Tree::Array(items) => {
            writer.array(key, |inner| items.iter().for_each(|item| push(inner, item)));
        }
    }
}

fn push(writer: &mut logpond_amqp::ArrayWriter<'_>, tree: &Tree) {
    match tree {
        Tree::Leaf(leaf) => {
            writer.push(leaf.value());
        }
        Tree::Table(entries) => {
            writer.table(|inner| entries.iter().for_each(|(key, value)| put(inner, key, value)));
        }
        Tree::Array(items) => {
            writer.array(|inner| items.iter().for_each(|item| push(inner, item)));
        }
    }
}

impl Leaf {
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::I8(value) => Value::I8(*value),
            Self::U8(value) => Value::U8(*value),
            Self::I16(value) => Value::I16(*value),
            Self::U16(value) => Value::U16(*value),
            Self::I32(value) => Value::I32(*value),
            Self::U32(value) => Value::U32(*value),
            Self::I64(value) => Value::I64(*value),
            Self::F32(value) => Value::F32(*value),
            Self::F64(value) => Value::F64(*value),
            Self::Decimal(scale, value) => Value::Decimal(Decimal {
                scale: *scale,
                value: *value,
            }),
            Self::Text(bytes) => Value::LongString(bytes),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Timestamp(seconds) => Value::Timestamp(*seconds),
            Self::Void => Value::Void,
        }
    }
}

/// Whether what was read equals what was written.
pub fn same(value: Value<'_>, tree: &Tree) -> bool {
    match (value, tree) {
        (Value::Table(table), Tree::Table(entries)) => same_table(table, entries),
        (Value::Array(array), Tree::Array(items)) => same_array(array, items),
        (value, Tree::Leaf(leaf)) => value == leaf.value(),
        _ => false,
    }
}

pub fn same_table(table: Table<'_>, entries: &[(String, Tree)]) -> bool {
    table.iter().count() == entries.len()
        && table
            .iter()
            .zip(entries)
            .all(|((key, value), (name, tree))| key == name.as_str() && same(value, tree))
}

fn same_array(array: Array<'_>, items: &[Tree]) -> bool {
    array.iter().count() == items.len() && array.iter().zip(items).all(|(value, tree)| same(value, tree))
}

pub fn short(text: &str) -> ShortStr<'_> {
    ShortStr::try_from(text).unwrap()
}

/// Field values to fill methods with.
#[derive(Debug, Clone)]
pub struct Pool {
    texts: [String; 3],
    long: Vec<u8>,
    table: Vec<u8>,
    number: u64,
}

pub fn pool() -> impl Strategy<Value = Pool> {
    let text = || prop_oneof!["[a-zA-Z0-9._ -]{0,30}", "\\PC{0,60}", Just("x".repeat(255))];
    (
        [text(), text(), text()],
        vec(any::<u8>(), 0..100),
        table_bytes(),
        any::<u64>(),
    )
        .prop_map(|(texts, long, table, number)| Pool {
            texts,
            long,
            table,
            number,
        })
}

impl Pool {
    fn text(&self, index: usize) -> ShortStr<'_> {
        short(&self.texts[index])
    }

    fn table(&self) -> Table<'_> {
        Table::parse(&self.table).unwrap()
    }

    fn bit(&self, index: u32) -> bool {
        self.number >> index & 1 == 1
    }

    fn u16(&self) -> u16 {
        u16::from_be_bytes([self.number.to_be_bytes()[0], self.number.to_be_bytes()[1]])
    }

    fn u32(&self) -> u32 {
        self.number
            .to_be_bytes()
            .first_chunk()
            .copied()
            .map(u32::from_be_bytes)
            .unwrap()
    }

    /// Every method, each field filled from the pool.
    pub fn methods(&self) -> Vec<Method<'_>> {
        let mut methods = self.connection();
        methods.extend(self.channel_and_access());
        methods.extend(self.exchange());
        methods.extend(self.queue());
        methods.extend(self.basic_of_consumers());
        methods.extend(self.basic_of_messages());
        methods.extend(self.confirm_and_tx());
        methods
    }

    fn connection(&self) -> Vec<Method<'_>> {
        vec![
            connection::Start {
                version_major: 0,
                version_minor: 9,
                server_properties: self.table(),
                mechanisms: &self.long,
                locales: b"en_US",
            }
            .into(),
            connection::StartOk {
                client_properties: self.table(),
                mechanism: self.text(0),
                response: &self.long,
                locale: self.text(1),
            }
            .into(),
            connection::Secure {
                challenge: &self.long,
            }
            .into(),
            connection::SecureOk { response: &self.long }.into(),
            connection::Tune {
                channel_max: self.u16(),
                frame_max: self.u32(),
                heartbeat: 60,
            }
            .into(),
            connection::TuneOk {
                channel_max: 9,
                frame_max: self.u32(),
                heartbeat: self.u16(),
            }
            .into(),
            connection::Open {
                virtual_host: self.text(0),
            }
            .into(),
            connection::OpenOk.into(),
            connection::Close {
                reply_code: self.u16(),
                reply_text: self.text(0),
                class_id: 1,
                method_id: 2,
            }
            .into(),
            connection::CloseOk.into(),
            connection::Blocked { reason: self.text(2) }.into(),
            connection::Unblocked.into(),
            connection::UpdateSecret {
                new_secret: &self.long,
                reason: self.text(0),
            }
            .into(),
            connection::UpdateSecretOk.into(),
        ]
    }

    fn channel_and_access(&self) -> Vec<Method<'_>> {
        vec![
            channel::Open.into(),
            channel::OpenOk.into(),
            channel::Flow { active: self.bit(0) }.into(),
            channel::FlowOk { active: self.bit(1) }.into(),
            channel::Close {
                reply_code: 404,
                reply_text: self.text(1),
                class_id: self.u16(),
                method_id: 40,
            }
            .into(),
            channel::CloseOk.into(),
            access::Request {
                realm: self.text(0),
                exclusive: self.bit(0),
                passive: self.bit(1),
                active: self.bit(2),
                write: self.bit(3),
                read: self.bit(4),
            }
            .into(),
            access::RequestOk { ticket: self.u16() }.into(),
        ]
    }

    fn exchange(&self) -> Vec<Method<'_>> {
        vec![
            exchange::Declare {
                exchange: self.text(0),
                kind: self.text(1),
                passive: self.bit(0),
                durable: self.bit(1),
                auto_delete: self.bit(2),
                internal: self.bit(3),
                no_wait: self.bit(4),
                arguments: self.table(),
            }
            .into(),
            exchange::DeclareOk.into(),
            exchange::Delete {
                exchange: self.text(0),
                if_unused: self.bit(0),
                no_wait: self.bit(1),
            }
            .into(),
            exchange::DeleteOk.into(),
            exchange::Bind {
                destination: self.text(0),
                source: self.text(1),
                routing_key: self.text(2),
                no_wait: self.bit(0),
                arguments: self.table(),
            }
            .into(),
            exchange::BindOk.into(),
            exchange::Unbind {
                destination: self.text(0),
                source: self.text(1),
                routing_key: self.text(2),
                no_wait: self.bit(0),
                arguments: self.table(),
            }
            .into(),
            exchange::UnbindOk.into(),
        ]
    }

    fn queue(&self) -> Vec<Method<'_>> {
        vec![
            queue::Declare {
                queue: self.text(0),
                passive: self.bit(0),
                durable: self.bit(1),
                exclusive: self.bit(2),
                auto_delete: self.bit(3),
                no_wait: self.bit(4),
                arguments: self.table(),
            }
            .into(),
            queue::DeclareOk {
                queue: self.text(0),
                message_count: self.u32(),
                consumer_count: 7,
            }
            .into(),
            queue::Bind {
                queue: self.text(0),
                exchange: self.text(1),
                routing_key: self.text(2),
                no_wait: self.bit(0),
                arguments: self.table(),
            }
            .into(),
            queue::BindOk.into(),
            queue::Purge {
                queue: self.text(0),
                no_wait: self.bit(0),
            }
            .into(),
            queue::PurgeOk {
                message_count: self.u32(),
            }
            .into(),
            queue::Delete {
                queue: self.text(0),
                if_unused: self.bit(0),
                if_empty: self.bit(1),
                no_wait: self.bit(2),
            }
            .into(),
            queue::DeleteOk {
                message_count: self.u32(),
            }
            .into(),
            queue::Unbind {
                queue: self.text(0),
                exchange: self.text(1),
                routing_key: self.text(2),
                arguments: self.table(),
            }
            .into(),
            queue::UnbindOk.into(),
        ]
    }

    fn basic_of_consumers(&self) -> Vec<Method<'_>> {
        vec![
            basic::Qos {
                prefetch_size: self.u32(),
                prefetch_count: self.u16(),
                global: self.bit(0),
            }
            .into(),
            basic::QosOk.into(),
            basic::Consume {
                queue: self.text(0),
                consumer_tag: self.text(1),
                no_local: self.bit(0),
                no_ack: self.bit(1),
                exclusive: self.bit(2),
                no_wait: self.bit(3),
                arguments: self.table(),
            }
            .into(),
            basic::ConsumeOk {
                consumer_tag: self.text(1),
            }
            .into(),
            basic::Cancel {
                consumer_tag: self.text(1),
                no_wait: self.bit(0),
            }
            .into(),
            basic::CancelOk {
                consumer_tag: self.text(1),
            }
            .into(),
            basic::Ack {
                delivery_tag: self.number,
                multiple: self.bit(0),
            }
            .into(),
            basic::Reject {
                delivery_tag: self.number,
                requeue: self.bit(0),
            }
            .into(),
            basic::RecoverAsync { requeue: self.bit(0) }.into(),
            basic::Recover { requeue: self.bit(0) }.into(),
            basic::RecoverOk.into(),
            basic::Nack {
                delivery_tag: self.number,
                multiple: self.bit(0),
                requeue: self.bit(1),
            }
            .into(),
        ]
    }

    fn basic_of_messages(&self) -> Vec<Method<'_>> {
        vec![
            basic::Publish {
                exchange: self.text(0),
                routing_key: self.text(1),
                mandatory: self.bit(0),
                immediate: self.bit(1),
            }
            .into(),
            basic::Return {
                reply_code: self.u16(),
                reply_text: self.text(0),
                exchange: self.text(1),
                routing_key: self.text(2),
            }
            .into(),
            basic::Deliver {
                consumer_tag: self.text(0),
                delivery_tag: self.number,
                redelivered: self.bit(0),
                exchange: self.text(1),
                routing_key: self.text(2),
            }
            .into(),
            basic::Get {
                queue: self.text(0),
                no_ack: self.bit(0),
            }
            .into(),
            basic::GetOk {
                delivery_tag: self.number,
                redelivered: self.bit(0),
                exchange: self.text(1),
                routing_key: self.text(2),
                message_count: self.u32(),
            }
            .into(),
            basic::GetEmpty.into(),
        ]
    }

    fn confirm_and_tx(&self) -> Vec<Method<'_>> {
        vec![
            confirm::Select { no_wait: self.bit(0) }.into(),
            confirm::SelectOk.into(),
            tx::Select.into(),
            tx::SelectOk.into(),
            tx::Commit.into(),
            tx::CommitOk.into(),
            tx::Rollback.into(),
            tx::RollbackOk.into(),
        ]
    }

    /// A property list in which each property is there by the toss of a coin.
    pub fn properties(&self) -> PropertyList<'_> {
        let text = |bit: u32, index: usize| self.bit(bit).then(|| self.text(index));
        PropertyList {
            content_type: text(0, 0),
            content_encoding: text(1, 1),
            headers: self.bit(2).then(|| self.table()),
            delivery_mode: self.bit(3).then_some(2),
            priority: self.bit(4).then_some(9),
            correlation_id: text(5, 2),
            reply_to: text(6, 0),
            expiration: text(7, 1),
            message_id: text(8, 2),
            timestamp: self.bit(9).then_some(self.number),
            kind: text(10, 0),
            user_id: text(11, 1),
            app_id: text(12, 2),
            cluster_id: text(13, 0),
        }
    }
}
