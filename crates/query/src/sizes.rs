//! How many bytes values come to where each row has its own: in memory, rows may share them.

use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::common::ScalarValue;
use datafusion::error::Result;

/// The bytes of a constant's text or elements.
pub(crate) fn bytes_of_constant(value: &ScalarValue) -> Result<u64> {
    match value.try_as_str() {
        Some(text) => Ok(text.map_or(0, |text| text.len() as u64)),
        None if value.data_type().is_nested() || value.data_type().is_binary() => Ok(bytes_of(&value.to_array()?)?),
        None => Ok(value.data_type().primitive_width().unwrap_or(16) as u64),
    }
}

/// The bytes of all rows' values.
pub(crate) fn bytes_of(values: &ArrayRef) -> Result<u64, ArrowError> {
    Ok(row_bytes(values)?.into_iter().fold(0, u64::saturating_add))
}

/// The bytes of each row's value.
pub(crate) fn row_bytes(values: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    let rows = values.len();
    Ok(match values.data_type() {
        DataType::Null => vec![0; rows],
        DataType::Boolean => vec![1; rows],
        text if text.is_string() => {
            let texts = cast(values, &DataType::Utf8View)?;
            texts.as_string_view().iter().map(|text| text.map_or(0, |text| text.len() as u64)).collect()
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let binary = cast(values, &DataType::BinaryView)?;
            binary.as_binary_view().iter().map(|bytes| bytes.map_or(0, |bytes| bytes.len() as u64)).collect()
        }
        DataType::List(_) => {
            let lists = values.as_list::<i32>();
            bytes_of_elements(lists.offsets(), lists.values())?
        }
        DataType::LargeList(_) => {
            let lists = values.as_list::<i64>();
            bytes_of_elements(lists.offsets(), lists.values())?
        }
        DataType::Map(..) => {
            let maps = values.as_map();
            let entries: ArrayRef = std::sync::Arc::new(maps.entries().clone());
            bytes_of_elements(maps.offsets(), &entries)?
        }
        DataType::Struct(_) => {
            let mut bytes = vec![0_u64; rows];
            for column in values.as_struct().columns() {
                add(&mut bytes, row_bytes(column)?);
            }
            bytes
        }
        DataType::Dictionary(..) => {
            let dictionary = values.as_any_dictionary();
            let of_values = row_bytes(dictionary.values())?;
            if of_values.is_empty() {
                return Ok(vec![0; rows]);
            }
            dictionary.normalized_keys().into_iter().map(|key| of_values.get(key).copied().unwrap_or(0)).collect()
        }
        plain if plain.primitive_width().is_some() => vec![plain.primitive_width().unwrap_or(16) as u64; rows],
        _ => {
            // Of other types, what it comes to on average.
            let all = values.to_data().get_slice_memory_size()?;
            vec![all.div_ceil(rows.max(1)) as u64; rows]
        }
    })
}

/// Adds to the bytes of each row.
pub(crate) fn add(bytes: &mut [u64], more: Vec<u64>) {
    for (sum, of_row) in bytes.iter_mut().zip(more) {
        *sum = sum.saturating_add(of_row);
    }
}

/// For each list the bytes of its elements, and one for each.
fn bytes_of_elements<O: OffsetSizeTrait>(offsets: &[O], elements: &ArrayRef) -> Result<Vec<u64>, ArrowError> {
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return Ok(Vec::new()) };
    let (first, last) = (first.as_usize(), last.as_usize());
    let mut up_to = Vec::with_capacity(last - first + 1);
    let mut sum = 0_u64;
    up_to.push(sum);
    for bytes in row_bytes(&elements.slice(first, last - first))? {
        sum = sum.saturating_add(bytes).saturating_add(1);
        up_to.push(sum);
    }
    let at = |offset: &O| up_to.get(offset.as_usize() - first).copied().unwrap_or(sum);
    Ok(offsets.iter().zip(offsets.iter().skip(1)).map(|(from, to)| at(to) - at(from)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{DictionaryArray, Int64Array, ListArray, StringArray, StringViewArray, StructArray};
    use arrow::datatypes::{Field, Int32Type, Int64Type};

    use super::*;

    #[test]
    fn each_row_has_what_it_shares_with_others() {
        let views: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a text of some bytes"), Some("b"), None]));
        let taken = arrow::compute::take(&views, &Int64Array::from(vec![0, 0, 1, 2]), None).unwrap();
        assert_eq!(row_bytes(&taken).unwrap(), [20, 20, 1, 0]);
        let dictionary: ArrayRef =
            Arc::new(vec!["four", "four", "a"].into_iter().collect::<DictionaryArray<Int32Type>>());
        assert_eq!(row_bytes(&dictionary).unwrap(), [4, 4, 1]);
    }

    #[test]
    fn nested_values_count_what_is_in_them() {
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), Some(2)]),
            None,
            Some(vec![]),
            Some(vec![Some(3)]),
        ]);
        assert_eq!(row_bytes(&(Arc::new(lists.clone()) as ArrayRef)).unwrap(), [18, 0, 0, 9]);
        assert_eq!(row_bytes(&(Arc::new(lists.slice(2, 2)) as ArrayRef)).unwrap(), [0, 9]);
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["four", "x"]));
        let field = Arc::new(Field::new("t", DataType::Utf8, true));
        let structs: ArrayRef =
            Arc::new(StructArray::from(vec![(Arc::clone(&field), Arc::clone(&texts)), (field, texts)]));
        assert_eq!(row_bytes(&structs).unwrap(), [8, 2]);
    }
}
