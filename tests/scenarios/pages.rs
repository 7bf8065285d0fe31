//! The pages of the examples, followed word by word: their commands are typed as they stand there, and print what stands there.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use freshet_testkit::{eventually, python_directory};
use rstest::rstest;
use tokio::process::Command;

use crate::deployment::{Deployment, Platform};
use crate::server::Server;

/// How long what a page promises may take to come true.
const COMES_TRUE_WITHIN: Duration = Duration::from_mins(1);
/// The start of a server, which the page asks for in a terminal of its own.
const SERVER: &str = "freshet up ";
/// In what a page says that a command prints, this stands for anything within a line.
const ANYTHING: char = '…';

#[rstest]
#[case::embedded(Platform::Embedded)]
#[case::servers(Platform::Servers)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_are_won_back(#[case] platform: Platform) {
    follow("examples/winback", &[("CUSTOMER360", "customer360")], platform).await;
}

#[rstest]
#[case::embedded(Platform::Embedded)]
#[case::servers(Platform::Servers)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gifts_are_redeemed(#[case] platform: Platform) {
    follow("examples/redemption", &[("MEMBERS", "members/members.csv")], platform).await;
}

/// Follows a page from its beginning to its end. `external` are variables of the page that say where external files lie, and the
/// places of these among the tenant's own external files.
async fn follow(example: &str, external: &[(&str, &str)], platform: Platform) {
    let text = std::fs::read_to_string(repository().join(example).join("README.md")).unwrap();
    let steps = steps(&text);
    let (starts, steps): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(|step| step.commands.starts_with(SERVER));
    let [start] = &starts[..] else { panic!("{example} starts {} servers", starts.len()) };
    assert!(steps.iter().filter(|step| step.prints.is_some()).count() > 3, "{example} promises hardly anything");

    let deployment = Deployment::new(platform).await;
    let mut server = deployment.server("data");
    for word in start.commands.trim_end().strip_prefix(SERVER).unwrap().split(' ') {
        // Paths are relative to the repository, where the page is read.
        let path = repository().join(word);
        server.argument(if path.exists() { path.to_str().unwrap() } else { word });
    }
    server.start().await;
    deployment.client(&server).await;

    let reader = Reader::new(&deployment, &server, external);
    for step in &steps {
        reader.take(step).await;
    }
    deployment.finish([server]).await;
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A block of commands, and what it prints where the page says so.
#[derive(Debug)]
struct Step {
    commands: String,
    prints: Option<String>,
}

/// The blocks of `sh` of a page, each with the block of `text` that follows it.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in page.split("\n```").skip(1).step_by(2) {
        let (language, content) = block.split_once('\n').unwrap_or((block, ""));
        match (language, steps.last_mut()) {
            ("sh", _) => steps.push(Step { commands: content.to_owned(), prints: None }),
            ("text", Some(step)) => step.prints = Some(content.to_owned()),
            ("text", None) => panic!("a page begins with what is printed by nothing"),
            // Something to look at.
            _ => {}
        }
    }
    steps
}

/// Someone who follows a page in a shell.
struct Reader {
    directory: PathBuf,
    environment: Vec<(String, String)>,
}

impl Reader {
    fn new(deployment: &Deployment, server: &Server, external: &[(&str, &str)]) -> Self {
        let directory = deployment.path("reader");
        std::fs::create_dir(&directory).unwrap();
        std::os::unix::fs::symlink(repository().join("examples"), directory.join("examples")).unwrap();
        std::os::unix::fs::symlink(server.data(), directory.join(".freshet")).unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_freshet")).parent().unwrap();
        let python = python_directory().unwrap();
        let path = format!("{}:{}:{}", binary.display(), python.display(), std::env::var("PATH").unwrap());
        let mut environment = vec![
            ("PATH".to_owned(), path),
            ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()),
            // The page's own default is where `freshet up` listens by itself.
            ("INGEST_URL".to_owned(), server.url().to_owned()),
            ("LOOKUP_URL".to_owned(), server.url().to_owned()),
        ];
        for (variable, location) in external {
            environment.push(((*variable).to_owned(), deployment.external_place(location)));
        }
        environment.extend(deployment.files_environment());
        Self { directory, environment }
    }

    /// Does what a step says. What it prints may take a while to come true.
    async fn take(&self, step: &Step) {
        let Some(prints) = &step.prints else {
            let (succeeded, _) = self.run(&step.commands).await;
            assert!(succeeded, "{}", step.commands);
            return;
        };
        let mut last = String::new();
        let came_true = eventually(COMES_TRUE_WITHIN, async || {
            let (succeeded, printed) = self.run(&step.commands).await;
            last = printed;
            succeeded && is_as_said(&last, prints)
        });
        let came_true = came_true.await;
        assert!(came_true.is_ok(), "{}\nprints\n{last}\nand not, as the page says,\n{prints}", step.commands);
    }

    /// Variables that commands export are there for those of later steps.
    async fn run(&self, commands: &str) -> (bool, String) {
        let script =
            format!("set -euo pipefail\n[ -f exported ] && source ./exported\n{commands}\nexport -p > exported\n");
        let mut command = Command::new("bash");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("FRESHET_") || name.starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        command.args(["-c", &script]).current_dir(&self.directory).envs(self.environment.iter().cloned());
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let printed = if output.status.success() { stdout } else { format!("{stdout}\n{stderr}") };
        (output.status.success(), printed)
    }
}

/// Whether each line is as the page says, blanks at its end apart.
fn is_as_said(printed: &str, says: &str) -> bool {
    let lines = |text: &str| text.trim_end().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    let (printed, says) = (lines(printed), lines(says));
    printed.len() == says.len() && printed.iter().zip(&says).all(|(line, said)| line_is_as_said(line, said))
}

fn line_is_as_said(line: &str, said: &str) -> bool {
    let mut parts = said.split(ANYTHING);
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut is_whole = !said.contains(ANYTHING);
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        is_whole = false;
    }
    is_whole && rest.is_empty()
}

#[rstest]
#[case("a b", "a b", true)]
#[case("a b c", "a b", false)]
#[case("a 17 c", "a … c", true)]
#[case("a 17 c 18", "a … c …", true)]
#[case("a 17 d", "a … c", false)]
#[case("a", "…", true)]
fn a_line_is_as_said(#[case] line: &str, #[case] said: &str, #[case] is: bool) {
    assert_eq!(line_is_as_said(line, said), is);
}
