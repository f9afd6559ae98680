//! The languages: how their published clients are installed under one folder, and which programs use them.

use super::program::{Program, Step};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A language with its programs.
pub struct Toolchain {
    /// What it is called.
    pub name: &'static str,
    /// What must be done first.
    pub steps: Vec<Step>,
    /// What can be run then.
    pub programs: Vec<Program>,
}

/// All of them. `sources` holds the programs, `work` is where clients are installed.
pub fn all(sources: &Path, work: &Path) -> Vec<Toolchain> {
    vec![
        python(&sources.join("python"), &work.join("python")),
        go(&sources.join("go"), &work.join("go")),
        node(&sources.join("node"), &work.join("node")),
        lapin(),
    ]
}

fn python(sources: &Path, work: &Path) -> Toolchain {
    let interpreter = work.join("bin/python");
    let mut environment = Command::new("python3");
    environment.args(["-m", "venv"]).arg(work);
    let mut install = Command::new(&interpreter);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ]);
    install.arg(sources.join("requirements.txt"));
    let names = [
        "hello",
        "events",
        "work_queue",
        "publish_subscribe",
        "routing",
        "topics",
        "rpc",
        "dead_letters",
        "direct_reply",
        "confirms",
    ];
    let programs = names.map(|name| {
        let mut command = Command::new(&interpreter);
        command.arg("-B").arg(sources.join(name).with_extension("py"));
        Program::new(format!("python/pika {name}"), command)
    });
    Toolchain {
        name: "python/pika",
        steps: vec![Step::new(environment), Step::new(install)],
        programs: programs.into(),
    }
}

fn go(sources: &Path, work: &Path) -> Toolchain {
    let binaries = work.join("bin");
    let names = ["hello", "persistent", "nack"];
    let mut build = Command::new("go");
    build
        .current_dir(sources)
        .arg("build")
        .arg("-o")
        .arg(directory(&binaries));
    build.args(names.map(|name| format!("./{name}")));
    // Not read-only, so that removing the target folder works.
    build
        .env("GOFLAGS", "-modcacherw")
        .env("GOPATH", work.join("path"))
        .env("GOCACHE", work.join("cache"));
    let mut folder = Command::new("mkdir");
    folder.arg("-p").arg(&binaries);
    let programs =
        names.map(|name| Program::new(format!("go/amqp091-go {name}"), Command::new(binaries.join(name))));
    Toolchain {
        name: "go/amqp091-go",
        steps: vec![Step::new(folder), Step::new(build)],
        programs: programs.into(),
    }
}

/// With a slash at its end, so that `go build` knows that it is a folder.
fn directory(path: &Path) -> PathBuf {
    path.join("")
}

fn node(sources: &Path, work: &Path) -> Toolchain {
    let mut folder = Command::new("mkdir");
    folder.arg("-p").arg(work);
    // Copied, because node looks for clients beside the program.
    let mut copy = Command::new("cp");
    copy.args(["package.json", "smoke.js"].map(|file| sources.join(file)))
        .arg(work);
    let mut install = Command::new("npm");
    install.current_dir(work).args([
        "install",
        "--no-package-lock",
        "--no-audit",
        "--no-fund",
        "--silent",
    ]);
    let mut smoke = Command::new("node");
    smoke.current_dir(work).arg("smoke.js");
    Toolchain {
        name: "node/amqplib",
        steps: vec![Step::new(folder), Step::new(copy), Step::new(install)],
        programs: vec![Program::new("node/amqplib smoke", smoke)],
    }
}

fn lapin() -> Toolchain {
    // Built with the tool that runs now, and lies beside it.
    let own = std::env::current_exe().unwrap_or_default();
    let smoke = Command::new(own.with_file_name("lapin-smoke"));
    Toolchain {
        name: "rust/lapin",
        steps: vec![],
        programs: vec![Program::new("rust/lapin smoke", smoke)],
    }
}
