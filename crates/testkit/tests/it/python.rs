use freshet_testkit::python_script;

#[tokio::test]
async fn every_reader_of_delta_is_installed() {
    let script = r#"
import sys, tempfile
import deltalake, duckdb_delta, polars

with tempfile.TemporaryDirectory() as table:
    deltalake.write_deltalake(table, polars.DataFrame({"quantity": [1, 2, int(sys.argv[1])]}))
    print(duckdb_delta.connect().execute("SELECT sum(quantity) FROM delta_scan(?)", [table]).fetchone()[0])
    print(polars.read_delta(table)["quantity"].sum())
"#;
    assert_eq!(python_script(script, &["39"]).await.unwrap(), "42\n42\n");
}

#[tokio::test]
async fn a_script_that_fails_says_why() {
    let error = python_script("raise SystemExit('out of CDs')", &[]).await.unwrap_err();
    assert!(error.to_string().contains("out of CDs"), "{error}");
}
