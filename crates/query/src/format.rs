//! The formats that a result may be written in.

/// A format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// One object: `{"columns":[{"name","type"}], "rows":[[…]], "row_count", "truncated", "as_of", "statistics"}`.
    Json,
    /// One JSON object a line and row, the columns' names its keys.
    NdJson,
    /// RFC 4180: a row of names, then the rows, lines ended by CR LF.
    Csv,
    /// Arrow's IPC streaming format.
    ArrowStream,
    /// A Parquet file, compressed with Zstandard.
    Parquet,
}

impl Format {
    /// Every format; the first is the one of those who ask for none.
    pub const ALL: [Self; 5] = [Self::Json, Self::NdJson, Self::Csv, Self::ArrowStream, Self::Parquet];

    /// Its media type, without parameters.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::NdJson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::ArrowStream => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// What a `Content-Type` says of it.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            other => other.media_type(),
        }
    }

    /// Whether its first rows are of use before its last are made.
    #[must_use]
    pub fn is_streamed(self) -> bool {
        match self {
            Self::NdJson | Self::Csv | Self::ArrowStream => true,
            Self::Json | Self::Parquet => false,
        }
    }
}
