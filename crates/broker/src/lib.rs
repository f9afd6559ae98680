//! Virtual hosts, queues, consumers, acknowledgements and permissions: events in, effects out.
