//! Structured logs on stderr: a line for people, or JSON for machines.

use logpond_server::config::{ConfigError, LogFormat, Settings};
use tracing_subscriber::EnvFilter;

/// Starts logging as the settings say; `RUST_LOG` wins over them.
pub fn start(settings: &Settings) -> anyhow::Result<()> {
    let (key, directives) = match std::env::var("RUST_LOG") {
        Ok(directives) => ("RUST_LOG", directives),
        Err(_) => ("log.level", settings.log_level.clone()),
    };
    let filter = EnvFilter::try_new(&directives).map_err(|error| ConfigError::Value {
        key: key.to_owned(),
        message: format!("{directives}: {error}"),
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Told with `eprintln!`, a line that cannot be written would end who says it.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
