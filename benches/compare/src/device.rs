//! How fast the device takes synced sequential writes, and how fast it is read: 1 MiB each, O_DIRECT and one at a time, writes with
//! RWF_DSYNC into a file whose blocks are there.

use anyhow::ensure;
use logpond_store::disk::{AlignedBuf, Disk, DiskFile, FileKind, RealDisk, RealFile, WriteMode};
use std::path::Path;
use std::time::{Duration, Instant};

const TRANSFER_BYTES: usize = 1 << 20;
const FILE_BYTES: u64 = 256 << 20;

/// A file to write to and to read.
pub struct Device {
    file: RealFile,
    block: AlignedBuf,
    next: u64,
}

impl Device {
    /// Makes the file, and writes it once, so that no measured write allocates anything.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        let disk = RealDisk::open(dir, WriteMode::DirectDsync)?;
        ensure!(
            disk.write_mode() == WriteMode::DirectDsync,
            "the file system has no O_DIRECT with RWF_DSYNC"
        );
        let file = disk.create("device", FileKind::Journal)?;
        file.allocate(FILE_BYTES)?;
        let mut block = AlignedBuf::zeroed(TRANSFER_BYTES);
        block.fill(7);
        let mut device = Self { file, block, next: 0 };
        for _ in 0..FILE_BYTES / u64::try_from(TRANSFER_BYTES)? {
            device.write()?;
        }
        Ok(device)
    }

    fn write(&mut self) -> anyhow::Result<()> {
        self.file.write_synced_at(&self.block, self.next)?;
        self.advance()
    }

    fn read(&mut self) -> anyhow::Result<()> {
        let read = self.file.read_at(&mut self.block, self.next)?;
        ensure!(read == TRANSFER_BYTES, "the file was written to its end");
        self.advance()
    }

    fn advance(&mut self) -> anyhow::Result<()> {
        self.next = (self.next + u64::try_from(TRANSFER_BYTES)?) % FILE_BYTES;
        Ok(())
    }

    /// Bytes per second that it takes.
    pub fn measure_writes(&mut self, time: Duration) -> anyhow::Result<f64> {
        self.measure(time, Self::write)
    }

    /// Bytes per second that it gives.
    pub fn measure_reads(&mut self, time: Duration) -> anyhow::Result<f64> {
        self.measure(time, Self::read)
    }

    #[expect(clippy::as_conversions, reason = "a rate of bytes")]
    fn measure(
        &mut self,
        time: Duration,
        transfer: impl Fn(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<f64> {
        let began = Instant::now();
        let mut bytes = 0;
        while began.elapsed() < time {
            transfer(self)?;
            bytes += TRANSFER_BYTES;
        }
        Ok(bytes as f64 / began.elapsed().as_secs_f64())
    }
}
