//! Names ignoring case, and what no name reaches.

use freshet_query::QueryError;
use rstest::rstest;
use serde_json::json;

use crate::support::shop;

#[rstest]
#[case::other_case("SELECT Order_ID FROM Orders WHERE ORDER_ID = 'a-1'", json!(["order_id"]))]
#[case::of_capitals("SELECT customer_id, c.EMAIL FROM customers c WHERE Customer_Id = 1", json!(["Customer_ID", "Email"]))]
#[case::in_quotes("SELECT \"Customer_ID\", \"c\".\"Email\" FROM \"Customers\" c WHERE c.\"Customer_ID\" = 1", json!(["Customer_ID", "Email"]))]
#[case::differing_by_case("SELECT name, \"Name\" FROM customers WHERE name = 'Ann' AND \"Name\" = 'ANN'", json!(["name", "Name"]))]
#[case::through_a_subquery("WITH c AS (SELECT * FROM Customers) SELECT Customer_ID FROM c WHERE C.customer_id = 1", json!(["Customer_ID"]))]
#[case::an_alias_in_quotes("SELECT count(*) AS \"How Many\" FROM customers WHERE customer_id < 2", json!(["How Many"]))]
#[case::joined("SELECT o.Email FROM orders o JOIN customers c ON o.email = c.email", json!(["email"]))]
#[case::joined_using("SELECT Email FROM orders JOIN customers USING (EMAIL)", json!(["email"]))]
#[case::ordered_and_grouped("SELECT Customer_Id FROM Customers GROUP BY CUSTOMER_ID ORDER BY customer_ID LIMIT 1", json!(["Customer_ID"]))]
#[tokio::test]
async fn names_match_whatever_their_case(#[case] sql: &str, #[case] names: serde_json::Value) {
    let body = shop().ask(sql).await.unwrap();
    let shown: Vec<_> = body["columns"].as_array().unwrap().iter().map(|column| column["name"].clone()).collect();
    assert_eq!(json!(shown), names);
    assert_eq!(body["row_count"], 1, "{body}");
}

#[tokio::test]
async fn a_star_shows_each_column_in_its_spelling() {
    let body = shop().ask("SELECT * FROM customers ORDER BY 1").await.unwrap();
    let columns = json!([
        {"name": "Customer_ID", "type": "integer"}, {"name": "Email", "type": "string"},
        {"name": "name", "type": "string"}, {"name": "Name", "type": "string"},
    ]);
    assert_eq!(body["columns"], columns);
    assert_eq!(body["rows"][1], json!([2, "eve@example.com", "Eve", "EVE"]));
}

#[tokio::test]
async fn a_common_table_may_have_the_name_of_a_table() {
    let sql = "WITH orders AS (SELECT order_id FROM orders WHERE quantity = 2) SELECT * FROM orders";
    assert_eq!(shop().rows(sql).await, json!([["a-2"]]));
}

#[rstest]
#[case("SELECT 1 FROM order", "order", "orders")]
#[case("SELECT 1 FROM ordrs", "ordrs", "orders")]
#[case("SELECT 1 FROM \"ORDERS\"", "ORDERS", "orders")]
#[case("SELECT 1 FROM custmers", "custmers", "Customers")]
#[case("SELECT 1 FROM retail.orders", "retail.orders", "orders")]
#[case("SELECT 1 FROM nothing_like_it", "nothing_like_it", "")]
#[case("SELECT 1 FROM information_schema.tables", "information_schema.tables", "")]
#[case("SELECT 1 FROM freshet.database.orders", "freshet.database.orders", "orders")]
#[tokio::test]
async fn an_unknown_table_is_told_with_the_nearest(#[case] sql: &str, #[case] unknown: &str, #[case] near: &str) {
    match shop().refusal(sql).await {
        QueryError::UnknownTable { name, nearest } => {
            assert_eq!((name.as_str(), nearest.unwrap_or_default().as_str()), (unknown, near));
        }
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case("SELECT oder_id FROM orders", "oder_id", "order_id")]
#[case("SELECT o.emial FROM orders o", "emial", "email")]
#[case("SELECT customer_idd FROM customers", "customer_idd", "Customer_ID")]
#[case("SELECT 1 FROM orders WHERE zzz = 1", "zzz", "")]
#[case("SELECT 1 FROM orders GROUP BY quantty", "quantty", "quantity")]
#[case("SELECT 1 FROM orders o JOIN customers c ON o.emails = c.email", "emails", "email")]
#[tokio::test]
async fn an_unknown_column_is_told_with_the_nearest(#[case] sql: &str, #[case] unknown: &str, #[case] near: &str) {
    match shop().refusal(sql).await {
        QueryError::UnknownColumn { name, nearest } => {
            assert_eq!((name.as_str(), nearest.unwrap_or_default().as_str()), (unknown, near));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_column_of_two_tables_must_say_of_which() {
    let refusal = shop().refusal("SELECT email FROM orders, customers").await;
    assert_eq!(
        refusal.to_string(),
        "column \"email\" is in more than one table: write the table's name or alias before it"
    );
}

#[rstest]
#[case("SELECT _offset FROM orders")]
#[case("SELECT \"_offset\" FROM orders")]
#[case("SELECT orders._Partition FROM orders")]
#[case("SELECT 1 FROM orders WHERE _offset = 100")]
#[case("SELECT 1 FROM orders ORDER BY _offset")]
#[case("SELECT 1 FROM orders GROUP BY _partition")]
#[case("SELECT max(o._offset) FROM orders o")]
#[case("SELECT * EXCEPT (_offset) FROM orders")]
#[case("SELECT 1 FROM orders a JOIN orders b USING (_offset)")]
#[case("WITH o AS (SELECT * FROM orders) SELECT _offset FROM o")]
#[case("SELECT 1 FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o._offset = c.customer_id)")]
#[case("SELECT row_number() OVER (ORDER BY _offset) FROM orders")]
#[tokio::test]
async fn hidden_columns_can_not_be_reached(#[case] sql: &str) {
    let refusal = shop().refusal(sql).await;
    let told =
        refusal.to_string().replace("unknown column \"_offset\"", "").replace("unknown column \"_partition\"", "");
    assert!(matches!(refusal, QueryError::UnknownColumn { .. } | QueryError::Invalid { .. }), "{refusal:?}");
    // What is told of it is what was asked for, never what there is.
    assert!(!told.contains("did you mean"), "{told}");
}

#[rstest]
#[case("SELECT * FROM orders")]
#[case("SELECT o.* FROM orders o JOIN customers c ON o.email = c.email")]
#[case("SELECT * FROM (SELECT * FROM orders) o")]
#[case("SELECT * FROM orders NATURAL JOIN customers")]
#[case("SELECT * FROM orders UNION ALL SELECT * FROM orders")]
#[case("SELECT struct(orders.*) FROM orders")]
#[case("SELECT to_json(orders) FROM orders")]
#[case("SELECT orders FROM orders")]
#[tokio::test]
async fn hidden_columns_are_not_in_a_star(#[case] sql: &str) {
    let told = match shop().ask(sql).await {
        Ok(body) => body.to_string(),
        Err(error) => error.to_string(),
    };
    assert!(!told.contains("_offset") && !told.contains("_partition"), "{told}");
    assert!(!told.contains("101"), "{told}");
}
