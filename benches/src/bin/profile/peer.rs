//! The peer: PostgreSQL 15 with the same profiles, and indexes that match what is asked.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use freshet_benches::{percentile, say};
use postgres::{Client, NoTls};
use tempfile::TempDir;

use crate::data::{Question, sample, scattered};
use crate::load::Measured;

/// Where Debian's packages put it.
const BINARIES: &str = "/usr/lib/postgresql/15/bin";
/// Connections that ask as fast as they are answered, and those that ask at a rate.
const SATURATING: usize = 16;
const AT_RATE: usize = 4;

/// A running server, which ends when dropped.
pub(crate) struct Postgres {
    process: Child,
    port: u16,
    _directory: TempDir,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT would be kinder; what it holds is thrown away.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Postgres {
    /// Starts one and fills it; none where it isn't installed.
    pub(crate) fn start(profiles: u64) -> anyhow::Result<Option<Self>> {
        if !Path::new(BINARIES).join("postgres").exists() {
            return Ok(None);
        }
        say("filling PostgreSQL with the same profiles …");
        let directory = tempfile::tempdir()?;
        // It refuses to run as root, and then runs as its own user.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777))?;
        let data = directory.path().join("data");
        let made = as_user("initdb")
            .args(["--auth=trust", "--username=bench", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()?;
        ensure!(made.success(), "initdb: {made}");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = as_user("postgres")
            .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "shared_buffers=2GB", "-c", "max_wal_size=8GB", "-D"])
            .arg(&data)
            .stderr(Stdio::null())
            .spawn()?;
        let postgres = Self { process, port, _directory: directory };
        postgres.fill(profiles)?;
        Ok(Some(postgres))
    }

    fn connect(&self) -> anyhow::Result<Client> {
        let address = format!("host=127.0.0.1 port={} user=bench dbname=postgres", self.port);
        let give_up = Instant::now() + Duration::from_secs(30);
        loop {
            match Client::connect(&address, NoTls) {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() > give_up => return Err(error).context("PostgreSQL"),
                Err(_) => std::thread::park_timeout(Duration::from_millis(100)),
            }
        }
    }

    fn fill(&self, profiles: u64) -> anyhow::Result<()> {
        let mut client = self.connect()?;
        client.batch_execute(
            "CREATE TABLE profile (id text, household text, city text, tier bigint, attributes jsonb)",
        )?;
        let mut copy = client.copy_in("COPY profile FROM STDIN (DELIMITER '|')")?;
        for number in 0..profiles {
            let sample = sample(number);
            writeln!(copy, "{}|{}|{}|{}|{}", sample.id, sample.household, sample.city, sample.tier, sample.attributes)?;
        }
        copy.finish()?;
        client.batch_execute(
            "ALTER TABLE profile ADD PRIMARY KEY (id); CREATE INDEX ON profile (household, city, tier)",
        )?;
        // By itself: several statements at once are one transaction, in which it is refused.
        client.batch_execute("VACUUM ANALYZE profile")?;
        Ok(())
    }

    pub(crate) fn measure(
        &self,
        profiles: u64,
        question: Question,
        rate: u32,
        lasts: Duration,
    ) -> anyhow::Result<Measured> {
        say(&format!("asking PostgreSQL {question:?} …"));
        self.load(profiles, question, SATURATING, None, lasts / 5)?;
        let at_rate = self.load(profiles, question, AT_RATE, Some(rate), lasts)?;
        let saturated = self.load(profiles, question, SATURATING, None, lasts)?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let saturated = saturated.len() as f64 / lasts.as_secs_f64();
        Ok(Measured { percentiles: (percentile(&at_rate, 50), percentile(&at_rate, 99)), saturated })
    }

    fn load(
        &self,
        profiles: u64,
        question: Question,
        connections: usize,
        rate: Option<u32>,
        lasts: Duration,
    ) -> anyhow::Result<Vec<f64>> {
        let clients = (0..connections).map(|_| self.connect()).collect::<anyhow::Result<Vec<Client>>>()?;
        std::thread::scope(|scope| {
            let workers: Vec<_> = clients
                .into_iter()
                .enumerate()
                .map(|(worker, client)| {
                    scope.spawn(move || ask(client, profiles, question, (worker, connections), rate, lasts))
                })
                .collect();
            let mut latencies = Vec::new();
            for worker in workers {
                latencies.extend(worker.join().map_err(|_| anyhow::anyhow!("a connection's thread panicked"))??);
            }
            Ok(latencies)
        })
    }
}

fn ask(
    mut client: Client,
    profiles: u64,
    question: Question,
    (worker, workers): (usize, usize),
    rate: Option<u32>,
    lasts: Duration,
) -> anyhow::Result<Vec<f64>> {
    let by_id = client.prepare("SELECT id, attributes::text FROM profile WHERE id = $1")?;
    let by_filters = client.prepare(
        "SELECT id, attributes::text FROM profile WHERE household = $1 AND city = $2 AND tier = $3 ORDER BY id LIMIT 25",
    )?;
    let started = Instant::now();
    let pace = rate.map(|rate| Duration::from_secs(1) / rate);
    let mut latencies = Vec::new();
    for (count, number) in scattered(profiles).skip(worker * 1_000).enumerate() {
        let sample = sample(number);
        let due = match pace {
            Some(pace) => started + pace * u32::try_from(count * workers + worker)?,
            None => Instant::now(),
        };
        if due.duration_since(started) >= lasts {
            break;
        }
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        let rows = match question {
            Question::ById => client.query(&by_id, &[&sample.id])?,
            Question::ByFilters => {
                let tier = i64::try_from(sample.tier)?;
                client.query(&by_filters, &[&sample.household, &sample.city, &tier])?
            }
        };
        ensure!(!rows.is_empty(), "PostgreSQL has no such profile");
        latencies.push(due.elapsed().as_secs_f64() * 1e3);
    }
    Ok(latencies)
}

/// One of its programs, as a user that it runs as.
fn as_user(program: &str) -> Command {
    let path = Path::new(BINARIES).join(program);
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    if !is_root {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"]).arg(path);
    command
}
