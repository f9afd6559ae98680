//! Makes logs of writes as the recorder would, for tests.

use super::{FLUSH, FUA, Lasting, MAGIC, SECTOR_BYTES, VERSION, WriteLog};
use std::path::Path;

/// A log that is being written.
#[derive(Default)]
pub struct Recorded {
    entries: Vec<u8>,
    count: u64,
}

impl Recorded {
    /// A flush.
    pub fn flush(&mut self) {
        self.entry([0, 0, FLUSH, 0], &[]);
    }

    /// A write of whole sectors, each filled with one byte.
    pub fn write(&mut self, sector: u64, fill: &[u8], lasting: Lasting) {
        let sector_bytes = usize::try_from(SECTOR_BYTES).unwrap();
        let data: Vec<u8> = fill.iter().flat_map(|byte| vec![*byte; sector_bytes]).collect();
        let flags = if lasting == Lasting::AtOnce { FUA } else { 0 };
        let sectors = u64::try_from(fill.len()).unwrap();
        self.entry([sector, sectors, flags, 0], &data);
    }

    /// Any entry.
    pub fn entry(&mut self, numbers: [u64; 4], data: &[u8]) {
        self.entries.extend(sector_of(numbers));
        self.entries.extend(data);
        self.count += 1;
    }

    /// Everything, as a file has it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = sector_of([MAGIC, VERSION, self.count, SECTOR_BYTES]);
        bytes.extend(&self.entries);
        bytes
    }

    /// Through a file and back.
    pub fn open(&self, folder: &Path, disk_bytes: u64) -> anyhow::Result<WriteLog> {
        let path = folder.join("log");
        std::fs::write(&path, self.bytes())?;
        WriteLog::open(&path, disk_bytes)
    }
}

fn sector_of(numbers: [u64; 4]) -> Vec<u8> {
    let mut sector: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
    sector.resize(usize::try_from(SECTOR_BYTES).unwrap(), 0);
    sector
}
