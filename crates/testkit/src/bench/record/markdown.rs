//! The record as a document.
//!
//! Invariant: each number is followed by its unit, or its column's head names it.

use super::{Cell, Medians, Record};
use crate::bench::disk_probe::DiskFigures;
use crate::bench::echo_probe::EchoFigures;
use crate::bench::workload::Workload;
use crate::generator::Variety;
use std::fmt::Write;

/// All of it.
pub fn document(record: &Record) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_document(&mut out, record);
    out
}

fn write_document(out: &mut String, record: &Record) -> std::fmt::Result {
    writeln!(out, "# Brokers measured, {}\n", record.date)?;
    writeln!(out, "`{}`\n", record.command)?;
    writeln!(
        out,
        "{}. Medians of {} interleaved rounds of {} s; messages {}. Broker and generator share the machine. What the rows \
         mean and how to read this: `docs/performance.md`. Every turn is in the file beside this one.\n",
        record.machine.line(),
        record.disk.len(),
        record.seconds,
        match record.variety {
            Variety::Varied => "vary in body, properties and routing key",
            Variety::Same => "are all the same",
        }
    )?;
    write_disk(out, &DiskFigures::median(&record.disk))?;
    write_echo(out, &EchoFigures::median(&record.echo))?;
    write_peers(out, record)?;
    let mut cells = record.cells.as_slice();
    while let Some(first) = cells.first() {
        let len = cells
            .iter()
            .take_while(|cell| cell.workload == first.workload)
            .count();
        write_row(out, first.workload, &cells[..len])?;
        cells = &cells[len..];
    }
    Ok(())
}

fn write_disk(out: &mut String, disk: &DiskFigures) -> std::fmt::Result {
    writeln!(out, "## The disk in the same run\n")?;
    writeln!(out, "| O_DIRECT, one at a time | |\n|---|---|")?;
    writeln!(
        out,
        "| 1 MiB written with RWF_DSYNC, in sequence | {} |",
        bytes_per_second(disk.write_1mib_bytes_per_second)
    )?;
    writeln!(
        out,
        "| the same, to blocks that were never written (a log that grows) | {} |",
        bytes_per_second(disk.write_new_1mib_bytes_per_second)
    )?;
    for (size, p50, p99) in [
        ("4 KiB", disk.write_4kib_p50_ns, disk.write_4kib_p99_ns),
        ("64 KiB", disk.write_64kib_p50_ns, disk.write_64kib_p99_ns),
    ] {
        writeln!(
            out,
            "| {size} written with RWF_DSYNC | p50 {}, p99 {} |",
            duration(p50),
            duration(p99)
        )?;
    }
    writeln!(
        out,
        "| 1 MiB read, in sequence | {} |\n",
        bytes_per_second(disk.read_1mib_bytes_per_second)
    )
}

fn write_echo(out: &mut String, echo: &EchoFigures) -> std::fmt::Result {
    writeln!(out, "## The least that a confirmed message takes\n")?;
    writeln!(
        out,
        "| a request over a loopback connection and its answer, each thread asleep until it has something to do | |\n|---|---|"
    )?;
    let written = "written with RWF_DSYNC before the answer";
    for (what, latency) in [
        ("128 bytes, nothing written".to_owned(), echo.unwritten),
        (format!("128 bytes, 4 KiB {written}"), echo.synced_4kib),
        (
            format!("128 bytes, 4 KiB {written}, to blocks that were never written"),
            echo.synced_new_4kib,
        ),
        (format!("64 KiB, 64 KiB {written}"), echo.synced_64kib),
        (
            format!("107 KiB (1,000 publishes of 16 B), 104 KiB {written}"),
            echo.synced_thousand_16b,
        ),
        (
            format!("1,100 KiB (1,000 publishes of 1 KiB), 1 MiB {written}"),
            echo.synced_thousand_1kib,
        ),
    ] {
        let (p50, p99) = (duration(latency.p50_ns), duration(latency.p99_ns));
        writeln!(out, "| {what} | p50 {p50}, p99 {p99} |")?;
    }
    writeln!(out)
}

fn write_peers(out: &mut String, record: &Record) -> std::fmt::Result {
    writeln!(out, "## The brokers\n")?;
    writeln!(
        out,
        "| broker | version | a confirmed message is | remarks |\n|---|---|---|---|"
    )?;
    for peer in &record.peers {
        let (name, version) = (peer.name, &peer.version);
        writeln!(
            out,
            "| {name} | {version} | {} | {} |",
            peer.confirm_means, peer.remarks
        )?;
    }
    for peer in &record.missing {
        let why = peer.why.replace(['\n', '|'], " ");
        writeln!(out, "| {} | not measured: {why} | | |", peer.name)?;
    }
    writeln!(out)
}

fn write_row(out: &mut String, workload: Workload, cells: &[Cell]) -> std::fmt::Result {
    writeln!(out, "## {workload}\n\n{}\n", workload.meaning())?;
    let (measured, rest): (Vec<_>, Vec<_>) = cells.iter().partition(|cell| cell.not_comparable.is_none());
    writeln!(
        out,
        "| body | broker | messages/s | bodies | messages/broker CPU s | p50 / p99 | peak memory | else | rounds (disturbed) |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for cell in measured {
        write_cell(out, cell)?;
    }
    writeln!(out)?;
    let mut told = Vec::new();
    for cell in rest {
        if let Some(why) = cell.not_comparable
            && !told.contains(&cell.peer)
        {
            told.push(cell.peer);
            writeln!(out, "Without {}: {why}.\n", cell.peer)?;
        }
    }
    Ok(())
}

