//! Structured logs on stderr: a line for people, or JSON for machines.

use anyhow::Context;
use logpond_server::config::{LogFormat, Settings};
use tracing_subscriber::EnvFilter;

/// Starts logging as the settings say; `RUST_LOG` wins over them.
pub fn start(settings: &Settings) -> anyhow::Result<()> {
    let directives = std::env::var("RUST_LOG").unwrap_or_else(|_| settings.log_level.clone());
    let filter = EnvFilter::try_new(&directives).with_context(|| format!("`log.level`: {directives}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
