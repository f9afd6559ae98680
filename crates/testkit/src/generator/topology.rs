//! Queues, exchanges and bindings over a generator's connection.

use super::connection::{CHANNEL, Connection, short};
use logpond_amqp::method::{exchange, queue};
use logpond_amqp::{Method, Table, TableWriter, Value};

impl Connection {
    /// Declares a durable queue with arguments of strings, such as `x-queue-type`.
    pub fn declare_with(&mut self, name: &str, arguments: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut table = Vec::new();
        let mut writer = TableWriter::new(&mut table);
        for (key, value) in arguments {
            writer.put(short(key)?, Value::LongString(value.as_bytes()));
        }
        self.declare_queue(queue::Declare {
            arguments: Table::parse(&table)?,
            ..durable(name)?
        })?;
        Ok(())
    }

    /// How many messages are ready in a queue that exists.
    pub fn depth(&mut self, name: &str) -> anyhow::Result<u64> {
        let depth = self.declare_queue(queue::Declare {
            passive: true,
            ..durable(name)?
        })?;
        Ok(u64::from(depth))
    }

    fn declare_queue(&mut self, declare: queue::Declare<'_>) -> anyhow::Result<u32> {
        let mut out = Vec::new();
        declare.encode(CHANNEL, &mut out);
        self.send(&out)?;
        self.expect(|method| match method {
            Method::QueueDeclareOk(ok) => Some(ok.message_count),
            _ => None,
        })
    }

    /// Declares a durable exchange.
    pub fn declare_exchange(&mut self, name: &str, kind: &str) -> anyhow::Result<()> {
        let mut out = Vec::new();
        exchange::Declare {
            exchange: short(name)?,
            kind: short(kind)?,
            passive: false,
            durable: true,
            auto_delete: false,
            internal: false,
            no_wait: false,
            arguments: Table::EMPTY,
        }
        .encode(CHANNEL, &mut out);
        self.send(&out)?;
        self.expect(|method| matches!(method, Method::ExchangeDeclareOk(_)).then_some(()))
    }

    /// Binds a queue to an exchange.
    pub fn bind(&mut self, name: &str, exchange: &str, key: &str) -> anyhow::Result<()> {
        let mut out = Vec::new();
        queue::Bind {
            queue: short(name)?,
            exchange: short(exchange)?,
            routing_key: short(key)?,
            no_wait: false,
            arguments: Table::EMPTY,
        }
        .encode(CHANNEL, &mut out);
        self.send(&out)?;
        self.expect(|method| matches!(method, Method::QueueBindOk(_)).then_some(()))
    }

    /// Deletes a queue with all that is in it.
    pub fn delete_queue(&mut self, name: &str) -> anyhow::Result<()> {
        let mut out = Vec::new();
        queue::Delete {
            queue: short(name)?,
            if_unused: false,
            if_empty: false,
            no_wait: false,
        }
        .encode(CHANNEL, &mut out);
        self.send(&out)?;
        self.expect(|method| matches!(method, Method::QueueDeleteOk(_)).then_some(()))
    }
}

fn durable(name: &str) -> anyhow::Result<queue::Declare<'_>> {
    Ok(queue::Declare {
        queue: short(name)?,
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: Table::EMPTY,
    })
}
