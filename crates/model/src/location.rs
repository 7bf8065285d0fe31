//! Where the files of an external table lie, and those that an activation writes.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Longest location, in bytes: what S3 takes as a key.
const MAX_BYTES: usize = 1_024;

/// Where the files of an external table lie: one file, or a folder of them. No part of it is `.`, `..` or empty, and
/// nothing in it is a pattern or an escape, so it means the same to whatever reads it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location(Place);

/// What a [`Location`] names. Paths are parts between single slashes, without one at either end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// `s3://bucket/path`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix, or the object's key.
        path: String,
    },
    /// `file:///path`: on the machine that reads it.
    File {
        /// From the root of its file system.
        path: String,
    },
    /// `path`: among the tenant's own external files, `external/<tenant>/path` of where the deployment keeps its tables.
    Own {
        /// Below that folder.
        path: String,
    },
}

impl Location {
    /// What it names.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.0
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: &str| {
            format!(
                "{why}; a location is s3://bucket/path, file:///path, or a path below the tenant's own files, as customer360"
            )
        };
        if text.len() > MAX_BYTES {
            return Err(wrong("longer than 1,024 bytes"));
        }
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
            if !is_bucket(bucket) {
                return Err(wrong(&format!("{bucket:?} is not a bucket: 3 to 63 of a-z, 0-9, . and -")));
            }
            return Ok(Self(Place::S3 { bucket: bucket.to_owned(), path: checked(path).map_err(|why| wrong(&why))? }));
        }
        if let Some(rest) = text.strip_prefix("file://") {
            let path = rest.strip_prefix('/').ok_or_else(|| wrong("after file:// comes a path from the root"))?;
            return Ok(Self(Place::File { path: checked(path).map_err(|why| wrong(&why))? }));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(wrong(&format!("{scheme}:// is not known here")));
        }
        Ok(Self(Place::Own { path: checked(text).map_err(|why| wrong(&why))? }))
    }
}

fn is_bucket(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    (3..=63).contains(&text.len())
        && text.bytes().all(allowed)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// A path without the slash that may stand at its end.
fn checked(path: &str) -> Result<String, String> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Err("the path is missing".to_owned());
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("a part of {path:?} is empty, . or .."));
    }
    let is_refused = |letter: &char| {
        letter.is_control() || matches!(letter, '\\' | '%' | '?' | '*' | '#' | '[' | ']' | '{' | '}' | '"' | '<' | '>')
    };
    match path.chars().find(is_refused) {
        Some(letter) => Err(format!("{letter:?} can't stand in a path")),
        None => Ok(path.to_owned()),
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::S3 { bucket, path } => write!(f, "s3://{bucket}/{path}"),
            Place::File { path } => write!(f, "file:///{path}"),
            Place::Own { path } => f.write_str(path),
        }
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("s3://acme-batch/customer360", Place::S3 { bucket: "acme-batch".to_owned(), path: "customer360".to_owned() })]
    #[case("s3://acme/a/b.csv", Place::S3 { bucket: "acme".to_owned(), path: "a/b.csv".to_owned() })]
    #[case("file:///srv/batch data/x", Place::File { path: "srv/batch data/x".to_owned() })]
    #[case("batch/day=2026-06-14", Place::Own { path: "batch/day=2026-06-14".to_owned() })]
    fn a_location_is_read_and_shown_alike(#[case] text: &str, #[case] place: Place) {
        let location: Location = text.parse().unwrap();
        assert_eq!(location.place(), &place);
        assert_eq!(location.to_string(), text);
        let with_slash: Location = format!("{text}/").parse().unwrap();
        assert_eq!(with_slash, location);
    }

    #[rstest]
    #[case("", "the path is missing")]
    #[case("s3://acme", "the path is missing")]
    #[case("s3://Acme/x", "is not a bucket")]
    #[case("s3:///x", "is not a bucket")]
    #[case("file://host/x", "from the root")]
    #[case("file:///", "the path is missing")]
    #[case("gs://acme/x", "gs:// is not known here")]
    #[case("/srv/x", "is empty, . or ..")]
    #[case("../other-tenant/x", "is empty, . or ..")]
    #[case("a/../../b", "is empty, . or ..")]
    #[case("s3://acme/a/..", "is empty, . or ..")]
    #[case("a//b", "is empty, . or ..")]
    #[case("%2e%2e/b", "can't stand in a path")]
    #[case("a\\..\\b", "can't stand in a path")]
    #[case("day=*", "can't stand in a path")]
    #[case("a\0", "can't stand in a path")]
    fn a_place_that_could_mean_another_is_refused(#[case] text: &str, #[case] says: &str) {
        let refusal = text.parse::<Location>().unwrap_err();
        assert!(refusal.contains(says) && refusal.contains("a location is"), "{refusal}");
    }
}
