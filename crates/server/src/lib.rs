//! Listeners and AMQP sessions.
