//! Tests of `config`: each states one thing that it keeps.

use rstest::rstest;

use super::*;

fn settings(text: &str) -> Result<Settings, ConfigError> {
    Settings::from_file(ConfigFile::parse("logpond.toml", text)?, |_| None)
}

#[test]
fn an_empty_file_gives_the_defaults() {
    let settings = settings("").unwrap();
    assert_eq!(settings.data, std::path::Path::new("./logpond-data"));
    let addresses: Vec<String> = settings.listen.iter().map(|l| l.address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:5672", "[::1]:5672"]);
    assert_eq!(settings.default_user.name, "guest");
    assert_eq!(settings.default_vhost, "/");
}

#[rstest]
#[case("data = 'd'\nporrt = 1\n", 2, "porrt")]
#[case("[store]\nsegment_bytes = 65536\n\nsegmentbytes = 1\n", 4, "segmentbytes")]
#[case("[stoer]\nsegment_bytes = 1\n", 1, "stoer")]
fn an_unknown_key_is_refused_with_file_line_and_key(
    #[case] text: &str,
    #[case] line: usize,
    #[case] key: &str,
) {
    let error = settings(text).unwrap_err();
    let ConfigError::UnknownKey {
        line: found,
        key: name,
        ..
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!((*found, name.as_str()), (line, key));
    assert!(
        error
            .to_string()
            .starts_with(&format!("logpond.toml:{line}: unknown key `{key}`"))
    );
}

#[rstest]
#[case("data = 5\n")]
#[case("data = \n")]
#[case("listen = ['nonsense']\n")]
#[case("[limits]\nframe_bytes_max = 8191\n")]
#[case("[limits]\nconsumer_timeout_ms = 0\n")]
#[case("[limits]\nhandshake_timeout_ms = 0\n")]
#[case("[limits]\nconnections_max = 0\n")]
#[case("[store]\nwrite_mode = 'fast'\n")]
fn a_value_of_the_wrong_kind_is_refused(#[case] text: &str) {
    settings(text).unwrap_err();
}

#[test]
fn a_setting_overrides_the_file_and_needs_no_quotes() {
    let mut file = ConfigFile::parse("f", "[store]\nsegment_bytes = 1048576\n").unwrap();
    file.overlay(ConfigFile::parse_setting("store.segment_bytes=65536").unwrap());
    file.overlay(ConfigFile::parse_setting("store.write_mode=buffered-dsync").unwrap());
    let settings = Settings::from_file(file, |_| None).unwrap();
    assert_eq!(settings.store_options.segment_bytes, 65536);
    assert_eq!(settings.store.write_mode, Some(WriteMode::BufferedDsync));
}

#[test]
fn an_unknown_setting_names_itself() {
    let error = ConfigFile::parse_setting("store.segment=1")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("--set store.segment=1:1: unknown key `segment`"),
        "{error}"
    );
}

#[test]
fn the_environment_names_the_first_user_and_the_file_wins_over_it() {
    let environment = |name: &str| Some(format!("<{name}>"));
    let file = ConfigFile::parse("f", "[defaults]\nuser = 'me'\n").unwrap();
    let settings = Settings::from_file(file, environment).unwrap();
    assert_eq!(settings.default_user.name, "me");
    assert_eq!(settings.default_user.password, "<RABBITMQ_DEFAULT_PASS>");
    assert_eq!(settings.default_vhost, "<RABBITMQ_DEFAULT_VHOST>");
}

#[test]
fn definitions_come_in_place_of_the_first_user_and_vhost_unless_these_are_named() {
    use logpond_broker::FirstContent::{Defaults, Nothing};
    let first = |text: &str, variable: &str| {
        let file = ConfigFile::parse("f", text).unwrap();
        let set = |name: &str| (name == variable).then(|| "x".to_owned());
        Settings::from_file(file, set).unwrap().first_content
    };
    assert_eq!(first("", ""), Defaults);
    assert_eq!(first("definitions = 'd.json'\n", ""), Nothing);
    assert_eq!(
        first("definitions = 'd.json'\ndefaults.vhost = '/'\n", ""),
        Defaults
    );
    assert_eq!(
        first("definitions = 'd.json'\n", "RABBITMQ_DEFAULT_USER"),
        Defaults
    );
}

#[rstest]
#[case("[tls]\ncertificate = 'c.pem'\n", "tls.key")]
#[case(
    "[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\nclient_certificates = 'required'\n",
    "tls.client_ca"
)]
#[case("[auth]\nmechanisms = []\n", "auth.mechanisms")]
#[case("[auth]\nmechanisms = ['ANONYMOUS']\n", "auth.anonymous_user")]
fn what_a_login_or_encryption_lacks_is_named(#[case] text: &str, #[case] lacking: &str) {
    let error = settings(text).unwrap_err();
    assert!(
        matches!(&error, ConfigError::Value { key, .. } if key == lacking),
        "{error}"
    );
}

#[test]
fn encrypted_connections_have_a_port_of_their_own() {
    let settings = settings("[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\n").unwrap();
    let tls = settings.tls.unwrap();
    assert_eq!(tls.listen[0].address.to_string(), "127.0.0.1:5671");
    assert_eq!(settings.mechanisms, [Mechanism::Plain, Mechanism::AmqPlain]);
}

#[test]
fn a_password_is_not_printed() {
    let printed = format!("{:?}", Settings::default());
    assert!(!printed.contains("password"), "{printed}");
}

#[test]
fn transient_messages_take_64_mib_of_memory_unless_told_otherwise() {
    let granted = |text: &str| settings(text).unwrap().store_options.transient_bytes >> 20;
    assert_eq!(granted(""), 64);
    assert_eq!(granted("[store]\ntransient_bytes = 268435456\n"), 256);
}

/// The fields of what `Debug` prints, with the names of the tables that they stand in.
fn keys(printed: &str) -> Vec<String> {
    let mut tables: Vec<&str> = Vec::new();
    let mut keys = Vec::new();
    for line in printed.lines().map(str::trim) {
        match line.split_once(": ") {
            Some((name, value)) if value.ends_with('{') => tables.push(name),
            Some((name, _)) => keys.push([&tables[..], &[name]].concat().join(".")),
            None if line == "}," => {
                tables.pop();
            }
            None => {}
        }
    }
    keys
}

#[test]
fn the_manual_has_every_key() {
    let manual = include_str!("../../../../docs/configuration.md");
    let keys = keys(&format!("{:#?}", ConfigFile::default()));
    assert!(
        keys.contains(&"data".to_owned()) && keys.contains(&"store.damage".to_owned()),
        "{keys:?}"
    );
    let is_told = |key: &str| {
        manual
            .lines()
            .any(|line| line.starts_with(&format!("| `{key}` |")))
    };
    let missing: Vec<_> = keys.iter().filter(|key| !is_told(key)).collect();
    assert!(missing.is_empty(), "not in docs/configuration.md: {missing:?}");
    let rows = manual
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    // Names of variables have no small letters.
    let rows = rows
        .map(|(name, _)| name)
        .filter(|name| name.contains(char::is_lowercase));
    let unknown: Vec<_> = rows.filter(|name| !keys.iter().any(|key| key == name)).collect();
    assert!(
        unknown.is_empty(),
        "in docs/configuration.md, but no key: {unknown:?}"
    );
}
