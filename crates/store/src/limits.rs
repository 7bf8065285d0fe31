//! What both stores refuse before they do any I/O.

use std::collections::HashSet;

use bytes::Bytes;

use crate::{
    BatchWrite, Key, MAX_KEY_BYTES, MAX_TRANSACTION, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES, Query, StoreError, Write,
};

/// A key whose parts are not empty and not too long.
pub(crate) fn check_key(key: &Key) -> Result<(), StoreError> {
    check_key_part("partition key", &key.partition)?;
    check_key_part("sort key", &key.sort)
}

/// A key and the value to put there.
pub(crate) fn check_put(key: &Key, value: &Bytes) -> Result<(), StoreError> {
    check_key(key)?;
    if value.len() > MAX_VALUE_BYTES {
        let length = value.len();
        return Err(refused(format!("a value has {length} bytes, at most {MAX_VALUE_BYTES} are allowed")));
    }
    Ok(())
}

/// A write of a batch.
pub(crate) fn check_batch_write(write: &BatchWrite) -> Result<(), StoreError> {
    match write {
        BatchWrite::Put(key, value) => check_put(key, value),
        BatchWrite::Delete(key) => check_key(key),
    }
}

/// A query whose bounds can be keys and whose page can hold something.
pub(crate) fn check_query(query: &Query) -> Result<(), StoreError> {
    check_key_part("partition key", &query.partition)?;
    check_length("lower bound", &query.from)?;
    if let Some(until) = &query.until {
        check_length("upper bound", until)?;
    }
    if let Some(after) = &query.after {
        check_key_part("sort key to begin after", after)?;
    }
    if query.limit == 0 {
        return Err(refused("a query's limit is 0, the least is 1".to_owned()));
    }
    Ok(())
}

/// A transaction within its limits, of different keys.
pub(crate) fn check_transaction(writes: &[Write]) -> Result<(), StoreError> {
    if writes.len() > MAX_TRANSACTION {
        let count = writes.len();
        return Err(refused(format!("a transaction has {count} writes, at most {MAX_TRANSACTION} are allowed")));
    }
    let mut bytes = 0;
    let mut keys = HashSet::new();
    for write in writes {
        let key = write.key();
        match write {
            Write::Put { value, .. } => {
                check_put(key, value)?;
                bytes += value.len();
            }
            Write::Delete { .. } | Write::Check { .. } => check_key(key)?,
        }
        bytes += key.partition.len() + key.sort.len();
        if !keys.insert(key) {
            let Key { partition, sort } = key;
            return Err(refused(format!("a transaction has two writes of {partition}/{sort}, one a key is allowed")));
        }
    }
    if bytes > MAX_TRANSACTION_BYTES {
        return Err(refused(format!("a transaction has {bytes} bytes, at most {MAX_TRANSACTION_BYTES} are allowed")));
    }
    Ok(())
}

fn check_key_part(name: &str, part: &str) -> Result<(), StoreError> {
    if part.is_empty() {
        return Err(refused(format!("a {name} is empty, it needs at least 1 byte")));
    }
    check_length(name, part)
}

fn check_length(name: &str, part: &str) -> Result<(), StoreError> {
    if part.len() > MAX_KEY_BYTES {
        let length = part.len();
        return Err(refused(format!("a {name} has {length} bytes, at most {MAX_KEY_BYTES} are allowed")));
    }
    Ok(())
}

fn refused(context: String) -> StoreError {
    StoreError::Refused { context, source: None }
}
