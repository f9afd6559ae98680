//! `logpond inspect`: what stands in the files of a data directory, part by part.

mod hex;
mod place;
mod segment_name;

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use logpond_store::disk::RealDisk;
use logpond_store::inspect::{Inspector, RecordInfo, RecordKind};

use crate::exit;
use crate::offline::{Output, Place, print_json, print_table};
use crate::results::Results;

use hex::{WithBytes, print_hex};
use place::Spot;
use segment_name::SegmentName;

/// Look into the files of a data directory. The broker may run meanwhile.
#[derive(Debug, Args)]
#[command(after_help = exit::OFFLINE_CODES)]
pub struct InspectArgs {
    #[command(flatten)]
    place: Place,
    /// Also show the bytes.
    #[arg(long, global = true)]
    hex: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All segments, in the order of the log.
    Segments,
    /// The blocks of a segment.
    Segment {
        /// Its number, in decimal or as 0x2b, with a `c` before it that of a cold segment; or its file: 000000000000002b.seg,
        /// c/0000000000000005.seg, or a path.
        segment: SegmentName,
    },
    /// A block and its records.
    Block {
        /// Segment and offset, for example 5@8192, c2@4096 or 000000000000002b.seg@8192.
        spot: Spot,
    },
    /// One record.
    Record {
        /// Segment and offset, for example 5@8320.
        spot: Spot,
    },
    /// The index pages that the newest checkpoint uses, or one of them.
    Index {
        /// Slab and page, for example 0:3.
        page: Option<place::Page>,
    },
    /// The checkpoints.
    Checkpoint,
    /// Both slots of META.
    Meta,
    /// The entries of the catalog.
    Catalog,
    /// The queues, as the newest checkpoint knows them.
    Queues,
}

/// Shows what was asked for.
pub fn run(arguments: &InspectArgs) -> anyhow::Result<ExitCode> {
    let disk = arguments.place.disk()?;
    if let What::Segment { segment }
    | What::Block {
        spot: Spot { segment, .. },
    }
    | What::Record {
        spot: Spot { segment, .. },
    } = &arguments.what
    {
        segment.check(&arguments.place.data)?;
    }
    let view = View {
        inspector: Inspector::new(&disk)?,
        output: arguments.place.output,
        hex: arguments.hex,
    };
    match &arguments.what {
        What::Segments => view.segments()?,
        What::Segment { segment } => view.segment(segment)?,
        What::Block { spot } => view.block(spot)?,
        What::Record { spot } => view.record(spot)?,
        What::Index { page: None } => view.index()?,
        What::Index { page: Some(page) } => view.index_page(*page)?,
        What::Checkpoint => view.checkpoints()?,
        What::Meta => view.meta()?,
        What::Catalog => view.catalog()?,
        What::Queues => view.queues()?,
    }
    Ok(ExitCode::SUCCESS)
}

struct View {
    inspector: Inspector<RealDisk>,
    output: Output,
    hex: bool,
}

impl View {
    fn segments(&self) -> anyhow::Result<()> {
        let segments = self.inspector.segments()?;
        if self.output == Output::Json {
            return print_json(&segments);
        }
        let rows = segments.iter().map(|segment| {
            [
                segment.file.clone(),
                format!("{:?}", segment.role),
                shown(segment.epoch),
                shown(segment.first_lsn),
                shown(segment.limit),
                segment.bytes.to_string(),
            ]
        });
        print_table(["file", "role", "epoch", "first lsn", "limit", "bytes"], rows)?;
        Ok(())
    }

    fn segment(&self, name: &SegmentName) -> anyhow::Result<()> {
        let detail = self.inspector.segment(name.number())?;
        let bytes = self.bytes(&detail.segment.file, 0, 4096)?;
        if self.output == Output::Json {
            return print_json(&WithBytes::new(&detail, bytes.as_deref()));
        }
        let rows = detail.blocks.iter().map(|block| {
            [
                format!("{name}@{}", block.offset),
                block.bytes.to_string(),
                block.number.to_string(),
                block.epoch.to_string(),
                format!("{}/{}", block.records_sound, block.records),
                block.crc.clone(),
                block.previous_crc.clone(),
            ]
        });
        print_table(
            ["block", "bytes", "number", "epoch", "records", "crc", "previous"],
            rows,
        )?;
        if let Some(footer) = &detail.footer {
            let says = match footer.blocks {
                Some(blocks) => format!("of {blocks} blocks"),
                None => "damaged".to_owned(),
            };
            writeln!(Results, "footer {}, {} bytes, {says}", footer.file, footer.bytes)?;
        }
        for gap in &detail.gaps {
            writeln!(
                Results,
                "no sound block from byte {}, {} bytes",
                gap.offset, gap.bytes
            )?;
        }
        dump(bytes.as_deref(), 0)
    }

