//! The rows of the matrix: what is done to a broker, and at which body sizes.
//!
//! Invariant: a row's id says all that distinguishes it, so that records of different days can be compared by it.
//!
//! Elsewhere: how a row is done over AMQP (`amqp`), and over other protocols (`tool`).

use std::fmt;

/// Body sizes of the matrix.
pub const SIZES: [usize; 3] = [16, 1 << 10, 64 << 10];

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Transient messages without confirms, over one connection, until the queue holds them all.
    PublishTransient,
    /// Persistent messages with so many waiting for their confirms.
    Confirms {
        /// How many.
        in_flight: u64,
    },
    /// What was just published, consumed with manual acks.
    DrainWarm,
    /// The same from a disk whose cache was dropped.
    DrainCold,
    /// Published with confirms and consumed with acks at once.
    Both,
    /// Transient messages, each to so many queues.
    FanOut {
        /// How many.
        queues: usize,
    },
    /// Persistent messages with confirms, to so many queues in turn.
    Queues {
        /// How many.
        queues: usize,
    },
    /// Persistent messages with confirms, over so many connections to one queue.
    Connections {
        /// How many.
        connections: usize,
    },
    /// Published and consumed at a given rate, whatever the broker does.
    OpenLoop(Pace),
    /// A queue is filled, the broker killed and stopped.
    Backlog,
    /// Connections that do nothing.
    Idle,
}

/// How fast an open loop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// What every broker should keep up with.
    Walk,
    /// The rate of the latency goals.
    Run,
}

impl Workload {
    /// All rows, in the order in which they are measured.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::PublishTransient];
        all.extend([1, 10, 100, 1_000, 10_000].map(|in_flight| Self::Confirms { in_flight }));
        all.extend([Self::DrainWarm, Self::DrainCold, Self::Both]);
        all.extend([10, 100].map(|queues| Self::FanOut { queues }));
        all.extend([1, 10, 100, 1_000].map(|queues| Self::Queues { queues }));
        all.extend([1, 10, 100].map(|connections| Self::Connections { connections }));
        all.extend([Pace::Walk, Pace::Run].map(Self::OpenLoop));
        all.extend([Self::Backlog, Self::Idle]);
        all
    }

    /// At which body sizes it is measured.
    pub fn sizes(self) -> &'static [usize] {
        match self {
            Self::Backlog | Self::Idle => &SIZES[..1],
            _ => &SIZES,
        }
    }

    /// Messages per second of an open loop with such bodies.
    pub fn rate(self, body_len: usize) -> Option<u64> {
        let Self::OpenLoop(pace) = self else {
            return None;
        };
        Some(match (pace, body_len) {
            (Pace::Walk, ..=0x3FF) => 20_000,
            (Pace::Walk, ..=0x7FFF) => 10_000,
            (Pace::Walk, _) => 500,
            (Pace::Run, ..=0x3FF) => 200_000,
            (Pace::Run, ..=0x7FFF) => 100_000,
            (Pace::Run, _) => 5_000,
        })
    }

    /// What it means, in a sentence.
    pub fn meaning(self) -> String {
        match self {
            Self::PublishTransient => "Transient messages over one connection without confirms; \
                the clock stops when the queue holds all of them."
                .into(),
            Self::Confirms { in_flight } => format!(
                "Persistent messages to a durable queue over one connection; at most {in_flight} wait for their confirms."
            ),
            Self::DrainWarm => "The persistent backlog that was just published, consumed over one connection with manual \
                acks (prefetch 1,000, one multiple ack for 100 or more)."
                .into(),
            Self::DrainCold => "The same after the page cache was dropped; the backlog is at least eight times what \
                Logpond keeps of recent blocks, unless filling it takes more than a minute."
                .into(),
            Self::Both => "One connection publishes persistent messages with confirms (1,000 in flight), another consumes \
                with acks; until all is consumed."
                .into(),
            Self::FanOut { queues } => format!(
                "Transient messages to a fanout exchange with {queues} queues, counted as published; the clock stops when \
                all queues hold all of them."
            ),
            Self::Queues { queues } => format!(
                "Persistent messages with confirms (1,000 in flight) over one connection, to {queues} queues in turn."
            ),
            Self::Connections { connections } => format!(
                "Persistent messages with confirms to one queue over {connections} connections with 10 in flight each."
            ),
            Self::OpenLoop(_) => "Persistent messages published with confirms at a given rate and consumed with acks; \
                the latency counts from when a message was due to when it was received."
                .into(),
            Self::Backlog => "A queue is filled with persistent messages; memory is looked at; the broker is killed (SIGKILL), \
                started, stopped, and started with a cold page cache, each time until the first delivery."
                .into(),
            Self::Idle => "1,000 connections, each with a channel, that do nothing.".into(),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublishTransient => f.write_str("publish-transient"),
            Self::Confirms { in_flight } => write!(f, "confirms-{in_flight}"),
            Self::DrainWarm => f.write_str("drain-warm"),
            Self::DrainCold => f.write_str("drain-cold"),
            Self::Both => f.write_str("both"),
            Self::FanOut { queues } => write!(f, "fan-out-{queues}"),
            Self::Queues { queues } => write!(f, "queues-{queues}"),
            Self::Connections { connections } => write!(f, "connections-{connections}"),
            Self::OpenLoop(Pace::Walk) => f.write_str("open-loop-walk"),
            Self::OpenLoop(Pace::Run) => f.write_str("open-loop-run"),
            Self::Backlog => f.write_str("backlog"),
            Self::Idle => f.write_str("idle"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Workload;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_rows_have_the_same_id() {
        let all = Workload::all();
        let ids: BTreeSet<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(ids.len(), all.len());
    }
}
