//! Reading the records of a file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use freshet_decode::{BodyForm, SplitLimits, split_records};
use freshet_model::PayloadFormat;
use serde_json::{Map, Value};

use crate::error::CommandError;

/// Largest `.json` file, which is read whole.
const MOST_JSON: u64 = 1 << 30;
/// Longest line of an NDJSON file, and longest document: a record's own limit and some room for blanks.
const LONGEST_LINE: u64 = 2_000_000;

/// The records of a file in the file's order: JSON objects, or one XML document.
pub(crate) type Records = Box<dyn Iterator<Item = Result<Bytes, CommandError>> + Send>;

/// What a file holds.
pub(crate) struct Source {
    pub(crate) records: Records,
    pub(crate) format: PayloadFormat,
}

/// Opens a file of records; its name says what it holds.
///
/// # Errors
/// The file can't be read, or its name ends in nothing known.
pub(crate) fn open(path: &Path) -> Result<Source, CommandError> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let (name, zipped) = name.strip_suffix(".gz").map_or((name.as_str(), false), |name| (name, true));
    let form = name.rsplit('.').next().unwrap_or_default();
    let file = File::open(path).map_err(|source| CommandError::File { path: path.to_owned(), source })?;
    let shown = path.display().to_string();
    let bytes: Box<dyn Read + Send> = if zipped { unzipped(file) } else { Box::new(file) };
    let records = match form {
        "csv" => csv_records(bytes, shown)?,
        "json" => json_records(bytes, &shown)?,
        "ndjson" | "jsonl" => line_records(bytes, shown),
        "xml" => document(bytes, &shown)?,
        _ => {
            return Err(CommandError::Input(format!(
                "{shown}: expected a name that ends in .csv, .json, .ndjson, .jsonl or .xml, each also with .gz"
            )));
        }
    };
    Ok(Source { records, format: if form == "xml" { PayloadFormat::Xml } else { PayloadFormat::Json } })
}

#[expect(clippy::disallowed_types, reason = "a file of the user's own, read line by line and never held whole")]
fn unzipped(file: File) -> Box<dyn Read + Send> {
    Box::new(flate2::read::MultiGzDecoder::new(file))
}

/// The rows of a CSV text with a header, as objects of texts: the table's column types parse them.
///
/// # Errors
/// The header can't be read.
pub(crate) fn csv_records(bytes: impl Read + Send + 'static, shown: String) -> Result<Records, CommandError> {
    let mut reader = csv::ReaderBuilder::new().from_reader(BufReader::new(bytes));
    let header = reader.headers().map_err(|source| CommandError::Input(format!("{shown}: {source}")))?.clone();
    let records = reader.into_records().map(move |row| {
        let row = row.map_err(|source| CommandError::Input(format!("{shown}: {source}")))?;
        let fields = header.iter().zip(&row).map(|(name, value)| (name.to_owned(), Value::from(value)));
        let object: Map<String, Value> = fields.collect();
        Ok(Bytes::from(Value::from(object).to_string()))
    });
    Ok(Box::new(records))
}

fn json_records(bytes: impl Read, shown: &str) -> Result<Records, CommandError> {
    let failed = |reason: String| CommandError::Input(format!("{shown}: {reason}"));
    let mut body = Vec::new();
    bytes.take(MOST_JSON + 1).read_to_end(&mut body).map_err(|source| failed(source.to_string()))?;
    if body.len() as u64 > MOST_JSON {
        return Err(failed("larger than 1 GiB; write an object a line and name it .ndjson".to_owned()));
    }
    let limits = SplitLimits { records: usize::MAX, ..SplitLimits::default() };
    let records =
        split_records(&Bytes::from(body), BodyForm::Json, limits).map_err(|source| failed(source.to_string()))?;
    Ok(Box::new(records.into_iter().map(Ok)))
}

/// An XML file is one document, and one record. The server says what is wrong with it, a length beyond its limit too.
fn document(bytes: impl Read, shown: &str) -> Result<Records, CommandError> {
    let mut document = Vec::new();
    let read = bytes.take(LONGEST_LINE).read_to_end(&mut document);
    read.map_err(|source| CommandError::Input(format!("{shown}: {source}")))?;
    Ok(Box::new(std::iter::once(Ok(Bytes::from(document)))))
}

fn line_records(bytes: impl Read + Send + 'static, shown: String) -> Records {
    let mut reader = BufReader::new(bytes);
    let mut number = 0_u64;
    let lines = std::iter::from_fn(move || {
        loop {
            let mut line = Vec::new();
            number += 1;
            match reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) if line.len() as u64 == LONGEST_LINE => {
                    return Some(Err(CommandError::Input(format!("{shown}: line {number} is longer than 2 MB"))));
                }
                Ok(_) => return Some(Ok(Bytes::copy_from_slice(line.trim_ascii()))),
                Err(source) => return Some(Err(CommandError::Input(format!("{shown}: line {number}: {source}")))),
            }
        }
    });
    Box::new(lines)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("x.csv", "id,city\n1,Oslo\n2,\"A, B\"\n")]
    #[case("x.ndjson", "{\"city\":\"Oslo\",\"id\":\"1\"}\n\n{\"city\":\"A, B\",\"id\":\"2\"}")]
    #[case("x.json", "[{\"city\":\"Oslo\",\"id\":\"1\"},{\"city\":\"A, B\",\"id\":\"2\"}]")]
    fn every_form_gives_the_same_records(#[case] name: &str, #[case] text: &str, #[values(false, true)] zipped: bool) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(if zipped { format!("{name}.gz") } else { name.to_owned() });
        let file = File::create(&path).unwrap();
        if zipped {
            flate2::write::GzEncoder::new(file, flate2::Compression::fast()).write_all(text.as_bytes()).unwrap();
        } else {
            std::fs::write(&path, text).unwrap();
        }
        let records: Vec<Value> =
            open(&path).unwrap().records.map(|record| serde_json::from_slice(&record.unwrap()).unwrap()).collect();
        let expected = [serde_json::json!({"id": "1", "city": "Oslo"}), serde_json::json!({"id": "2", "city": "A, B"})];
        assert_eq!(records, expected);
    }

    #[test]
    fn an_xml_file_is_one_document() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.XML");
        std::fs::write(&path, "<a>\n<b/>\n</a>\n").unwrap();
        let Source { records, format } = open(&path).unwrap();
        assert_eq!(format, PayloadFormat::Xml);
        assert_eq!(records.map(Result::unwrap).collect::<Vec<_>>(), ["<a>\n<b/>\n</a>\n"]);
    }

    #[test]
    fn an_unknown_form_is_refused_with_the_known() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.xlsx");
        std::fs::write(&path, "").unwrap();
        let refused = open(&path).err().unwrap().to_string();
        assert!(refused.contains(".ndjson"), "{refused}");
    }

    #[test]
    fn a_row_of_another_width_names_its_line() {
        let mut rows = csv_records(&b"id,city\n1,Oslo\n2\n"[..], "x.csv".to_owned()).unwrap();
        let wrong = rows.find_map(Result::err).unwrap().to_string();
        assert!(wrong.contains("x.csv") && wrong.contains("line: 3"), "{wrong}");
    }
}
