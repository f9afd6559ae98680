//! Field tables of the wire as the broker's arguments.

use logpond_amqp::{Array, Table, Value as Wire};
use logpond_broker::{Arguments, Decimal, Value};

/// Copies a table. Depth and size were bounded when the table was parsed.
pub(crate) fn arguments(table: Table<'_>) -> Arguments {
    Arguments::of_table(table.iter().map(|(key, value)| (key.as_bytes(), owned(value))))
}

fn owned(value: Wire<'_>) -> Value {
    match value {
        Wire::Bool(value) => Value::Bool(value),
        Wire::I8(value) => Value::I8(value),
        Wire::U8(value) => Value::U8(value),
        Wire::I16(value) => Value::I16(value),
        Wire::U16(value) => Value::U16(value),
        Wire::I32(value) => Value::I32(value),
        Wire::U32(value) => Value::U32(value),
        Wire::I64(value) => Value::I64(value),
        Wire::F32(value) => Value::F32(value),
        Wire::F64(value) => Value::F64(value),
        Wire::Decimal(decimal) => Value::Decimal(Decimal {
            scale: decimal.scale,
            unscaled: decimal.value,
        }),
        Wire::LongString(bytes) => Value::Str(bytes.into()),
        Wire::Bytes(bytes) => Value::Bytes(bytes.into()),
        Wire::Timestamp(seconds) => Value::Timestamp(seconds),
        Wire::Array(array) => Value::Array(items(array)),
        Wire::Table(table) => Value::Table(arguments(table)),
        // The codec's enum may grow; what we do not know carries no meaning for the broker.
        _ => Value::Void,
    }
}

fn items(array: Array<'_>) -> Vec<Value> {
    array.iter().map(owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_keys_in_a_table_the_first_counts() {
        let bytes = b"\x01aI\x00\x00\x00\x01\x01bV\x01aI\x00\x00\x00\x02";
        let read = arguments(Table::parse(bytes).unwrap());
        assert_eq!((read.len(), read.get("a")), (2, Some(&Value::I32(1))));
    }
}
