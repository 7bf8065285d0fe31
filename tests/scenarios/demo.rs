//! The demo, as a newcomer runs it.

use std::fs::read_dir;

use serde_json::json;

use crate::deployment::Deployment;
use crate::process::Launch;

#[tokio::test]
async fn the_demo_is_right_and_leaves_nothing_behind() {
    let deployment = Deployment::embedded();
    let temporary = deployment.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let launch = Launch {
        arguments: ["demo", "--json"].map(str::to_owned).to_vec(),
        environment: vec![("TMPDIR".to_owned(), temporary.display().to_string())],
        largest_file_kib: None,
    };
    let figures = launch.run().await.with_status(0).json();
    assert_eq!(figures["right"], true, "{figures}");
    assert_eq!(figures["sent"]["acknowledged"], 69_659);
    assert_eq!(figures["sent_again"]["acknowledged"], 69_659);
    let tables = json!([
        {"table": "purchases", "rows": 69_659, "quantity": 167_881, "amount": "2500315.63", "failed_rows": 0},
        {"table": "latest_purchase", "rows": 23_570, "amount": "767350.98", "failed_rows": 0},
    ]);
    assert_eq!(figures["tables"], tables);
    assert_eq!(figures["tables_again"], tables);
    assert_eq!(read_dir(temporary).unwrap().count(), 0);
}
