//! Footers against the blocks of their segments.
//!
//! A footer is whole under its name, so one that does not validate is damaged. One that speaks of more than its segment's part
//! of the log was left behind by a start that cut the log there, or of a segment that is gone: nobody believes it, and the next
//! start removes it.

use super::contents::FooterInfo;
use super::error::InspectError;
use super::finding::{Finding, Part, VerifyReport};
use super::site::Site;
use super::walk::Block;
use crate::disk::Disk;
use crate::footer::{BlockGists, Footer, footer_path};
use crate::format::byte_count;
use crate::format::gist::{Gists, Kept};
use crate::recovery::Found;

/// The footer of the segment that is being walked, if it has one that counts.
pub(super) struct FooterCheck {
    file: String,
    bytes: u64,
    footer: Option<Footer>,
    is_damaged: bool,
    /// Blocks of it that were passed.
    compared: usize,
    /// Where it first says something else than the segment.
    differs_at: Option<u64>,
}

impl FooterCheck {
    /// Reads it.
    pub(super) fn open<D: Disk>(site: &Site<D>, found: &Found) -> Result<Self, InspectError> {
        let mut check = Self {
            file: footer_path(found.number),
            bytes: 0,
            footer: None,
            is_damaged: false,
            compared: 0,
            differs_at: None,
        };
        let Some(bytes) = read(site, found)? else {
            return Ok(check);
        };
        check.bytes = byte_count(bytes.len());
        let footer = Footer::decode(&bytes, site.meta.store, found.number);
        check.is_damaged = footer.is_none();
        check.footer = footer.filter(|footer| counts(footer, found));
        Ok(check)
    }

    /// Compares it with the next whole block.
    pub(super) fn compare(&mut self, block: &Block) {
        let Some(footer) = &self.footer else { return };
        // Blocks that are not whole are reported as such, and passed over here.
        while footer
            .block(self.compared)
            .is_some_and(|entry| entry.offset < block.offset)
        {
            self.compared += 1;
        }
        match footer.block(self.compared) {
            Some(entry) if is_same(&entry, block) => self.compared += 1,
            _ => {
                self.differs_at.get_or_insert(block.offset);
            }
        }
    }

    /// Says what came of it.
    pub(super) fn finish(self, report: &mut VerifyReport) {
        if self.is_damaged || self.differs_at.is_some() {
            report
                .findings
                .push(Finding::new(self.file, 0, self.bytes, Part::Footer));
        } else {
            report.footers += u64::from(self.footer.is_some());
        }
    }
}

/// What there is to be shown of a segment's footer.
pub(super) fn info<D: Disk>(site: &Site<D>, found: &Found) -> Result<Option<FooterInfo>, InspectError> {
    let Some(bytes) = read(site, found)? else {
        return Ok(None);
    };
    let len = byte_count(bytes.len());
    let footer = Footer::decode(&bytes, site.meta.store, found.number);
    Ok(Some(FooterInfo {
        file: footer_path(found.number),
        bytes: len,
        blocks: footer.as_ref().map(|footer| u64::from(footer.header.block_count)),
        end: footer.map(|footer| footer.header.end),
    }))
}

fn read<D: Disk>(site: &Site<D>, found: &Found) -> Result<Option<Vec<u8>>, InspectError> {
    match Footer::read(&site.disk, found.number) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read
            .map(Some)
            .map_err(InspectError::io("reading", footer_path(found.number))),
    }
}

fn counts(footer: &Footer, found: &Found) -> bool {
    let header = &footer.header;
    (header.first_lsn, header.epoch) == (found.first_lsn, found.epoch) && header.end <= found.limit
}

fn is_same(entry: &BlockGists<'_>, block: &Block) -> bool {
    let records = &block.contents.records;
    let payload = &block.bytes[crate::format::block::HEADER_LEN..];
    let of_block = Gists::new(payload, Kept::Records).take(records.len());
    (entry.offset, entry.crc) == (block.offset, block.crc)
        && entry.record_count == block.header.record_count
        && Gists::new(entry.gists, Kept::Gists).eq(of_block)
}
