//! An authority with a certificate for the broker and one for a client, made anew and valid for two days.

use super::watched;
use std::path::Path;
use std::process::Command;

const SECTIONS: &str = "\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
[member]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1
";

/// Writes `ca`, `server` and `client`, each with `_certificate.pem` and `_key.pem`, to `folder`.
pub fn make(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("sections.cnf"), SECTIONS)?;
    watched::step(&mut request(folder, "ca", "authority"))?;
    for member in ["server", "client"] {
        let signed_by = ["-CA", "ca_certificate.pem", "-CAkey", "ca_key.pem"];
        watched::step(request(folder, member, "member").args(signed_by))?;
    }
    Ok(())
}

fn request(folder: &Path, name: &str, section: &str) -> Command {
    let mut command = Command::new("openssl");
    command
        .current_dir(folder)
        .args(["req", "-x509", "-config", "sections.cnf", "-extensions", section])
        .args(["-newkey", "rsa:2048", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}")])
        .args(["-keyout", &format!("{name}_key.pem")])
        .args(["-out", &format!("{name}_certificate.pem")]);
    command
}
