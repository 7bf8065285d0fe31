//! The demo's figures: what the tables must hold, what they hold, and how that is shown.

use serde::Serialize;
use serde_json::{Value, json};

use super::customers::Customers;
use super::visibility::Visible;
use crate::client::Client;
use crate::error::CommandError;
use crate::output::{table, thousands};
use crate::query::Answer;
use crate::sender::SendReport;

/// What a table must hold.
pub(super) struct Expected {
    pub(super) table: &'static str,
    pub(super) rows: u64,
    quantity: Option<u64>,
    amount: &'static str,
}

/// Facts of the data: of all purchases, and of each customer's last one.
pub(super) const EXPECTED: [Expected; 2] = [
    Expected { table: "purchases", rows: 69_659, quantity: Some(167_881), amount: "2500315.63" },
    Expected { table: "latest_purchase", rows: 23_570, quantity: None, amount: "767350.98" },
];

/// Three questions that an analyst would ask first.
const QUESTIONS: [(&str, &str); 3] = [
    (
        "What did the shop sell each quarter?",
        "SELECT concat(date_part('year', date), ' Q', date_part('quarter', date)) AS quarter, count(*) AS purchases, sum(quantity) AS cds, sum(amount) AS dollars\n\
         FROM purchases GROUP BY 1 ORDER BY 1",
    ),
    (
        "Who are its best customers?",
        "SELECT customer_id, count(*) AS purchases, sum(amount) AS dollars, max(date) AS last_purchase\n\
         FROM purchases GROUP BY customer_id ORDER BY dollars DESC LIMIT 3",
    ),
    (
        "How many customers bought last in which year?",
        "SELECT date_part('year', date) AS year, count(*) AS customers, sum(amount) AS dollars\n\
         FROM latest_purchase GROUP BY 1 ORDER BY 1",
    ),
];

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct TableFigures {
    table: &'static str,
    rows: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<u64>,
    /// Dollars, exact.
    amount: String,
    failed_rows: u64,
}

/// A question and its answer.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Asked {
    pub(super) question: &'static str,
    pub(super) sql: &'static str,
    pub(super) answer: Answer,
}

/// Everything that the demo measured.
#[derive(Debug, Clone)]
pub(super) struct DemoReport {
    pub(super) sent: SendReport,
    pub(super) sent_again: SendReport,
    pub(super) tables: Vec<TableFigures>,
    pub(super) tables_again: Vec<TableFigures>,
    pub(super) answers: Vec<Asked>,
    pub(super) visible: Visible,
    pub(super) customers: Customers,
}

pub(super) async fn ask(client: &Client, sql: &str, parameters: &[&str]) -> Result<Answer, CommandError> {
    Answer::of(client, &json!({"database": "shop", "sql": sql, "parameters": parameters})).await
}

/// The one row of a query, its cells as texts.
pub(super) async fn row(client: &Client, sql: &str, parameters: &[&str]) -> Result<Vec<String>, CommandError> {
    let answer = ask(client, sql, parameters).await?;
    let first = answer.texts().next();
    first.ok_or_else(|| CommandError::Failed(format!("no row answers {sql:?}")))
}

/// What both tables hold.
pub(super) async fn tables(client: &Client) -> Result<Vec<TableFigures>, CommandError> {
    let mut found = Vec::new();
    for Expected { table, quantity, .. } in EXPECTED {
        let quantity_sum = if quantity.is_some() { "sum(quantity)" } else { "NULL" };
        let sql = format!(
            "SELECT count(*) AS row_count, {quantity_sum} AS quantity, CAST(sum(amount) AS varchar) AS amount, \
             (SELECT count(*) FROM {table}_failed) AS failed_rows FROM {table}"
        );
        let row = row(client, &sql, &[]).await?;
        let number = |at: usize| row.get(at).and_then(|text| text.parse().ok());
        found.push(TableFigures {
            table,
            rows: number(0).unwrap_or(0),
            quantity: number(1),
            amount: row.get(2).cloned().unwrap_or_default(),
            failed_rows: number(3).unwrap_or(0),
        });
    }
    Ok(found)
}

