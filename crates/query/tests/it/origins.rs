//! Which results come from one table, each row from one row.

use rstest::rstest;

use crate::support::shop;

async fn origins(sql: &str) -> Option<(String, Vec<Option<String>>)> {
    let shop = shop();
    let rows = shop.engine.start(shop.query(sql, "[]").unwrap(), ()).await.unwrap();
    rows.origins.map(|origins| (origins.table, origins.columns))
}

#[rstest]
#[case::star("SELECT * FROM customers", "Customers", &["Customer_ID", "Email", "name", "Name"])]
#[case::renamed("SELECT c.customer_id AS id, c.email FROM customers AS c", "Customers", &["Customer_ID", "Email"])]
#[case::computed("SELECT order_id, -quantity AS n, CAST(order_id AS VARCHAR) AS text, upper(email) FROM orders", "orders", &["order_id", "", "", ""])]
#[case::filtered("SELECT order_id FROM orders WHERE quantity > 1 AND email LIKE '%@example.com' OR order_id IN ('a-1', 'a-2')", "orders", &["order_id"])]
#[case::by_cases("SELECT CASE WHEN gift THEN 'g' ELSE lower(email) END, order_id, email IS NULL, quantity BETWEEN 1 AND 2 FROM orders", "orders", &["", "order_id", "", ""])]
#[case::dates("SELECT order_id, day + INTERVAL '1 day', date_trunc('day', ordered_at), to_char(day, '%Y') FROM orders WHERE ordered_at > '2026-01-01'", "orders", &["order_id", "", "", ""])]
#[case::concatenated("SELECT order_id || email || 'x', round(rating, 1), order_id FROM orders", "orders", &["", "", "order_id"])]
#[case::ordered("SELECT order_id FROM orders ORDER BY quantity", "orders", &["order_id"])]
#[case::nested("WITH o AS (SELECT email AS mail, order_id AS id FROM orders WHERE gift) SELECT o.id, mail FROM (SELECT * FROM o) o", "orders", &["order_id", "email"])]
#[case::swapped("SELECT order_id AS email, email AS order_id FROM orders", "orders", &["order_id", "email"])]
#[case::hidden_behind_another("SELECT order_id FROM (SELECT email AS order_id FROM orders)", "orders", &["email"])]
#[case::hidden_behind_a_computed("SELECT order_id FROM (SELECT upper(order_id) AS order_id FROM orders)", "orders", &[""])]
#[tokio::test]
async fn rows_made_of_one_row_each_have_origins(#[case] sql: &str, #[case] table: &str, #[case] columns: &[&str]) {
    let columns = columns.iter().map(|column| (!column.is_empty()).then(|| (*column).to_owned())).collect();
    assert_eq!(origins(sql).await, Some((table.to_owned(), columns)));
}

#[rstest]
#[case::now("SELECT order_id FROM orders WHERE ordered_at > now() - INTERVAL '30 days'")]
#[case::now_below("SELECT order_id FROM (SELECT order_id, now() AS n FROM orders)")]
#[case::today("SELECT order_id, current_date FROM orders")]
#[case::time("SELECT order_id, current_time FROM orders")]
#[case::today_in_the_order("SELECT order_id FROM orders ORDER BY current_date - day")]
#[case::random("SELECT order_id, random() FROM orders")]
#[case::uuid("SELECT order_id, upper(uuid()) FROM orders")]
#[case::aggregate("SELECT max(order_id) AS order_id FROM orders")]
#[case::grouped("SELECT order_id, count(*) FROM orders GROUP BY order_id")]
#[case::grouped_alone("SELECT order_id FROM orders GROUP BY order_id")]
#[case::distinct("SELECT DISTINCT order_id FROM orders")]
#[case::distinct_on("SELECT DISTINCT ON (email) email, order_id FROM orders ORDER BY email, order_id")]
#[case::window("SELECT order_id, row_number() OVER (ORDER BY order_id) FROM orders")]
#[case::qualified("SELECT order_id FROM orders QUALIFY row_number() OVER (ORDER BY order_id) = 1")]
#[case::limited("SELECT order_id FROM orders LIMIT 10")]
#[case::limited_below("SELECT order_id FROM (SELECT * FROM orders ORDER BY quantity LIMIT 10)")]
#[case::skipped("SELECT order_id FROM orders OFFSET 1")]
#[case::joined("SELECT order_id FROM orders o JOIN customers c ON o.email = c.email")]
#[case::joined_to_itself("SELECT a.order_id FROM orders a JOIN orders b ON a.order_id = b.order_id")]
#[case::two_tables("SELECT order_id FROM orders, customers")]
#[case::union("SELECT order_id FROM orders UNION ALL SELECT order_id FROM orders")]
#[case::intersection("SELECT order_id FROM orders INTERSECT SELECT order_id FROM orders")]
#[case::in_subquery("SELECT order_id FROM orders WHERE email IN (SELECT email FROM customers)")]
#[case::exists("SELECT order_id FROM orders WHERE EXISTS (SELECT 1 FROM customers)")]
#[case::scalar_subquery("SELECT order_id, (SELECT max(quantity) FROM orders) FROM orders")]
#[case::subquery_of_itself("SELECT order_id FROM orders WHERE quantity = (SELECT max(quantity) FROM orders)")]
#[case::unnested("SELECT order_id, unnest(make_array(1, 2)) FROM orders")]
#[case::nothing("SELECT 1 AS order_id")]
#[case::values("SELECT * FROM (VALUES ('a')) AS v (order_id)")]
#[case::made_rows("SELECT value AS order_id FROM generate_series(1, 3)")]
#[case::made_rows_beside_an_unused_table(
    "WITH o AS (SELECT * FROM orders) SELECT value AS order_id FROM generate_series(1, 3)"
)]
#[tokio::test]
async fn rows_that_depend_on_more_have_none(#[case] sql: &str) {
    assert_eq!(origins(sql).await, None);
}
