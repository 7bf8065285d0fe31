//! Refreshes that read no more than what has changed, against the whole query.

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_profile::{IndexRef, ProfileIndexes};
use freshet_runs::{Counts, RunKind, RunState};
use freshet_testkit::seed;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rstest::rstest;
use serde_json::{Value, json};

use crate::faults::{Life, MortalFiles, MortalStore};
use crate::people::{People, Person};
use crate::scene::noon;

const QUERY: &str = "SELECT id, city, tier + 1 AS next_tier, upper(city) AS loud FROM people WHERE tier < 3";

/// So many hours after noon: whoever died before has lost its lease.
fn hour(number: usize) -> Timestamp {
    noon() + SignedDuration::from_hours(i64::try_from(number).unwrap())
}

impl People {
    async fn index(&self, query: &str) -> IndexRef {
        self.scene.index(query, "id", &["city"]).await
    }

    /// Refreshes the index in a process of its own.
    async fn refresh(&self, now: Timestamp) -> Counts {
        let run = self.scene.process().run(&self.scene, RunKind::Indexes, now).await.unwrap();
        assert_eq!(run.state, RunState::Succeeded, "{run:?}");
        run.steps[0].counts.clone()
    }

    /// Holds the profiles against what the query answers.
    async fn check(&self, index: &IndexRef, query: &str, counts: &Counts, at: &str) {
        let rows = self.scene.rows(query).await.unwrap();
        let expected: BTreeMap<String, Value> =
            rows.into_iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row)).collect();
        let profiles = self.scene.profiles(index).await.unwrap();
        let found: BTreeMap<String, Value> =
            profiles.into_iter().map(|(id, attributes)| (id, serde_json::from_str(&attributes).unwrap())).collect();
        assert_eq!(found, expected, "{at}");
        assert_eq!(counts["profiles"], expected.len() as u64, "{at}");
        let indexes = ProfileIndexes::new(Arc::clone(&self.scene.store));
        for city in ["Oslo", "Bergen"] {
            let filter = [("city".to_owned(), city.to_owned())];
            let page = indexes.page(index, &filter, None, 1_000).await.unwrap().value;
            let found: Vec<String> = page.profiles.into_iter().map(|profile| profile.id).collect();
            let lives_there = |(id, row): (&String, &Value)| (row["city"] == city).then(|| id.clone());
            assert_eq!(found, expected.iter().filter_map(lives_there).collect::<Vec<_>>(), "{at}: in {city}");
        }
    }
}

fn is_incremental(counts: &Counts) -> bool {
    counts.contains_key("changed_keys")
}

