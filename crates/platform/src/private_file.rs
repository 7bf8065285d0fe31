//! Files that hold secrets.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Writes a new file that only its owner can read, in directories that only their owner can enter where they
/// had to be made, and syncs it to disk. A file that is there already is left alone.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] where there is one; else what the file system says.
pub fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    // Linked into place when whole: a crash half-way leaves no half a key.
    // The name can't be guessed, so that no one can have put a file or a link of their own there.
    let staged = path.with_extension(format!("{:032x}.new", rand::random::<u128>()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
    file.write_all(contents)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&staged, path);
    std::fs::remove_file(&staged)?;
    linked
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_reads_it_and_it_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys/signing.pem");
        write_private(&path, b"secret").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(write_private(&path, b"other").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"secret");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
