//! What the function is not made of.

use std::process::Command;

/// Look-ups are reads of the store. The engine of queries would be most of the function, and Lambda loads all of it at each cold start.
#[test]
fn it_has_no_engine_of_queries_in_it() {
    let cargo = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--package", env!("CARGO_PKG_NAME"), "--edges", "normal,build", "--prefix", "none"])
        .args(["--locked", "--offline"])
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let tree = String::from_utf8(cargo.stdout).unwrap();
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"freshet-profile"), "this is no tree of the function: {tree}");
    let engine: Vec<&&str> =
        names.iter().filter(|name| name.starts_with("datafusion") || name.starts_with("deltalake")).collect();
    assert!(engine.is_empty(), "cargo tree --package {} --invert NAME says why: {engine:?}", env!("CARGO_PKG_NAME"));
}
