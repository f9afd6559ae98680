//! Tests of `certificates`: each states one thing that it keeps.

use tempfile::TempDir;

use super::*;
use crate::config::{ConfigFile, Settings};
use crate::stop::Stopper;
use crate::upkeep::keep_certificates;

/// Puts a new certificate and its key into the directory, in place of those that are there.
fn put_certificate(directory: &TempDir) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    put(directory, "cert.pem", &certificate.pem());
    put(directory, "key.pem", &key.serialize_pem());
}

fn put(directory: &TempDir, name: &str, contents: &str) {
    let new = directory.path().join("new");
    std::fs::write(&new, contents).unwrap();
    std::fs::rename(new, directory.path().join(name)).unwrap();
}

fn settings(directory: &TempDir) -> TlsSettings {
    let path = |name| directory.path().join(name);
    let text = format!(
        "[tls]\ncertificate = {:?}\nkey = {:?}\n",
        path("cert.pem"),
        path("key.pem")
    );
    let file = ConfigFile::parse("test", &text).unwrap();
    Settings::from_file(file, |_| None).unwrap().tls.unwrap()
}

#[test]
fn certificates_that_changed_are_served_after_a_reload() {
    let directory = tempfile::tempdir().unwrap();
    put_certificate(&directory);
    let certificates = Certificates::load(&settings(&directory)).unwrap();
    let before = certificates.current();
    assert!(!certificates.has_changed());
    put_certificate(&directory);
    assert!(certificates.has_changed());
    certificates.reload().unwrap();
    assert!(!certificates.has_changed());
    assert!(!Arc::ptr_eq(&before, &certificates.current()));
}

#[test]
fn certificates_that_cannot_be_used_replace_none() {
    let directory = tempfile::tempdir().unwrap();
    put_certificate(&directory);
    let certificates = Certificates::load(&settings(&directory)).unwrap();
    let before = certificates.current();
    put(&directory, "cert.pem", "no certificate");
    let error = certificates.reload().unwrap_err().to_string();
    assert!(error.contains("cert.pem"), "{error}");
    assert!(Arc::ptr_eq(&before, &certificates.current()));
    assert!(!certificates.has_changed(), "bad files are complained about once");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    put_certificate(&directory);
    put(
        &directory,
        "key.pem",
        &rcgen::KeyPair::generate().unwrap().serialize_pem(),
    );
    assert!(matches!(
        Certificates::load(&settings(&directory)),
        Err(TlsError::Unusable(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_files_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    put_certificate(&directory);
    let certificates = Arc::new(Certificates::load(&settings(&directory)).unwrap());
    let before = certificates.current();
    let stopper = Stopper::new();
    tokio::spawn(keep_certificates(Arc::clone(&certificates), stopper.subscribe()));
    put_certificate(&directory);
    while Arc::ptr_eq(&before, &certificates.current()) {
        // The clock stands still but for this: it jumps to the next look.
        tokio::time::sleep(crate::limits::CERTIFICATES_INTERVAL).await;
    }
}
