//! Looking at the files of a store without opening it: what stands there, what is damaged, and what that costs.
//!
//! Invariants:
//! - Nothing here changes a file, but for [`repair`], which needs the directory to itself.
//! - Bytes are judged by the decoders that recovery uses, and a stretch of the log by the same rule
//!   (docs/format.md, "Torn tail and corruption").
//! - Looking needs no lock: what a running store changes meanwhile is looked at again, and what cannot be judged is named.
//!
//! Elsewhere: what a start does about damage (`recovery`).

mod catalog;
mod checkpoints;
mod cold;
mod comparison;
mod contents;
mod describe;
mod error;
mod finding;
mod footers;
mod index;
mod inspector;
mod journal;
mod ledger;
mod meta;
mod moment;
mod progress;
mod quarantine;
mod records;
mod repair;
mod roll;
mod sequel;
mod site;
mod standing;
mod verify;
mod walk;
mod window;

pub use contents::{
    BlockInfo, CatalogEntryInfo, CheckpointInfo, EntryInfo, FooterInfo, GapInfo, MetaInfo, PageInfo, PageUse,
    QueueInfo, RecordInfo, RecordKind, ReferenceInfo, SegmentDetail, SegmentInfo, SegmentRole, SlotInfo,
};
pub use error::InspectError;
pub use finding::{Finding, IndexState, Part, Unjudged, VerifyReport, WhyUnjudged};
pub use inspector::Inspector;
pub(crate) use moment::Moment;
pub use progress::{Progress, Stage};
pub use repair::{Action, RepairPlan, Step, plan, repair};
pub use verify::verify;
