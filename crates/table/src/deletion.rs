//! Deletion vectors: which rows of a data file are dead.
//!
//! The format is the Delta protocol's ("Deletion Vector Format"): a 64-bit Roaring bitmap of row positions, stored in
//! the log or in a `.bin` file that many vectors share.

use bytes::Bytes;
use delta_kernel::actions::deletion_vector_writer::{DeletionVector, StreamingDeletionVectorWriter};
use deltalake_core::kernel::{DeletionVectorDescriptor, StorageType};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use roaring::RoaringTreemap;
use uuid::Uuid;

use crate::TableError;

/// First bytes of a vector, little endian, by the protocol.
const MAGIC: u32 = 1_681_511_377;
/// Characters of the encoded identity at the end of a relative path.
const ENCODED_UUID: usize = 20;
/// Bytes of the lengths and checksums around numbers of 32 bits.
const WORD: usize = 4;
/// Largest vector that is read: 256 MB say that more rows are dead than a file of ours can have.
const MAX_BYTES: u64 = 256 << 20;

/// A file of deletion vectors that is yet to be put.
pub(crate) struct VectorFile {
    /// Where it is put, in the table.
    pub(crate) path: Path,
    /// Its content.
    pub(crate) bytes: Bytes,
    /// What the log says of each vector, in the order that they were given in.
    pub(crate) descriptors: Vec<DeletionVectorDescriptor>,
}

/// Puts vectors into one file.
pub(crate) fn encode(vectors: &[&RoaringTreemap]) -> Result<VectorFile, TableError> {
    let failed = |error: delta_kernel::Error| TableError::Engine {
        context: "encoding deletion vectors".to_owned(),
        source: error.into(),
    };
    let id = Uuid::new_v4();
    let mut bytes = Vec::new();
    let mut descriptors = Vec::with_capacity(vectors.len());
    let mut writer = StreamingDeletionVectorWriter::new(&mut bytes);
    for vector in vectors {
        let written = writer.write_deletion_vector(Positions(vector)).map_err(failed)?;
        descriptors.push(DeletionVectorDescriptor {
            storage_type: StorageType::UuidRelativePath,
            path_or_inline_dv: z85::encode(id.as_bytes()),
            offset: Some(written.offset),
            size_in_bytes: written.size_in_bytes,
            cardinality: written.cardinality,
        });
    }
    writer.finalize().map_err(failed)?;
    Ok(VectorFile { path: file_path("", &id), bytes: bytes.into(), descriptors })
}

/// Reads the vector that a file of the table at `table` has.
pub(crate) async fn read(
    files: &dyn ObjectStore,
    table: &str,
    descriptor: &DeletionVectorDescriptor,
) -> Result<RoaringTreemap, TableError> {
    let context = || format!("reading a deletion vector of table {table}");
    let corrupt = |what: &str| TableError::Corrupt { context: context(), source: what.into() };
    let size = u64::try_from(descriptor.size_in_bytes).map_err(|_| corrupt("its size is negative"))?;
    if size > MAX_BYTES {
        return Err(corrupt("it is larger than any table needs"));
    }
    let vector = match path(descriptor)? {
        None => z85::decode(&descriptor.path_or_inline_dv).map(Bytes::from).map_err(|_| corrupt("it is not Z85"))?,
        Some(path) => {
            let start = u64::try_from(descriptor.offset.unwrap_or(1)).map_err(|_| corrupt("its offset is negative"))?;
            let end = start + size + 2 * WORD as u64;
            let bytes = files.get_range(&path, start..end).await;
            let bytes = bytes.map_err(|source| TableError::of_named_file(context(), source))?;
            checked(&bytes, size).ok_or_else(|| corrupt("its length or its checksum is wrong"))?
        }
    };
    let bitmap = vector.split_at_checked(WORD).filter(|(magic, _)| *magic == MAGIC.to_le_bytes());
    let (_, bitmap) = bitmap.ok_or_else(|| corrupt("it has another format"))?;
    let rows = RoaringTreemap::deserialize_from(bitmap)
        .map_err(|error| TableError::Corrupt { context: context(), source: error.into() })?;
    if i64::try_from(rows.len()) != Ok(descriptor.cardinality) {
        return Err(corrupt("it has another number of rows than the log says"));
    }
    Ok(rows)
}

