//! Resource files as text.

use freshet_catalog::{MAX_FILE_BYTES, ResourceFile};
use freshet_model::ResourceKind;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use rstest::rstest;
use serde_json::json;

const SHOP: &str = r#"# the shop
tenant = "acme"

[streams.orders]
id = "is-2hzqsgX1E"
description = "Orders of the \"web\" shop"
format = "json"
shards = 1
rate_limit = 5_000

[databases.retail]
tables = [{ name = "big", sql = "SELECT email\nFROM orders" }]
external = [{ name = "Customer360", location = "s3://acme-batch/customer360/", format = "delta" }]

[tables.orders]
stream = "orders"
databases = ["retail"]
key = ["order_id"]
order_by = "at"
merge = "patch"
delete_when = "op = 'D' OR city = 'nowhere'"
start = 2026-06-14T00:00:00Z
columns = [
  { name = "order_id", type = "string" },
  { name = "at", type = "timestamp", required = true },
  { name = "city", type = "string", path = "customer.city" },
]

[queries.orders_of]
database = "retail"
sql = "SELECT * FROM orders WHERE email = $email AND at < $before"
parameters = { email = "string", before = "datetime" }

[indexes.buyers]
id = "buyers-1"
database = "retail"
query = "SELECT email, max(at) AS last FROM orders GROUP BY email"
key = "email"
filters = ["last"]

[activations.sent]
query = "all"
send = "changes"
key = "email"
destination = { type = "webhook", url = "https://hooks.example.com/x", secret = "S", batch = 50 }

[api-keys.web-shop]
scopes = ["streams:write", "profiles:read"]
streams = ["orders"]
indexes = ["buyers"]
"#;

const EXPORTED: &str = r#"tenant = "acme"

[streams.orders]
id = "is-2hzqsgX1E"
description = 'Orders of the "web" shop'
format = "json"
rate_limit = 5000
shards = 1

[databases.retail]
external = [
  { name = "Customer360", location = "s3://acme-batch/customer360", format = "delta" },
]
tables = [
  { name = "big", sql = """
SELECT email
FROM orders""" },
]

[tables.orders]
stream = "orders"
state = "active"
databases = ["retail"]
mode = "upsert"
key = ["order_id"]
order_by = "at"
merge = "patch"
delete_when = "op = 'D' OR city = 'nowhere'"
start = "2026-06-14T00:00:00Z"
columns = [
  { name = "order_id", type = "string" },
  { name = "at", type = "timestamp", required = true },
  { name = "city", type = "string", path = "customer.city" },
]

[queries.orders_of]
database = "retail"
parameters = { before = "timestamp", email = "string" }
sql = "SELECT * FROM orders WHERE email = $email AND at < $before"

[indexes.buyers]
id = "buyers-1"
database = "retail"
key = "email"
filters = ["last"]
refresh = "commit"
query = "SELECT email, max(at) AS last FROM orders GROUP BY email"

[activations.sent]
key = "email"
query = "all"
send = "changes"
destination = { type = "webhook", batch = 50, secret = "S", url = "https://hooks.example.com/x" }

[api-keys.web-shop]
scopes = ["streams:write", "profiles:read"]
indexes = ["buyers"]
streams = ["orders"]
"#;

#[test]
fn a_file_is_read_written_and_read_again() {
    let file = ResourceFile::from_toml(SHOP).unwrap();
    assert_eq!(file.tenant.as_ref().unwrap().as_str(), "acme");
    let kinds: Vec<ResourceKind> = file.resources.keys().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ResourceKind::ALL);
    assert_eq!(file.to_toml(), EXPORTED);
    assert_eq!(ResourceFile::from_toml(EXPORTED).unwrap(), file);
    assert_eq!(ResourceFile::from_json(&file.to_json()).unwrap(), file);
}

