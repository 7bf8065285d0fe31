//! An engine, and tables to ask.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use freshet_query::{
    Encoded, EngineSettings, Format, Parameters, Query, QueryEngine, QueryError, QueryTable, Summary, TableColumn,
    find_tables, parse_select,
};
use futures::StreamExt;
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) struct Shop {
    pub engine: QueryEngine,
    pub tables: Vec<QueryTable>,
    pub limit: usize,
    pub timeout: Duration,
    pub answer_bytes: usize,
    _directory: tempfile::TempDir,
}

pub(crate) fn settings(directory: &tempfile::TempDir) -> EngineSettings {
    EngineSettings {
        threads: 2,
        memory_bytes: 64 << 20,
        spill_directory: directory.path().join("spill"),
        spill_bytes: 256 << 20,
    }
}

pub(crate) fn table(name: &str, columns: Vec<(&str, ArrayRef)>) -> QueryTable {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .unwrap();
    let provider = Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap());
    let columns = shown(&provider.schema());
    QueryTable { name: name.to_owned(), version: None, provider, columns }
}

/// All columns but those that no query shows.
pub(crate) fn shown(schema: &SchemaRef) -> Vec<TableColumn> {
    let fields = schema.fields().iter().filter(|field| !field.name().starts_with('_'));
    fields
        .map(|field| TableColumn { name: field.name().clone(), data_type: field.data_type().clone(), json: false })
        .collect()
}

/// Three orders, and a table whose names have capitals.
pub(crate) fn shop() -> Shop {
    let orders = table(
        "orders",
        vec![
            ("order_id", Arc::new(StringArray::from(vec!["a-1", "a-2", "a-3"]))),
            ("email", Arc::new(StringArray::from(vec![Some("ann@example.com"), Some("bob@example.com"), None]))),
            (
                "revenue",
                Arc::new(
                    Decimal128Array::from(vec![Some(1_010), Some(250_031_563), None])
                        .with_precision_and_scale(18, 2)
                        .unwrap(),
                ),
            ),
            ("quantity", Arc::new(Int64Array::from(vec![Some(1), Some(2), None]))),
            ("rating", Arc::new(Float64Array::from(vec![Some(4.5), Some(0.1), None]))),
            ("gift", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            ("day", Arc::new(Date32Array::from(vec![Some(20_618), Some(0), None]))),
            (
                "ordered_at",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![Some(1_781_396_656_000_001), Some(0), None])
                        .with_timezone("UTC"),
                ),
            ),
            ("_partition", Arc::new(Int64Array::from(vec![7, 7, 7]))),
            ("_offset", Arc::new(Int64Array::from(vec![100, 101, 102]))),
        ],
    );
    let customers = table(
        "Customers",
        vec![
            ("Customer_ID", Arc::new(Int64Array::from(vec![1, 2]))),
            ("Email", Arc::new(StringArray::from(vec!["ann@example.com", "eve@example.com"]))),
            ("name", Arc::new(StringArray::from(vec!["Ann", "Eve"]))),
            ("Name", Arc::new(StringArray::from(vec!["ANN", "EVE"]))),
        ],
    );
    let directory = tempfile::tempdir().unwrap();
    Shop {
        engine: QueryEngine::new(settings(&directory)).unwrap(),
        tables: vec![orders, customers],
        limit: 1_000,
        timeout: Duration::from_secs(20),
        answer_bytes: 8 << 20,
        _directory: directory,
    }
}

impl Shop {
    pub(crate) async fn ask(&self, sql: &str) -> Result<Value, QueryError> {
        self.ask_with(sql, "[]").await
    }

    pub(crate) async fn ask_with(&self, sql: &str, parameters: &str) -> Result<Value, QueryError> {
        let query = self.query(sql, parameters)?;
        let rows = self.engine.start(query, ()).await?;
        let (body, summary) = whole(rows.encode(Format::Json, Some(self.answer_bytes))).await?;
        let body: Value = serde_json::from_slice(&body).expect("the body is JSON");
        assert_eq!(body["rows"].as_array().unwrap().len(), summary.rows);
        assert_eq!(body["row_count"], summary.rows);
        assert_eq!(body["truncated"], summary.truncated);
        Ok(body)
    }

    /// A query over the tables that it names.
    pub(crate) fn query(&self, sql: &str, parameters: &str) -> Result<Query, QueryError> {
        let select = parse_select(sql)?;
        let known: BTreeSet<String> = self.tables.iter().map(|table| table.name.clone()).collect();
        let known = Vec::from_iter(known);
        let named = find_tables(&select, &known)?;
        let is_named = |table: &&QueryTable| named.contains(&(&table.name, table.version));
        let tables = self.tables.iter().filter(is_named).cloned().collect();
        let parameters = Parameters::read(&RawValue::from_string(parameters.to_owned()).unwrap())?;
        let as_of = "2026-06-14T00:24:16Z".parse().unwrap();
        Ok(Query {
            select,
            parameters,
            tables,
            limit: Some(self.limit),
            sorted_by_text: None,
            timeout: self.timeout,
            as_of,
        })
    }

    /// A whole answer in a format.
    pub(crate) async fn answer(&self, sql: &str, format: Format) -> Result<Vec<u8>, QueryError> {
        let rows = self.engine.start(self.query(sql, "[]")?, ()).await?;
        whole(rows.encode(format, Some(self.answer_bytes))).await.map(|(body, _)| body)
    }

    /// The rows of an answer.
    pub(crate) async fn rows(&self, sql: &str) -> Value {
        self.rows_with(sql, "[]").await
    }

    pub(crate) async fn rows_with(&self, sql: &str, parameters: &str) -> Value {
        match self.ask_with(sql, parameters).await {
            Ok(body) => body["rows"].clone(),
            Err(error) => panic!("{sql}: {error}: {error:?}"),
        }
    }

    pub(crate) async fn refusal(&self, sql: &str) -> QueryError {
        self.refusal_with(sql, "[]").await
    }

    pub(crate) async fn refusal_with(&self, sql: &str, parameters: &str) -> QueryError {
        match self.ask_with(sql, parameters).await {
            Ok(body) => panic!("{} was answered: {body}", sql.chars().take(200).collect::<String>()),
            Err(error) => error,
        }
    }
}

/// Takes an answer to its end.
pub(crate) async fn whole(mut answer: Encoded) -> Result<(Vec<u8>, Summary), QueryError> {
    let mut body = Vec::new();
    while let Some(piece) = answer.next().await {
        body.extend_from_slice(&piece?);
    }
    Ok((body, answer.summary().expect("it has ended")))
}
