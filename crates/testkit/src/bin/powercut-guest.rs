//! The first process of a virtual machine whose power is going to be cut: `blackbox powercut` puts it into the initial file system.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;
use logpond_testkit::powercut::guest::{DATA, GuestSettings, Marker, run};

/// The disk whose writes are recorded; its file system is mounted already.
const DISK: &str = "/dev/vda";
/// How the kernel calls ports to the host; which number it gives depends on the other devices.
const PORT: &str = "vport";
/// The host tells of the port after the driver has started.
const PORT_TIME_MAX: Duration = Duration::from_secs(30);
/// Where the file system is mounted.
const MOUNTED: &str = "/data";

fn main() -> ExitCode {
    let Err(error) = work();
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

fn work() -> anyhow::Result<Infallible> {
    let settings = GuestSettings::parse(&std::fs::read_to_string("/proc/cmdline")?)?;
    let marker = Marker::open(Path::new(DISK), &port()?)?;
    run(&settings, &marker, &Path::new(MOUNTED).join(DATA))
}

fn port() -> anyhow::Result<PathBuf> {
    let until = Instant::now() + PORT_TIME_MAX;
    loop {
        for device in std::fs::read_dir("/dev")? {
            let device = device?;
            if device.file_name().to_string_lossy().starts_with(PORT) {
                return Ok(device.path());
            }
        }
        ensure!(Instant::now() < until, "there is no port to the host");
        std::thread::sleep(Duration::from_millis(10));
    }
}
