//! Setting damage aside, so that the store is as sound as it can be and what was lost stays documented.
//!
//! Invariants:
//! - Nothing is removed: derived files are moved to `quarantine/`, damaged ranges of all others are copied there first.
//! - What the journal still holds intact is neither moved nor changed: segments stay where they are, for a start reads on behind
//!   damage.
//! - A step is durable before the next one begins, and a repair that was interrupted can be done again.
//!
//! Elsewhere: what is damaged (`verify`), how a start rebuilds what was moved away (`recovery`).

use super::error::InspectError;
use super::finding::{Finding, Part, VerifyReport};
use super::meta;
use super::progress::Progress;
use super::quarantine::{self, QUARANTINE_DIR};
use super::verify::verify;
use crate::checkpoint::{self, SHARD_DIR};
use crate::disk::Disk;
use crate::index::pages::INDEX_DIR;
use crate::report::LostEntries;
use crate::segments::{COLD_DIR, JOURNAL_DIR};
use serde::Serialize;
use std::fmt::Write as _;

/// What a repair does, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RepairPlan {
    /// What was found.
    pub report: VerifyReport,
    /// The folder that takes everything, relative to the data directory.
    pub folder: String,
    /// Step by step; none when there is nothing to do.
    pub steps: Vec<Step>,
}

/// One step of a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
    /// Why, in words.
    pub why: &'static str,
}

/// What is done to a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// A damaged range is copied; the file stays as it is.
    Copy {
        /// The file.
        file: String,
        /// First byte.
        offset: u64,
        /// How many.
        bytes: u64,
        /// The copy.
        to: String,
    },
    /// A whole file is moved away; the next start makes it anew.
    Move {
        /// The file.
        file: String,
        /// Where it is then.
        to: String,
    },
    /// A list of what is damaged and lost is written.
    List {
        /// The list.
        to: String,
    },
}

/// What a repair of the store would do. Writes nothing.
///
/// # Errors
/// When the store cannot be looked at.
pub fn plan<D: Disk>(disk: &D, progress: &mut impl Progress) -> Result<RepairPlan, InspectError> {
    let report = verify(disk, progress)?;
    let nth = quarantine::repairs(disk)?.last().map_or(1, |last| last + 1);
    let folder = quarantine::folder(nth);
    let mut steps = Vec::new();
    let meta = if meta::any_counts(disk)? {
        MetaState::Counts
    } else {
        MetaState::Lost
    };
    for finding in report.findings.iter().filter(|finding| !finding.set_aside) {
        if let Some(why) = why_copied(finding.part, meta)
            && !quarantine::bytes_of(disk, finding)?.is_empty()
        {
            let to = format!("{folder}/{}", quarantine::copy_name(finding));
            let (file, offset, bytes) = (finding.file.clone(), finding.offset, finding.bytes);
            steps.push(Step {
                action: Action::Copy {
                    file,
                    offset,
                    bytes,
                    to,
                },
                why,
            });
        }
    }
    let copies = steps.len();
    steps.extend(footers(disk, &report, &folder)?);
    let misleading = [Part::IndexPage, Part::IndexEntry, Part::MissingSegment];
    let is_misled = |finding: &Finding| misleading.contains(&finding.part);
    if report.findings.iter().any(is_misled) || !report.astray.is_empty() {
        steps.extend(rebuild(disk, &folder)?);
    } else {
        let damaged = report.findings.iter();
        for finding in damaged.filter(|finding| finding.part == Part::Checkpoint) {
            let why = "a damaged checkpoint says nothing; the other one, or the log, says the same";
            steps.push(moved(&finding.file, &folder, why));
        }
    }
    if !steps.is_empty() && report.new_damage() > 0 {
        let to = quarantine::list_path(&folder);
        let why = "what is damaged and lost stays documented";
        let action = Action::List { to };
        steps.insert(copies, Step { action, why });
    }
    Ok(RepairPlan {
        report,
        folder,
        steps,
    })
}

/// Carries out what [`plan`] says. To be called by whoever holds the directory's lock: no store may be open on it.
///
/// # Errors
/// When the store cannot be looked at, or the disk refuses. What was set aside until then stays there.
pub fn repair<D: Disk>(
    disk: &D,
    _lock: &D::Lock,
    progress: &mut impl Progress,
) -> Result<RepairPlan, InspectError> {
    let plan = plan(disk, progress)?;
    if plan.steps.is_empty() {
        return Ok(plan);
    }
    for (dir, parent) in [(QUARANTINE_DIR, ""), (plan.folder.as_str(), QUARANTINE_DIR)] {
        disk.create_dir(dir).map_err(InspectError::io("creating", dir))?;
        disk.sync_dir(parent)
            .map_err(InspectError::io("syncing", parent))?;
    }
    let sync = |dir: &str| disk.sync_dir(dir).map_err(InspectError::io("syncing", dir));
    for step in &plan.steps {
        match &step.action {
            Action::Copy {
                file,
                offset,
                bytes,
                to,
            } => {
                let range = Finding::new(file, *offset, *bytes, Part::Block);
                quarantine::write(disk, to, &quarantine::bytes_of(disk, &range)?)?;
                sync(&plan.folder)?;
            }
            Action::Move { file, to } => {
                disk.rename(file, to).map_err(InspectError::io("moving", file))?;
                sync(&plan.folder)?;
                sync(file.rsplit_once('/').map_or("", |(dir, _)| dir))?;
            }
            Action::List { to } => {
                quarantine::write(disk, to, list(&plan.report).as_bytes())?;
                sync(&plan.folder)?;
            }
        }
    }
    Ok(plan)
}