#[rstest]
#[case::not_toml("[streams.orders\nid = 1", "line 1, column 16: is not TOML: ")]
#[case::key_twice("[streams.a]\nshards = 1\nshards = 2\n", "line 3, column 1: is not TOML: duplicate key")]
#[case::unknown_kind("[stream.a]\n", "line 1, column 2: stream: unknown field; did you mean \"streams\"?")]
#[case::later_kind(
    "[feeds.a]\n",
    "line 1, column 2: feeds: unknown field; the fields here are tenant, streams, databases, tables, queries, indexes, activations, api-keys"
)]
#[case::unknown_field(
    "[streams.a]\nshard = 2\n",
    "line 2, column 1: streams.a.shard: unknown field; did you mean \"shards\"?"
)]
#[case::wrong_value(
    "[streams.a]\n  shards = 999\n",
    "line 2, column 3: streams.a.shards: expected a whole number from 1 to 256, found 999"
)]
#[case::element(
    "[tables.t]\nstream = \"s\"\nmode = \"append\"\ncolumns = [\n  { name = \"ä\", type = \"json\" },\n]\n",
    "line 5, column 5: tables.t.columns[0].name: \"ä\" is not a column name: 1 to 255 of A-Z, a-z, 0-9 and _"
)]
#[case::after_wide_characters(
    "[tables.t]\nstream = \"s\"\nmode = \"append\"\ncolumns = [{ name = \"a\", path = \"äöü\", type = \"jsn\" }]\n",
    "line 4, column 40: tables.t.columns[0].type: unknown type \"jsn\""
)]
#[case::missing(
    "[streams.a]\n\n[tables.t]\nmode = \"append\"\ncolumns = [{ name = \"a\", type = \"json\" }]\n",
    "line 3, column 9: tables.t.stream: is missing"
)]
#[case::name("[tables.\"or ders\"]\n", "line 1, column 9: tables.or ders: \"or ders\" is not a table name")]
#[case::case_of_names(
    "[streams.a]\n[streams.A]\n",
    "line 1, column 10: streams.a: streams.A is there too; names differ by more than case"
)]
#[case::tenant("tenant = \"Acme\"\n", "line 1, column 1: tenant: \"Acme\" is not a tenant")]
#[case::not_a_table("streams = 1\n", "line 1, column 1: streams: expected resources by name, as [streams.orders]")]
#[case::infinite("[streams.a]\nshards = inf\n", "line 2, column 1: streams.a.shards: expected a whole number")]
#[case::huge(
    "[streams.a]\nshards = 99999999999999999999\n",
    "line 2, column 1: streams.a.shards: expected a whole number"
)]
fn what_is_wrong_is_told_with_line_and_column(#[case] text: &str, #[case] says: &str) {
    let problems = ResourceFile::from_toml(text).unwrap_err();
    assert!(problems.to_string().starts_with(says), "{problems}");
}

#[test]
fn everything_wrong_is_told_at_once_in_the_order_of_the_file() {
    let text = "[streams.a]\nshards = 0\nformat = \"yaml\"\n[api-keys.k]\nscopes = [\"admn\"]\n[databases.d]\nx = 1\n";
    let problems = ResourceFile::from_toml(text).unwrap_err();
    assert_eq!(
        serde_json::to_value(&problems).unwrap(),
        json!([
            {"field": "streams.a.shards", "line": 2, "column": 1, "message": "expected a whole number from 1 to 256, found 0"},
            {"field": "streams.a.format", "line": 3, "column": 1, "message": "\"yaml\" is not a payload format; the formats are json, xml"},
            {"field": "api-keys.k.scopes[0]", "line": 5, "column": 11, "message": "unknown scope \"admn\"; the scopes are streams:write, tables:query, profiles:read, tokens:issue, admin; did you mean \"admin\"?"},
            {"field": "databases.d.x", "line": 7, "column": 1, "message": "unknown field; the fields here are description, external, tables"},
        ])
    );
}

#[test]
fn a_file_has_a_largest_size_and_a_greatest_depth() {
    let refused = ResourceFile::from_toml(&"#".repeat(MAX_FILE_BYTES + 1)).unwrap_err();
    assert!(refused.to_string().contains("at most 4194304 are read"), "{refused}");
    let deep = format!("x = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let refused = ResourceFile::from_toml(&deep).unwrap_err();
    assert!(refused.to_string().contains("is not TOML"), "{refused}");
    let many: Vec<String> = (0..1_001).map(|number| format!("[streams.s{number}]\n")).collect();
    let refused = ResourceFile::from_toml(&many.concat()).unwrap_err();
    assert!(refused.to_string().contains("holds 1001 resources; a tenant has at most 1000"), "{refused}");
}

#[test]
fn files_are_merged_unless_they_contradict() {
    let mut first = ResourceFile::from_toml("tenant = \"acme\"\n[streams.a]\n").unwrap();
    first.merge(ResourceFile::from_toml("[streams.b]\n").unwrap()).unwrap();
    assert_eq!(first.resources.len(), 2);
    let problems = first.merge(ResourceFile::from_toml("tenant = \"other\"\n[streams.A]\n").unwrap()).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "tenant: is other here and acme in another file; streams.A: is in another file too, as streams.a"
    );
}

/// Runs a property over many inputs; a failure prints the seed.
fn check<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> Result<(), TestCaseError>)
where
    S::Value: std::fmt::Debug,
{
    let rng_seed = RngSeed::Fixed(freshet_testkit::seed());
    let config = Config { rng_seed, failure_persistence: None, ..Config::default() };
    if let Err(failure) = TestRunner::new(config).run(strategy, property) {
        panic!("{failure}");
    }
}

#[test]
fn no_text_breaks_the_reader() {
    check(&"[\\[\\]a-z.=\"'{}, \\n0-9#äß]{0,200}", |text| {
        let _either = ResourceFile::from_toml(&text);
        Ok(())
    });
}

#[test]
fn any_description_comes_back() {
    let streams = (".{0,200}", 1_u32..=256, proptest::option::of(1_u32..=1_000));
    check(&streams, |(description, shards, rate_limit)| {
        let stream = json!({"description": description, "shards": shards, "rate_limit": rate_limit});
        let file = ResourceFile::from_json(&json!({"streams": {"s": stream}})).unwrap();
        prop_assert_eq!(ResourceFile::from_toml(&file.to_toml()).unwrap(), file);
        Ok(())
    });
}