/// The file that a vector lies in; none: it lies in the log.
pub(crate) fn path(descriptor: &DeletionVectorDescriptor) -> Result<Option<Path>, TableError> {
    let unsupported = |what: &str| TableError::Unsupported {
        context: "finding a deletion vector".to_owned(),
        source: what.to_owned().into(),
    };
    match descriptor.storage_type {
        StorageType::Inline => Ok(None),
        StorageType::UuidRelativePath => {
            let name = &descriptor.path_or_inline_dv;
            let split = name.len().checked_sub(ENCODED_UUID).and_then(|at| name.split_at_checked(at));
            let id = split.and_then(|(prefix, encoded)| {
                let id = Uuid::from_slice(&z85::decode(encoded).ok()?).ok()?;
                Some((prefix, id))
            });
            let (prefix, id) = id.ok_or_else(|| unsupported("its path is not one"))?;
            Ok(Some(file_path(prefix, &id)))
        }
        StorageType::AbsolutePath => Err(unsupported("deletion vectors at absolute paths")),
    }
}

fn file_path(prefix: &str, id: &Uuid) -> Path {
    let name = format!("deletion_vector_{id}.bin");
    if prefix.is_empty() { Path::from(name) } else { Path::from_iter([prefix, &name]) }
}

/// What lies between a length and a checksum, if both are right.
fn checked(bytes: &Bytes, size: u64) -> Option<Bytes> {
    let end = bytes.len().checked_sub(WORD)?;
    let vector = (end >= WORD).then(|| bytes.slice(WORD..end))?;
    let length = u32::from_be_bytes(bytes.get(..WORD)?.try_into().ok()?);
    let checksum = u32::from_be_bytes(bytes.get(end..)?.try_into().ok()?);
    (u64::from(length) == size && vector.len() as u64 == size && crc32fast::hash(&vector) == checksum).then_some(vector)
}

/// A bitmap as the kernel's writer takes it.
struct Positions<'a>(&'a RoaringTreemap);

impl<'a> DeletionVector for Positions<'a> {
    type IndexIterator = roaring::treemap::Iter<'a>;

    fn into_iter(self) -> Self::IndexIterator {
        self.0.iter()
    }

    fn cardinality(&self) -> u64 {
        self.0.len()
    }

    fn serialize(self) -> delta_kernel::DeltaResult<Bytes> {
        let mut bytes = Vec::with_capacity(self.0.serialized_size());
        self.0.serialize_into(&mut bytes).map_err(|error| delta_kernel::Error::DeletionVector(error.to_string()))?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn vectors_of_one_file_come_back_each_as_it_was() {
        let files = InMemory::new();
        let vectors: [RoaringTreemap; 3] = [
            [1, 5, 70_000].into_iter().collect(),
            (0..10_000).collect(),
            [u64::from(u32::MAX) + 7].into_iter().collect(),
        ];
        let encoded = encode(&vectors.iter().collect::<Vec<_>>()).unwrap();
        files.put(&encoded.path, encoded.bytes.into()).await.unwrap();
        for (vector, descriptor) in vectors.iter().zip(&encoded.descriptors) {
            assert_eq!(read(&files, "orders", descriptor).await.unwrap(), *vector);
        }
    }

    #[tokio::test]
    async fn a_vector_that_was_torn_is_damage() {
        let files = InMemory::new();
        let encoded = encode(&[&(0..100).collect()]).unwrap();
        let mut bytes = encoded.bytes.to_vec();
        bytes[40] ^= 1;
        files.put(&encoded.path, bytes.into()).await.unwrap();
        let error = read(&files, "orders", &encoded.descriptors[0]).await.unwrap_err();
        assert!(matches!(error, TableError::Corrupt { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_vector_in_the_log_is_read() {
        let vector: RoaringTreemap = [3, 4, 7, 11, 18, 29].into_iter().collect();
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        vector.serialize_into(&mut bytes).unwrap();
        let size = bytes.len();
        bytes.resize(size.next_multiple_of(4), 0);
        let descriptor = DeletionVectorDescriptor {
            storage_type: StorageType::Inline,
            path_or_inline_dv: z85::encode(&bytes),
            offset: None,
            size_in_bytes: i32::try_from(size).unwrap(),
            cardinality: 6,
        };
        assert_eq!(read(&InMemory::new(), "orders", &descriptor).await.unwrap(), vector);
    }
}