fn write_cell(out: &mut String, cell: &Cell) -> std::fmt::Result {
    let (body, peer) = (size(cell.body_len), cell.peer);
    let failed = cell.failures.first().map(|why| {
        let why = why.replace(['\n', '|'], " ");
        format!("{} failed: {why}", cell.failures.len())
    });
    let Some(medians) = cell.medians() else {
        let failed = failed.unwrap_or_else(|| "not measured yet".into());
        return writeln!(out, "| {body} | {peer} | | | | | | {failed} | 0 |");
    };
    let mut rest: Vec<String> = medians
        .facts
        .iter()
        .map(|(name, value)| fact(name, *value))
        .collect();
    rest.extend(failed);
    writeln!(
        out,
        "| {body} | {peer} | {} | {} | {} | {} | {} | {} | {} ({}) |",
        something(medians.per_second, count),
        something(medians.bytes_per_second, bytes_per_second),
        something(medians.per_cpu_second.unwrap_or(0), count),
        latencies(&medians),
        memory(medians.peak_resident_kb),
        rest.join("; "),
        medians.turns,
        medians.disturbed,
    )
}

/// A rate, or a dash where nothing was sent.
fn something(value: u64, text: impl Fn(u64) -> String) -> String {
    if value == 0 { "–".into() } else { text(value) }
}

/// One line for people who wait.
pub fn medians_line(medians: &Medians) -> String {
    let mut parts = vec![
        format!("{}/s", count(medians.per_second)),
        bytes_per_second(medians.bytes_per_second),
    ];
    if let Some(rate) = medians.per_cpu_second {
        parts.push(format!("{} per CPU s", count(rate)));
    }
    parts.push(latencies(medians));
    parts.push(memory(medians.peak_resident_kb));
    parts.extend(medians.facts.iter().map(|(name, value)| fact(name, *value)));
    if medians.disturbed > 0 {
        parts.push("disturbed".into());
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

fn latencies(medians: &Medians) -> String {
    let each = medians
        .latencies
        .iter()
        .map(|(name, p50, p99)| format!("{name} {} / {}", duration(*p50), duration(*p99)));
    each.collect::<Vec<_>>().join(", ")
}

/// A name with its unit at the end, in words.
fn fact(name: &str, value: u64) -> String {
    let (words, text) = if let Some(name) = name.strip_suffix("_kb") {
        (name, memory(value))
    } else if let Some(name) = name.strip_suffix("_ms") {
        (name, format!("{value} ms"))
    } else if let Some(name) = name.strip_suffix("_bytes") {
        (name, memory(value >> 10))
    } else if let Some(name) = name.strip_suffix("_ppm") {
        (name, format!("{}.{:04} %", value / 10_000, value % 10_000))
    } else {
        (name, count(value))
    };
    format!("{} {text}", words.replace('_', " "))
}

/// Three significant digits: more would be noise.
fn count(value: u64) -> String {
    scaled(
        value,
        &[(1_000_000_000, " G"), (1_000_000, " M"), (1_000, " k")],
        "",
    )
}

fn bytes_per_second(value: u64) -> String {
    let units = [(1_000_000_000, " GB/s"), (1_000_000, " MB/s"), (1_000, " kB/s")];
    scaled(value, &units, " B/s")
}

fn duration(nanoseconds: u64) -> String {
    scaled(
        nanoseconds,
        &[(1_000_000_000, " s"), (1_000_000, " ms"), (1_000, " µs")],
        " ns",
    )
}

fn memory(kb: u64) -> String {
    scaled(kb, &[(1 << 20, " GiB"), (1 << 10, " MiB")], " KiB")
}

fn scaled(value: u64, units: &[(u64, &str)], small: &str) -> String {
    let Some((unit, name)) = units.iter().find(|(unit, _)| value >= *unit) else {
        return format!("{value}{small}");
    };
    let whole = value / unit;
    let digits = match whole {
        0..10 => 2,
        10..100 => 1,
        _ => 0,
    };
    if digits == 0 {
        return format!("{whole}{name}");
    }
    let power = 10_u64.pow(digits);
    let part = value % unit * power / unit;
    let width = usize::try_from(digits).unwrap_or(0);
    format!("{whole}.{part:0width$}{name}")
}

fn size(bytes: usize) -> String {
    if bytes < 1024 {
        format!("{bytes} B")
    } else {
        format!("{} KiB", bytes >> 10)
    }
}

/// In a word.
pub fn variety(variety: Variety) -> &'static str {
    match variety {
        Variety::Varied => "varied",
        Variety::Same => "same",
    }
}

#[cfg(test)]
mod tests {
    use super::{count, duration, fact, memory};

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!(count(999), "999");
        assert_eq!(count(4_056_789), "4.05 M");
        assert_eq!(count(41_300), "41.3 k");
        assert_eq!(duration(125_900), "125 µs");
        assert_eq!(memory(3 << 19), "1.50 GiB");
    }

    #[test]
    fn a_fact_says_its_unit() {
        assert_eq!(fact("ready_after_kill_ms", 90), "ready after kill 90 ms");
        assert_eq!(fact("core_ppm", 1_250), "core 0.1250 %");
        assert_eq!(fact("bytes_per_connection", 9_000), "bytes per connection 9.00 k");
    }
}