/// A record of one of a few people, which may come late, delete, or take the person out of the index.
fn person(random: &mut StdRng) -> Person {
    let city = ["Oslo", "Bergen", "Bodø"].get(random.random_range(0..4_usize)).map(|city| (*city).to_owned());
    Person {
        id: format!("p-{}", random.random_range(0..40)),
        seq: random.random_range(0..60),
        city,
        tier: random.random_range(0..5),
        deletes: random.random_range(0..100) < 15,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_refreshed_by_what_changed_is_as_one_that_is_built_whole() {
    let first_seed = seed();
    let mut refreshes = [0; 2];
    for number in 0..8 {
        let seed = first_seed.wrapping_add(number);
        let mut random = StdRng::seed_from_u64(seed);
        let mut people = People::new().await;
        let index = people.index(QUERY).await;
        let mut hours = 0..;
        let mut now = || hour(hours.next().unwrap());
        for step in 0..16 {
            let at = format!("FRESHET_SEED={seed}, step {step}");
            for _ in 0..random.random_range(0..4) {
                match random.random_range(0..12) {
                    0..=8 => {
                        let count = random.random_range(1..8);
                        let records: Vec<Person> = (0..count).map(|_| person(&mut random)).collect();
                        people.write(&records).await;
                    }
                    9 | 10 => people.compact().await,
                    _ => drop(people.drop_a_file().await),
                }
            }
            if random.random_range(0..8) == 0 {
                let life = Life::until(random.random_range(0..25), random.random_range(0..2) == 0);
                let store = Arc::new(MortalStore(Arc::clone(&people.scene.store), Arc::clone(&life)));
                let files = Arc::new(MortalFiles(Arc::clone(&people.scene.files), life));
                drop(people.scene.process_on(store, files).run(&people.scene, RunKind::Indexes, now()).await);
            }
            let counts = people.refresh(now()).await;
            refreshes[usize::from(is_incremental(&counts))] += 1;
            people.check(&index, QUERY, &counts, &at).await;
        }
        // Of another definition, it is built anew from the whole query.
        let before = people.scene.profiles(&index).await.unwrap();
        people.index(&format!("{QUERY} ")).await;
        assert!(!is_incremental(&people.refresh(now()).await));
        assert_eq!(people.scene.profiles(&index).await.unwrap(), before, "FRESHET_SEED={seed}");
    }
    let [whole, incremental] = refreshes;
    assert!(incremental > 30 && whole > 10, "{incremental} by what changed, {whole} whole");
}

/// Twenty people, in two files.
async fn twenty() -> People {
    let mut people = People::new().await;
    for part in 0..2 {
        let records: Vec<Person> = (0..10).map(|id| Person::of(part * 10 + id, 1, "Oslo", 1)).collect();
        people.write(&records).await;
    }
    people
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_were_there_before_are_not_read() {
    let mut people = twenty().await;
    let index = people.index(QUERY).await;
    let counts = people.refresh(hour(0)).await;
    assert!(!is_incremental(&counts) && counts["profiles"] == 20, "{counts:?}");
    let old = people.data_files();
    let gone = Person { deletes: true, ..Person::of(4, 2, "Oslo", 1) };
    people.write(&[Person::of(3, 2, "Bergen", 1), gone]).await;
    people.write(&[Person::of(15, 2, "Oslo", 9), Person::of(30, 1, "Oslo", 1)]).await;
    let away: Vec<_> = old.iter().map(|path| (path.clone(), path.with_extension("away"))).collect();
    for (path, away) in &away {
        std::fs::rename(path, away).unwrap();
    }
    let counts = people.refresh(hour(1)).await;
    let expected = [
        ("rows", 2),
        ("profiles", 19),
        ("written", 2),
        ("unchanged", 0),
        ("removed", 2),
        ("changed_keys", 4),
        ("commits_read", 2),
        ("files_read", 2),
    ];
    for (name, count) in expected {
        assert_eq!(counts[name], count, "{name} of {counts:?}");
    }
    // Nothing has changed since, and the whole query can't be read.
    let counts = people.refresh(hour(2)).await;
    assert_eq!((counts["changed_keys"], counts["files_read"], counts["profiles"]), (0, 0, 19));
    people.index(&format!("{QUERY} ")).await;
    let run = people.scene.process().run(&people.scene, RunKind::Indexes, hour(3)).await.unwrap();
    assert_eq!(run.state, RunState::Failed);
    for (path, away) in &away {
        std::fs::rename(away, path).unwrap();
    }
    let counts = people.refresh(hour(4)).await;
    people.check(&index, QUERY, &counts, "at the end").await;
}

#[rstest]
#[case::plain("SELECT * FROM people", true)]
#[case::nested("WITH p AS (SELECT id AS who, city FROM people WHERE tier > 0) SELECT who AS id, city FROM p", true)]
#[case::now("SELECT id, city FROM people WHERE received_at < now()", false)]
#[case::random("SELECT id, city, random() < 2 AS yes FROM people", false)]
#[case::other_key("SELECT city AS id, max(seq) AS city FROM people GROUP BY city", false)]
#[case::changed_key("SELECT upper(id) AS id, city FROM people", false)]
#[case::key_of_another_name("SELECT city AS id, id AS city FROM people WHERE seq < 0", false)]
#[case::grouped("SELECT id, min(city) AS city FROM people GROUP BY id", false)]
#[case::window("SELECT id, city, count(*) OVER () AS people FROM people", false)]
#[case::limit("SELECT id, city FROM people ORDER BY id LIMIT 5", false)]
#[case::join("SELECT a.id, b.city FROM people a JOIN people b ON a.id = b.id", false)]
#[case::two_tables("SELECT p.id, p.city FROM people p LEFT JOIN orders o ON o.email = p.id", false)]
#[case::subquery("SELECT id, city FROM people WHERE seq = (SELECT max(seq) FROM people WHERE city = 'Oslo')", false)]
#[case::older_version("SELECT id, city FROM people VERSION AS OF 1", false)]
#[case::failed_rows("SELECT CAST(record_index AS VARCHAR) AS id, reason AS city FROM people_failed", false)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_query_depends_on_decides(#[case] query: &str, #[case] by_changes: bool) {
    let mut people = twenty().await;
    let index = people.index(query).await;
    people.refresh(hour(0)).await;
    people.write(&[Person::of(3, 2, "Bergen", 1)]).await;
    let counts = people.refresh(hour(1)).await;
    assert_eq!(is_incremental(&counts), by_changes, "{counts:?}");
    people.check(&index, query, &counts, query).await;
}

#[rstest]
#[case::string("string", ["ö \"x\"", "y", "p"])]
#[case::integer("integer", ["-7", "10", "9"])]
#[case::decimal("decimal(10,2)", ["-7.50", "10.00", "9.99"])]
#[case::date("date", ["1969-12-31", "2026-06-14", "0999-01-01"])]
#[case::boolean("boolean", ["true", "false", "true"])]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_any_type_are_found_again(#[case] id_type: &'static str, #[case] ids: [&str; 3]) {
    let person = |id: &str, seq, city: &str| Person { id: id.to_owned(), ..Person::of("", seq, city, 1) };
    let mut people = People::with_ids(id_type).await;
    let [changed, gone, new] = ids;
    people.write(&[person(changed, 1, "Oslo"), person(gone, 1, "Oslo")]).await;
    let index = people.index("SELECT id, city FROM people").await;
    people.refresh(hour(0)).await;
    let deleted = Person { deletes: true, ..person(gone, 2, "Oslo") };
    people.write(&[person(changed, 2, "Bergen"), deleted, person(new, 2, "Bergen")]).await;
    let counts = people.refresh(hour(1)).await;
    assert_eq!((is_incremental(&counts), counts["removed"]), (true, 1), "{counts:?}");
    let mut found: Vec<String> = people.scene.profiles(&index).await.unwrap().into_iter().map(|(id, _)| id).collect();
    let mut expected = vec![changed.to_owned(), new.to_owned()];
    expected.dedup();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_commit_of_ours_is_found_by_the_whole_query() {
    let mut people = twenty().await;
    let index = people.index(QUERY).await;
    people.refresh(hour(0)).await;
    people.write(&[Person::of(3, 2, "Bergen", 1)]).await;
    people.drop_a_file().await.unwrap();
    let counts = people.refresh(hour(1)).await;
    assert!(!is_incremental(&counts));
    people.check(&index, QUERY, &counts, "after another engine").await;
    // Once commits of ours have come, what changed is told again.
    people.write(&[Person::of(3, 3, "Oslo", 1)]).await;
    assert!(!is_incremental(&people.refresh(hour(2)).await), "another engine's version is none to go on from");
    people.write(&[Person::of(3, 4, "Bergen", 1)]).await;
    let counts = people.refresh(hour(3)).await;
    assert!(is_incremental(&counts));
    people.check(&index, QUERY, &counts, "and of ours").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_cleaned_up_is_made_up_for_by_the_whole_query() {
    let mut people = twenty().await;
    let index = people.index(QUERY).await;
    people.refresh(hour(0)).await;
    let before = people.table().await.version().await.unwrap();
    for seq in 2..8 {
        people.write(&[Person::of(seq, seq, "Bergen", 1)]).await;
    }
    people.compact().await;
    std::fs::remove_file(people.entry(before + 1)).unwrap();
    let counts = people.refresh(hour(1)).await;
    assert!(!is_incremental(&counts));
    people.check(&index, QUERY, &counts, "without its entry").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_that_says_more_is_read_whole() {
    let mut people = twenty().await;
    let query = "SELECT * FROM people";
    let index = people.index(query).await;
    people.refresh(hour(0)).await;
    // A filter more.
    people.scene.index(query, "id", &["city", "tier"]).await;
    assert!(!is_incremental(&people.refresh(hour(1)).await));
    people.index(query).await;
    assert!(!is_incremental(&people.refresh(hour(2)).await), "and one fewer");
    // A column of the table, which the table itself has not been told of yet, and then has.
    people.define(&json!([{"name": "street", "type": "string"}])).await;
    let counts = people.refresh(hour(3)).await;
    assert!(!is_incremental(&counts));
    people.check(&index, query, &counts, "with a column more").await;
    people.write(&[Person::of(3, 2, "Bergen", 1)]).await;
    let counts = people.refresh(hour(4)).await;
    assert!(!is_incremental(&counts));
    people.check(&index, query, &counts, "with it in the table").await;
    people.write(&[Person::of(3, 3, "Oslo", 1)]).await;
    let counts = people.refresh(hour(5)).await;
    assert!(is_incremental(&counts));
    people.check(&index, query, &counts, "as before").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_made_anew_is_read_whole() {
    let mut people = twenty().await;
    let index = people.index(QUERY).await;
    people.refresh(hour(0)).await;
    std::fs::remove_dir_all(people.folder()).unwrap();
    for seq in 1..5 {
        people.write(&[Person::of(seq, seq, "Bergen", 1)]).await;
    }
    let counts = people.refresh(hour(1)).await;
    assert!(!is_incremental(&counts));
    people.check(&index, QUERY, &counts, "made anew").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_comes_to_be_is_read_whole_and_then_by_what_changes() {
    let mut people = People::new().await;
    let index = people.index(QUERY).await;
    for (number, by_changes) in [false, false, true].into_iter().enumerate() {
        let counts = people.refresh(hour(number)).await;
        assert_eq!(is_incremental(&counts), by_changes, "{number}");
        people.check(&index, QUERY, &counts, "from nothing").await;
        people.write(&[Person::of(number, 1, "Oslo", 1)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_was_deleted_and_made_again_is_read_whole() {
    let mut people = twenty().await;
    let index = people.index(QUERY).await;
    people.refresh(hour(0)).await;
    freshet_profile::remove_index(&*people.scene.store, &index, noon()).await.unwrap();
    people.write(&[Person::of(3, 2, "Bergen", 1)]).await;
    let counts = people.refresh(hour(1)).await;
    assert!(!is_incremental(&counts));
    people.check(&index, QUERY, &counts, "made again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_a_day_the_whole_query_is_read() {
    let people = twenty().await;
    people.index(QUERY).await;
    for (hours, by_changes) in [(0, false), (10, true), (23, true), (24, false), (47, true), (48, false)] {
        let run = people.scene.process_at(hour(hours)).run(&people.scene, RunKind::Indexes, hour(hours)).await.unwrap();
        assert_eq!(is_incremental(&run.steps[0].counts), by_changes, "after {hours} h: {run:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_by_what_changed_is_killed_at_every_write() {
    for after in [false, true] {
        let mut deaths = 0;
        for dies_at in 0..100 {
            let at = format!("at {dies_at}");
            let mut people = twenty().await;
            let index = people.index(QUERY).await;
            people.refresh(hour(0)).await;
            let before = people.scene.profiles(&index).await.unwrap();
            let gone = Person { deletes: true, ..Person::of(4, 2, "Oslo", 1) };
            people.write(&[Person::of(3, 2, "Bergen", 1), gone, Person::of(30, 1, "Oslo", 1)]).await;

            let life = Life::until(dies_at, after);
            let store = Arc::new(MortalStore(Arc::clone(&people.scene.store), Arc::clone(&life)));
            let process = people.scene.process_on(store, Arc::clone(&people.scene.files));
            let outcome = process.run(&people.scene, RunKind::Indexes, hour(1)).await;
            let seen = people.scene.profiles(&index).await.unwrap();
            // More has changed when the next one comes.
            people.write(&[Person::of(3, 3, "Bodø", 1), Person::of(5, 2, "Bergen", 1)]).await;
            let counts = people.refresh(hour(2)).await;
            people.check(&index, QUERY, &counts, &at).await;
            let whole = |(id, attributes): &(String, String)| {
                let is_new = id == "p-30" || (id == "p-3" && attributes.contains("Bergen"));
                before.contains(&(id.clone(), attributes.clone())) || is_new
            };
            assert!(seen.iter().all(whole), "{at} a mixture is seen: {seen:?}");
            if !life.has_died() {
                assert_eq!(outcome.unwrap().state, RunState::Succeeded);
                assert!(is_incremental(&counts));
                break;
            }
            deaths += 1;
        }
        assert!((10..100).contains(&deaths), "{deaths}");
    }
}
