//! Where a deployment keeps its tables.

use freshet_model::{ResourceName, TableName, TenantId};

/// Where a tenant's table lies in the files: `tables/<tenant>/<table>`.
#[must_use]
pub fn table_path(tenant: &TenantId, table: &TableName) -> String {
    format!("tables/{tenant}/{table}")
}

/// Where the table of a table's failed rows lies.
#[must_use]
pub fn failed_table_path(tenant: &TenantId, table: &TableName) -> String {
    format!("tables/{tenant}/{}", table.failed())
}

/// Where a table lies that a database makes by SQL: `databases/<tenant>/<database>/<table>`.
#[must_use]
pub fn made_table_path(tenant: &TenantId, database: &ResourceName, table: &TableName) -> String {
    format!("databases/{tenant}/{database}/{table}")
}
