//! A client of a peer's own project, for a peer that does not speak AMQP.
//!
//! The agreement with the program: it is called with a mode (`publish`, `drain`, `both`) and `--address`, `--body-len`,
//! `--in-flight`, `--count`, `--milliseconds`, `--rate` (0: as fast as it goes); it makes what it publishes to if that is not there;
//! it prints `begin` when the measured time begins, and at its end one line of JSON: `messages`, `elapsed_us`, and `latencies` by
//! name, each `{p50_ns, p99_ns, max_ns}`. Messages are persistent and confirmed as the peer does it.
//!
//! Invariant: a program that does not come to its end is killed, by its process id.

use super::figures::{Figures, Latency};
use super::limits::{COLD_BYTES_MIN, FILL_MAX, IN_FLIGHT, IN_FLIGHT_FILL, MESSAGE_BYTES, TOOL_SLACK};
use super::meter::Meter;
use super::stage::Stage;
use super::turn::TurnOptions;
use super::workload::Workload;
use crate::footprint::drop_page_cache;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// How a client is called.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The program and its first arguments.
    pub command: Vec<OsString>,
}

/// One call.
#[derive(Clone, Copy)]
struct Load {
    mode: &'static str,
    in_flight: u64,
    count: u64,
    length: Duration,
    rate: u64,
}

#[derive(Deserialize)]
struct Told {
    messages: u64,
    elapsed_us: u64,
    latencies: BTreeMap<String, ToldLatency>,
}

#[derive(Deserialize)]
struct ToldLatency {
    p50_ns: u64,
    p99_ns: u64,
    max_ns: u64,
}

impl Tool {
    /// Why a row is not measured with such a peer, if it is not.
    pub fn suits(&self, workload: Workload) -> Result<(), &'static str> {
        match workload {
            Workload::Confirms { .. }
            | Workload::DrainWarm
            | Workload::DrainCold
            | Workload::Both
            | Workload::OpenLoop(_) => Ok(()),
            Workload::PublishTransient => Err("has no message in a durable queue that it need not store"),
            Workload::FanOut { .. } => Err("consumers share one log: there is no copy for each"),
            Workload::Queues { .. } => Err("a queue is a part of a log: its number costs something else"),
            Workload::Connections { .. } | Workload::Idle => Err("its client keeps one connection for all"),
            Workload::Backlog => Err("a log has no backlog: what was consumed stays"),
        }
    }

    /// Does a row.
    pub fn run(
        &self,
        stage: &Stage<'_>,
        workload: Workload,
        options: TurnOptions,
    ) -> anyhow::Result<Figures> {
        let load = Load {
            mode: "publish",
            in_flight: IN_FLIGHT,
            count: options.count_max(),
            length: options.length,
            rate: 0,
        };
        // A virtual machine compiles what it runs.
        let warm_up = Load {
            length: super::limits::WARM_UP,
            ..load
        };
        if !matches!(workload, Workload::DrainWarm | Workload::DrainCold) {
            self.call(stage, warm_up, options)?;
        }
        match workload {
            Workload::Confirms { in_flight } => self.call(stage, Load { in_flight, ..load }, options),
            Workload::DrainWarm | Workload::DrainCold => self.drain(stage, workload, load, options),
            _ => {
                let rate = workload.rate(options.body_len).unwrap_or(0);
                let both = Load {
                    mode: "both",
                    in_flight: if rate > 0 { IN_FLIGHT_FILL } else { IN_FLIGHT },
                    rate,
                    ..load
                };
                let figures = self.call(stage, both, options)?;
                Ok(if rate > 0 {
                    figures.with_fact("offered_per_second", rate)
                } else {
                    figures
                })
            }
        }
    }

    fn drain(
        &self,
        stage: &Stage<'_>,
        workload: Workload,
        load: Load,
        options: TurnOptions,
    ) -> anyhow::Result<Figures> {
        let is_cold = workload == Workload::DrainCold;
        let bytes_min = if is_cold { COLD_BYTES_MIN } else { 0 };
        let per_message = u64::try_from(options.body_len)? + MESSAGE_BYTES;
        let fill = Load {
            in_flight: IN_FLIGHT_FILL,
            length: options.length * 2,
            ..load
        };
        let start = Instant::now();
        let mut count = 0;
        while count == 0 || count * per_message < bytes_min && start.elapsed() < FILL_MAX {
            count += self.call(stage, fill, options)?.messages;
        }
        let dropped = is_cold && drop_page_cache().is_ok();
        let drain = Load {
            mode: "drain",
            count,
            ..load
        };
        let figures = self.call(stage, drain, options)?;
        Ok(if is_cold {
            figures.with_fact("page_cache_dropped", u64::from(dropped))
        } else {
            figures
        })
    }

    fn call(&self, stage: &Stage<'_>, load: Load, options: TurnOptions) -> anyhow::Result<Figures> {
        let mut child = Running::start(&mut self.command(stage, load, options)?)?;
        child.expect("begin")?;
        let meter = Meter::start(stage.server()?.pid());
        let line = child.line(load.length + TOOL_SLACK)?;
        let told: Told = serde_json::from_str(&line)
            .with_context(|| format!("the client says {line:?} where its figures should be"))?;
        let mut figures = Figures::of(
            told.messages,
            options.body_len,
            Duration::from_micros(told.elapsed_us),
        );
        meter.stop(&mut figures);
        for name in ["confirm", "end to end"] {
            if let Some(latency) = told.latencies.get(name) {
                figures.latencies.insert(name, latency.into());
            }
        }
        child.end()?;
        Ok(figures)
    }

    fn command(&self, stage: &Stage<'_>, load: Load, options: TurnOptions) -> anyhow::Result<Command> {
        let (program, first) = self.command.split_first().context("a client without a name")?;
        let mut command = super::server::command(program);
        command.args(first).arg(load.mode);
        for (flag, value) in [
            ("--address", stage.server()?.address().to_string()),
            ("--body-len", options.body_len.to_string()),
            ("--in-flight", load.in_flight.to_string()),
            ("--count", load.count.to_string()),
            ("--milliseconds", load.length.as_millis().to_string()),
            ("--rate", load.rate.to_string()),
        ] {
            command.args([flag, &value]);
        }
        Ok(command)
    }
}

impl From<&ToldLatency> for Latency {
    fn from(told: &ToldLatency) -> Self {
        Self {
            p50_ns: told.p50_ns,
            p99_ns: told.p99_ns,
            max_ns: told.max_ns,
        }
    }
}

/// A client at work. Dropping it kills it.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let out = child.stdout.take().context("stdout was piped")?;
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // Nobody may want to know any more; the pipe is read on, or the client would block on it.
                let _ = tell.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    fn expect(&self, word: &str) -> anyhow::Result<()> {
        let line = self.line(TOOL_SLACK)?;
        if line == word {
            Ok(())
        } else {
            bail!("the client says {line:?} instead of {word:?}")
        }
    }

    fn line(&self, patience: Duration) -> anyhow::Result<String> {
        self.lines
            .recv_timeout(patience)
            .context("the client says nothing, or has ended")
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let asked = Instant::now();
        while asked.elapsed() < TOOL_SLACK {
            if let Some(status) = self.child.try_wait()? {
                anyhow::ensure!(status.success(), "the client ended with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("the client does not end")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