/// Whether META still says whose directory it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MetaState {
    /// A slot is sound.
    Counts,
    Lost,
}

/// Why a range is copied; `None` for what is moved as a whole, and for what is not there.
const fn why_copied(part: Part, meta: MetaState) -> Option<&'static str> {
    Some(match part {
        Part::MetaSlot if matches!(meta, MetaState::Lost) => {
            "no slot counts: the next start learns from the segments whose directory it is, and writes META anew"
        }
        Part::MetaSlot => "the other slot counts, and the next start writes this one anew",
        Part::CatalogFrame => "the next start goes on behind it",
        Part::CatalogEnd => "the next start cuts it off",
        Part::SegmentHeader => "its blocks, or a checkpoint, say the same",
        Part::Block | Part::Record => "the segment stays: what is intact in it and behind it is read",
        Part::Padding => "no message stands there",
        Part::MissingCatalog
        | Part::Footer
        | Part::MissingSegment
        | Part::Checkpoint
        | Part::IndexPage
        | Part::IndexEntry => return None,
    })
}

/// Footers that are damaged, and those of damaged segments: with those, a rebuild would not notice what is lost, nor look for it
/// elsewhere.
fn footers<D: Disk>(disk: &D, report: &VerifyReport, folder: &str) -> Result<Vec<Step>, InspectError> {
    let mut steps = Vec::new();
    for dir in [JOURNAL_DIR, COLD_DIR] {
        let names = disk.list(dir).map_err(InspectError::io("listing", dir))?;
        for name in names.iter().filter(|name| name.ends_with(".footer")) {
            let footer = format!("{dir}/{name}");
            let segment = format!("{}.seg", footer.trim_end_matches(".footer"));
            let mut damaged = report.findings.iter();
            let why = damaged.find_map(|finding| match finding.part {
                Part::Footer if finding.file == footer => {
                    Some("a damaged footer says nothing; the blocks of its segment say the same")
                }
                part if part.is_journal() && finding.file == segment => {
                    Some("its segment is damaged: a rebuild has to read what is left of the blocks")
                }
                _ => None,
            });
            steps.extend(why.map(|why| moved(&footer, folder, why)));
        }
    }
    Ok(steps)
}

/// All checkpoints first: without them nobody misses the index.
fn rebuild<D: Disk>(disk: &D, folder: &str) -> Result<Vec<Step>, InspectError> {
    let mut steps = Vec::new();
    let listed = checkpoint::list(disk).map_err(InspectError::io("listing", SHARD_DIR))?;
    for lsn in listed {
        let file = format!("{SHARD_DIR}/{}", checkpoint::file_name(lsn));
        steps.push(moved(
            &file,
            folder,
            "without a checkpoint the next start rebuilds the index from the log",
        ));
    }
    let slabs = disk
        .list(INDEX_DIR)
        .map_err(InspectError::io("listing", INDEX_DIR))?;
    for slab in slabs.iter().filter(|name| name.ends_with(".idx")) {
        let file = format!("{INDEX_DIR}/{slab}");
        steps.push(moved(
            &file,
            folder,
            "the index leads astray; the next start rebuilds it from the log",
        ));
    }
    Ok(steps)
}

fn moved(file: &str, folder: &str, why: &'static str) -> Step {
    let to = format!("{folder}/{}", file.replace('/', "-"));
    let file = file.to_owned();
    let action = Action::Move { file, to };
    Step { action, why }
}

/// The findings and the losses as JSON: names of files are ours, so nothing needs escaping.
fn list(report: &VerifyReport) -> String {
    let findings: Vec<String> = report.findings.iter().map(describe).collect();
    let mut text = String::from("{\n  \"damaged\": [\n    ");
    text.push_str(&findings.join(",\n    "));
    let _ = write!(text, "\n  ],\n  \"lost\": {}\n}}\n", losses(&report.lost));
    text
}

fn describe(finding: &Finding) -> String {
    let Finding {
        file,
        offset,
        bytes,
        records_kept,
        ..
    } = finding;
    format!(
        "{{\"file\": \"{file}\", \"offset\": {offset}, \"bytes\": {bytes}, \"part\": \"{:?}\", \"records_kept\": {records_kept}, \"lost\": {}}}",
        finding.part,
        losses(&finding.lost)
    )
}

fn losses(lost: &[LostEntries]) -> String {
    let one = |lost: &LostEntries| {
        let LostEntries { queue, first, count } = lost;
        format!("{{\"queue\": {queue}, \"first\": {first}, \"count\": {count}}}")
    };
    let all: Vec<String> = lost.iter().map(one).collect();
    format!("[{}]", all.join(", "))
}
