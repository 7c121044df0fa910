//! The log's folder: made durably, owned by one process, and its errors told apart.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Error;

/// The file whose lock makes the folder ours. fjall has a lock of its own, but gives it back whenever its database is
/// closed, and the journals are looked at, and mended, while it is.
const LOCK_FILE: &str = "owner.lock";
/// A process that is just ending still holds the lock: how often, and after which pause, it is asked for again.
const LOCK_ATTEMPTS: u32 = 3;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// The folder, ours until this is dropped.
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder when there is none, and takes possession of it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        make_durably(path).map_err(|error| io_error(path, "making the log's folder", error))?;
        let file = path.join(LOCK_FILE);
        let lock = File::options().create(true).truncate(false).write(true).open(file);
        let lock = lock.map_err(|error| io_error(path, "locking the log's folder", error))?;
        for attempt in 1.. {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < LOCK_ATTEMPTS => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => return Err(Error::FolderLocked { path: path.to_owned() }),
                Err(TryLockError::Error(error)) => {
                    return Err(io_error(path, "locking the log's folder", error));
                }
            }
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a folder and whatever is missing above it; when it returns, their names survive a power cut.
fn make_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return fs::create_dir(path),
    };
    make_durably(parent)?;
    match fs::create_dir(path) {
        // Another process was faster; the lock decides between the two.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| sync_folder(parent)),
    }
}

/// Makes the names in a folder durable: syncing a file does not sync its name.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// An error of the file system, told apart where something can be done about it.
pub(crate) fn io_error(path: &Path, what: &'static str, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            Error::ReadOnly { path: path.to_owned(), source: error.into() }
        }
        _ => Error::backend(what, error),
    }
}

/// The kind of the file system's error behind an error, if there is one.
pub(crate) fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let links = std::iter::successors(Some(error), |link| link.source());
    links.filter_map(|link| link.downcast_ref::<io::Error>()).map(io::Error::kind).next()
}

/// Whether the error says that the disk, or this user's share of it, is full.
pub(crate) fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(io_kind(error), Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_folders_are_made_and_a_second_owner_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/log");
        let folder = Folder::open(&path).unwrap();
        assert!(folder.path().is_dir());
        assert!(matches!(Folder::open(&path), Err(Error::FolderLocked { .. })));
        drop(folder);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn a_full_disk_is_recognised_through_the_errors_around_it() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert!(is_disk_full(&Error::backend("writing", fjall::Error::Io(full()))));
        assert!(is_disk_full(&fjall::Error::Storage(fjall::LsmError::from(full()))));
        assert!(!is_disk_full(&Error::backend("writing", io::Error::other("broken"))));
        assert!(!is_disk_full(&Error::Reopening));
    }
}