    fn block(&self, spot: &Spot) -> anyhow::Result<()> {
        let (block, records) = self.inspector.block(spot.segment.number(), spot.offset)?;
        let bytes = if self.hex {
            let file = self.inspector.segment(spot.segment.number())?.segment.file;
            self.bytes(&file, block.offset, block.bytes)?
        } else {
            None
        };
        if self.output == Output::Json {
            let part = serde_json::json!({ "block": block, "records": records });
            return print_json(&WithBytes::new(&part, bytes.as_deref()));
        }
        writeln!(
            Results,
            "block {} of {} bytes at lsn {}: {} of {} records sound, {} bytes of records, all below lsn {} was synced",
            block.number,
            block.bytes,
            block.lsn,
            block.records_sound,
            block.records,
            block.payload_bytes,
            block.durable_lsn
        )?;
        let rows = records.iter().map(|record| {
            [
                format!("{}@{}", spot.segment, record.offset),
                record.bytes.to_string(),
                describe(record),
            ]
        });
        print_table(["record", "bytes", "what"], rows)?;
        dump(bytes.as_deref(), block.offset)
    }

    fn record(&self, spot: &Spot) -> anyhow::Result<()> {
        let (record, bytes) = self.inspector.record(spot.segment.number(), spot.offset)?;
        let bytes = self.hex.then_some(bytes.as_slice());
        if self.output == Output::Json {
            return print_json(&WithBytes::new(&record, bytes));
        }
        writeln!(Results, "{} bytes: {}", record.bytes, describe(&record))?;
        dump(bytes, record.offset)
    }

    fn index(&self) -> anyhow::Result<()> {
        let pages = self.inspector.index()?;
        if self.output == Output::Json {
            return print_json(&pages);
        }
        let rows = pages.iter().map(|page| {
            [
                format!("{}:{}", page.slab, page.page),
                page.queue.to_string(),
                page.first.to_string(),
                if page.sound { "sound" } else { "damaged" }.to_owned(),
            ]
        });
        print_table(["page", "queue", "first seq", "checksum"], rows)?;
        Ok(())
    }

    fn index_page(&self, page: place::Page) -> anyhow::Result<()> {
        let info = self.inspector.index_page(page.slab, page.page)?;
        let (file, offset) = (format!("shard-00/x/{:04x}.idx", page.slab), page.page * 4096);
        let bytes = self.bytes(&file, offset, 4096)?;
        if self.output == Output::Json {
            return print_json(&WithBytes::new(&info, bytes.as_deref()));
        }
        let owner = format!("queue {}, from seq {}", info.owner.0, info.owner.1);
        match &info.used {
            Some(used) => writeln!(
                Results,
                "{owner}: in use, {}",
                if used.sound { "sound" } else { "damaged" }
            ),
            None => writeln!(Results, "{owner}: not in use by the newest checkpoint"),
        }?;
        let rows = info.entries.iter().map(|entry| {
            let place = match (entry.segment, entry.offset) {
                (Some(segment), Some(offset)) => format!("{}@{offset}", SegmentName::of(segment)),
                _ => format!("nowhere (lsn {})", entry.lsn),
            };
            [
                entry.seq.to_string(),
                place,
                entry.bytes.to_string(),
                entry.priority.to_string(),
                if entry.dead { "dead" } else { "live" }.to_owned(),
            ]
        });
        print_table(["seq", "record", "bytes", "priority", "state"], rows)?;
        dump(bytes.as_deref(), offset)
    }

    fn checkpoints(&self) -> anyhow::Result<()> {
        let checkpoints = self.inspector.checkpoints()?;
        if self.output == Output::Json {
            return print_json(&checkpoints);
        }
        let rows = checkpoints.iter().map(|checkpoint| {
            [
                checkpoint.file.clone(),
                checkpoint.bytes.to_string(),
                checkpoint.last_block.to_string(),
                checkpoint.queues.len().to_string(),
                checkpoint.pages.to_string(),
                if checkpoint.clean { "yes" } else { "no" }.to_owned(),
            ]
        });
        print_table(
            [
                "file",
                "bytes",
                "last block",
                "queues",
                "index pages",
                "clean stop",
            ],
            rows,
        )?;
        Ok(())
    }

