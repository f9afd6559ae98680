//! Structured logs on stderr: a line for people, or JSON for machines.
//!
//! Invariant: a word that would switch the log off without saying so is refused.

use logpond_server::config::{ConfigError, LogFormat, Settings};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Levels as RabbitMQ names them, and ours.
const RABBITMQ_LEVELS: [(&str, &str); 3] = [("warning", "warn"), ("critical", "error"), ("none", "off")];

/// Starts logging as the settings say; `RUST_LOG` wins over them.
pub fn start(settings: &Settings) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(chosen(std::env::var("RUST_LOG").ok(), &settings.log_level)?)
        // Told with `eprintln!`, a line that cannot be written would end who says it.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// What the environment says, unless it says nothing.
fn chosen(environment: Option<String>, setting: &str) -> Result<EnvFilter, ConfigError> {
    let environment = environment.filter(|directives| !directives.trim().is_empty());
    let (key, directives) = match &environment {
        Some(directives) => ("RUST_LOG", directives.as_str()),
        None => ("log.level", setting),
    };
    filter(directives).map_err(|message| ConfigError::Value {
        key: key.to_owned(),
        message,
    })
}

fn filter(directives: &str) -> Result<EnvFilter, String> {
    let known: Vec<&str> = directives.split(',').map(known).collect::<Result<_, _>>()?;
    EnvFilter::try_new(known.join(",")).map_err(|error| format!("{directives}: {error}"))
}

/// A directive in words that the filter knows. It takes any bare word for the name of a part, of which alone it then logs.
fn known(directive: &str) -> Result<&str, String> {
    let word = directive.trim();
    let rabbitmq = RABBITMQ_LEVELS
        .iter()
        .find(|(theirs, _)| word.eq_ignore_ascii_case(theirs));
    if let Some((_, ours)) = rabbitmq {
        return Ok(ours);
    }
    let is_target = word.contains("::") || word.contains(['=', '[']) || word.starts_with("logpond");
    if is_target || word.parse::<LevelFilter>().is_ok() {
        return Ok(word);
    }
    Err(format!(
        "`{word}` is no level: off, error, warn, info, debug or trace (warning, critical and none are understood, too), \
         or one for a part of the program, for example logpond_store=debug"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most(directives: &str) -> Option<LevelFilter> {
        filter(directives).unwrap().max_level_hint()
    }

    #[test]
    fn levels_are_understood_in_our_words_and_in_those_of_rabbitmq() {
        for (word, level) in [
            ("warn", LevelFilter::WARN),
            ("warning", LevelFilter::WARN),
            (" Warning ", LevelFilter::WARN),
            ("critical", LevelFilter::ERROR),
            ("none", LevelFilter::OFF),
            ("DEBUG", LevelFilter::DEBUG),
            ("info, logpond_store=trace", LevelFilter::TRACE),
        ] {
            assert_eq!(most(word), Some(level), "{word}");
        }
    }

    #[test]
    fn a_word_that_is_no_level_and_no_part_is_refused_with_the_words_that_are() {
        for directives in ["inof", "info,debgu", "warn,loud"] {
            let word = directives.split(',').next_back().unwrap();
            let said = filter(directives).unwrap_err();
            assert!(
                said.starts_with(&format!("`{word}` is no level: off, error, warn, ")),
                "{said}"
            );
        }
    }

    #[test]
    fn parts_of_the_program_and_spans_are_no_unknown_words() {
        for directives in [
            "logpond_store",
            "rustls::client",
            "rustls=debug",
            "[span{a=1}]=info",
            "info,",
        ] {
            assert!(filter(directives).is_ok(), "{directives}");
        }
    }

    #[test]
    fn an_empty_variable_says_nothing() {
        let of = |variable: &str| {
            chosen(Some(variable.to_owned()), "debug")
                .unwrap()
                .max_level_hint()
        };
        assert_eq!(of(""), Some(LevelFilter::DEBUG));
        assert_eq!(of(" "), Some(LevelFilter::DEBUG));
        assert_eq!(of("trace"), Some(LevelFilter::TRACE));
    }
}
