//! Many connections that publish with confirms, all served by the calling thread.
//!
//! Invariants:
//! - No connection has a thread of its own: a hundred threads that wake each other would be what is measured.
//! - Each connection sends what its window has room for, and never waits for its socket.

use super::clock::Clock;
use super::connection::{Connection, Filled, refuse_close};
use super::histogram::Histogram;
use super::tape::Tape;
use super::window::{Settled, Window};
use anyhow::{Context, ensure};
use logpond_amqp::{FrameKind, Method};
use rustix::event::{Timespec, epoll};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// When nothing came on any connection for so long, nothing will.
const PATIENCE: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};
const EVENTS_MAX: usize = 256;

/// What came of it.
#[derive(Debug, Default)]
pub struct Voyage {
    /// Messages sent, all of them confirmed.
    pub sent: u64,
    /// Those that the broker did not take.
    pub refused: u64,
    /// From being sent to the confirm.
    pub latency: Histogram,
    /// From the first publish to the last confirm.
    pub elapsed: Duration,
}

/// Publishes on all connections until the deadline, then until all is confirmed. Confirms are selected on each.
pub fn sail(
    connections: Vec<Connection>,
    tape: &Tape,
    in_flight: u64,
    deadline: Instant,
    clock: Clock,
) -> anyhow::Result<Voyage> {
    let mut fleet = Fleet::new(connections, tape, in_flight, clock)?;
    let start = Instant::now();
    for index in 0..fleet.ships.len() {
        fleet.send(index)?;
    }
    while !fleet.is_home() {
        if Instant::now() >= deadline {
            fleet.is_over = true;
        }
        fleet.wait()?;
    }
    let mut voyage = Voyage {
        elapsed: start.elapsed(),
        ..Voyage::default()
    };
    for ship in fleet.ships {
        voyage.sent += ship.sent;
        voyage.refused += ship.window.refused();
        voyage.latency.merge(&ship.window.into_latency());
    }
    Ok(voyage)
}

/// A connection with its window.
struct Ship {
    connection: Connection,
    window: Window,
    sent: u64,
    /// Of the tape, what is counted as sent and is not in the socket yet.
    unwritten: Range<usize>,
}

struct Fleet<'t> {
    epoll: OwnedFd,
    ships: Vec<Ship>,
    tape: &'t Tape,
    clock: Clock,
    is_over: bool,
    events: Vec<epoll::Event>,
}

impl<'t> Fleet<'t> {
    fn new(
        connections: Vec<Connection>,
        tape: &'t Tape,
        in_flight: u64,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut ships = Vec::with_capacity(connections.len());
        for mut connection in connections {
            connection.stop_waiting()?;
            let data = epoll::EventData::new_u64(u64::try_from(ships.len())?);
            // Edge-triggered: each is read until nothing is there, so one call tells all that matters.
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&epoll, &connection, data, flags)?;
            ships.push(Ship {
                connection,
                window: Window::new(in_flight),
                sent: 0,
                unwritten: 0..0,
            });
        }
        Ok(Self {
            epoll,
            ships,
            tape,
            clock,
            is_over: false,
            events: Vec::with_capacity(EVENTS_MAX),
        })
    }

    fn is_home(&self) -> bool {
        self.is_over
            && self
                .ships
                .iter()
                .all(|ship| ship.window.in_flight() == 0 && ship.unwritten.is_empty())
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        self.events.clear();
        let came = epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            Some(&PATIENCE),
        );
        match came {
            Err(rustix::io::Errno::INTR) => return Ok(()),
            other => ensure!(other? > 0, "no confirm came within {PATIENCE:?}"),
        }
        for at in 0..self.events.len() {
            let index = usize::try_from(self.events[at].data.u64())?;
            self.read(index)?;
            self.send(index)?;
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> anyhow::Result<()> {
        let ship = &mut self.ships[index];
        while ship.connection.try_fill()? == Filled::Some {
            let now = self.clock.now();
            while let Some(frame) = ship.connection.frame_here()? {
                match Settled::of(frame.payload) {
                    Some(settled) => ship.window.confirm(settled, now)?,
                    None if frame.kind == FrameKind::Method => refuse_close(&Method::decode(frame.payload)?)?,
                    None => {}
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, index: usize) -> anyhow::Result<()> {
        let ship = self.ships.get_mut(index).context("no such connection")?;
        loop {
            if ship.unwritten.is_empty() {
                let free = ship.window.free();
                if self.is_over || free == 0 {
                    return Ok(());
                }
                let (count, place) = self.tape.piece(ship.sent, free);
                ship.window.sent(count, self.clock.now());
                ship.sent += count;
                ship.unwritten = place;
            }
            let written = ship
                .connection
                .try_send(self.tape.frames(ship.unwritten.clone()))?;
            if written == 0 {
                return Ok(());
            }
            ship.unwritten.start += written;
        }
    }
}