    fn meta(&self) -> anyhow::Result<()> {
        let meta = self.inspector.meta()?;
        let bytes = self.bytes("META", 0, 8192)?;
        if self.output == Output::Json {
            return print_json(&WithBytes::new(&meta, bytes.as_deref()));
        }
        let rows = meta.slots.iter().enumerate().map(|(at, slot)| {
            let counts = if meta.counts == Some(at) { "counts" } else { "" };
            match slot {
                Some(slot) => [
                    at.to_string(),
                    slot.generation.to_string(),
                    slot.store.clone(),
                    slot.epoch.to_string(),
                    if slot.clean { "yes" } else { "no" }.to_owned(),
                    counts.to_owned(),
                ],
                None => {
                    let nothing = "never written, or damaged".to_owned();
                    [
                        at.to_string(),
                        String::new(),
                        nothing,
                        String::new(),
                        String::new(),
                        String::new(),
                    ]
                }
            }
        });
        print_table(["slot", "generation", "store", "epoch", "clean stop", ""], rows)?;
        dump(bytes.as_deref(), 0)
    }

    fn catalog(&self) -> anyhow::Result<()> {
        let entries = self.inspector.catalog()?;
        if self.output == Output::Json {
            return print_json(&entries);
        }
        let rows = entries.iter().map(|entry| {
            // Keys are parts joined by zero bytes.
            let key = entry.key.escape_debug().to_string();
            let value = if self.hex {
                entry.value.clone()
            } else {
                String::new()
            };
            [key, entry.value_bytes.to_string(), value]
        });
        print_table(["key", "value bytes", if self.hex { "value" } else { "" }], rows)?;
        Ok(())
    }

    fn queues(&self) -> anyhow::Result<()> {
        let queues = self.inspector.queues()?;
        if self.output == Output::Json {
            return print_json(&queues);
        }
        let rows = queues.iter().map(|queue| {
            [
                queue.id.to_string(),
                queue.description.escape_debug().to_string(),
                queue.messages.to_string(),
                queue.next_seq.to_string(),
                queue.floor.to_string(),
                queue.acked.to_string(),
                queue.segments.len().to_string(),
            ]
        });
        let titles = [
            "queue",
            "description",
            "messages",
            "next seq",
            "floor",
            "acked above",
            "segments",
        ];
        print_table(titles, rows)?;
        Ok(())
    }

    /// The bytes, if they are asked for.
    fn bytes(&self, file: &str, offset: u64, len: u64) -> anyhow::Result<Option<Vec<u8>>> {
        let wanted = self.hex.then(|| self.inspector.bytes(file, offset, len));
        Ok(wanted.transpose()?)
    }
}

fn dump(bytes: Option<&[u8]>, offset: u64) -> anyhow::Result<()> {
    if let Some(bytes) = bytes {
        print_hex(bytes, offset)?;
    }
    Ok(())
}

fn shown(number: Option<impl ToString>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

fn describe(record: &RecordInfo) -> String {
    match &record.kind {
        RecordKind::Message {
            body_bytes,
            properties_bytes,
            references,
            ..
        } => {
            let held: Vec<String> = references
                .iter()
                .map(|held| format!("queue {} seq {}", held.queue, held.seq))
                .collect();
            let held = held.join(", ");
            format!("message, body {body_bytes} bytes, properties {properties_bytes} bytes, in {held}")
        }
        RecordKind::Ack { reason, ranges } => format!("{reason}: {}", ranges_of(ranges)),
        RecordKind::Requeue { ranges } => {
            let ranges: Vec<String> = ranges
                .iter()
                .map(|(queue, first, count, attempts)| {
                    let (returned, failed) = (attempts.returned, attempts.failed);
                    format!("queue {queue} seq {first}, {count} in a row, {returned} times ({failed} failed)")
                })
                .collect();
            format!("requeued: {}", ranges.join("; "))
        }
        RecordKind::Skip { ranges } => format!("skipped: {}", ranges_of(ranges)),
        RecordKind::Delivered { marks } => {
            let marks: Vec<String> = marks
                .iter()
                .map(|(queue, seq)| format!("queue {queue} below seq {seq}"))
                .collect();
            format!("may have been delivered: {}", marks.join(", "))
        }
        RecordKind::Queue {
            action,
            queue,
            description,
            ..
        } => format!("queue {queue}, {action}: {}", description.escape_debug()),
        RecordKind::Mark { .. } => "idle mark".to_owned(),
        _ => "of a type that this version does not know".to_owned(),
    }
}

fn ranges_of(ranges: &[(logpond_store::QueueId, logpond_store::Seq, u64)]) -> String {
    let ranges: Vec<String> = ranges
        .iter()
        .map(|(queue, first, count)| format!("queue {queue} seq {first}, {count} in a row"))
        .collect();
    ranges.join("; ")
}