/// The answers to the three questions.
pub(super) async fn answers(client: &Client) -> Result<Vec<Asked>, CommandError> {
    let mut answers = Vec::new();
    for (question, sql) in QUESTIONS {
        answers.push(Asked { question, sql, answer: ask(client, sql, &[]).await? });
    }
    Ok(answers)
}

/// Every figure that is not what it must be.
fn differences(when: &str, tables: &[TableFigures]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (expected, found) in EXPECTED.iter().zip(tables) {
        let figures = [
            ("rows", found.rows.to_string(), expected.rows.to_string()),
            ("quantity", shown(found.quantity), shown(expected.quantity)),
            ("amount", found.amount.clone(), expected.amount.to_owned()),
            ("failed rows", found.failed_rows.to_string(), "0".to_owned()),
        ];
        for (what, found, must_be) in figures {
            if found != must_be {
                wrong.push(format!("{when}: {what} of {} is {found} and must be {must_be}", expected.table));
            }
        }
    }
    wrong
}

fn shown(number: Option<u64>) -> String {
    number.map(thousands).unwrap_or_default()
}

impl DemoReport {
    fn differences(&self) -> Vec<String> {
        let mut wrong = differences("after the first sending", &self.tables);
        wrong.extend(differences("after the second sending", &self.tables_again));
        wrong.extend(self.customers.differences());
        wrong
    }

    /// Whether every figure is what it must be.
    pub(super) fn verdict(&self) -> Result<(), CommandError> {
        let wrong = self.differences();
        if wrong.is_empty() { Ok(()) } else { Err(CommandError::Failed(wrong.join("\n"))) }
    }

    /// The figures for scripts.
    pub(super) fn figures(&self) -> Value {
        json!({
            "right": self.differences().is_empty(),
            "differences": self.differences(),
            "sent": self.sent,
            "records_per_second": self.sent.rate().round(),
            "acknowledged_to_visible_ms": self.visible,
            "tables": self.tables,
            "answers": self.answers,
            "sent_again": self.sent_again,
            "tables_again": self.tables_again,
            "customers": self.customers,
        })
    }

    /// The figures for people.
    pub(super) fn text(&self) -> String {
        let sendings = [("first", &self.sent), ("again", &self.sent_again)].map(|(name, sent)| {
            vec![
                name.to_owned(),
                thousands(sent.acknowledged),
                format!("{:.1} s", sent.seconds),
                format!("{:.0}", sent.rate()),
            ]
        });
        let holdings = self.tables.iter().zip(&self.tables_again).flat_map(|(first, again)| {
            [("first", first), ("again", again)].map(|(when, table)| {
                vec![
                    table.table.to_owned(),
                    when.to_owned(),
                    thousands(table.rows),
                    shown(table.quantity),
                    table.amount.clone(),
                    thousands(table.failed_rows),
                ]
            })
        });
        let mut text = vec![
            "What was sent".to_owned(),
            table(&["sending", "records", "took", "records/s"], &[1, 2, 3], sendings),
            "\nWhat the tables hold (purchases: every purchase once; latest_purchase: each customer's last)".to_owned(),
            table(&["table", "after sending", "rows", "CDs", "dollars", "failed rows"], &[2, 3, 4, 5], holdings),
        ];
        for asked in self.answers.iter().chain([&self.customers.joined]) {
            text.push(format!("\n{}\n\n{}\n", asked.question, indented(asked.sql)));
            let (header, numbers) = asked.answer.header();
            text.push(table(&header, &numbers, asked.answer.texts()));
        }
        text.push(self.customers.text());
        text.push(format!(
            "\nFrom acknowledged to visible in SQL while sending: p50 {} ms, p99 {} ms.",
            self.visible.p50, self.visible.p99
        ));
        let wrong = self.differences();
        if wrong.is_empty() {
            text.push(
                "Every row count and sum is right, to the cent, and the second sending changed none of them."
                    .to_owned(),
            );
        }
        text.push(NEXT.to_owned());
        text.join("\n")
    }
}

/// What to type next.
const NEXT: &str = "
What to do next:
  freshet demo --keep                                   stay up, to query what is there
  freshet up --apply freshet.example.toml               run Freshet with tables of your own
  freshet send orders orders.ndjson                     send your records
  freshet sql --database retail \"SELECT * FROM orders\"   ask";

fn indented(sql: &str) -> String {
    sql.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
