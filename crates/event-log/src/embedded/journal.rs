//! The database's journals, looked at while it is closed.
//!
//! Every group of batches is synced before the next one is written, and nothing else is written to the journals. So a
//! crash or a failed write can damage the last group at most, and nobody was told that that one is written: it is cut
//! off, however it is damaged. Damage with a whole batch behind it is damage to what was acknowledged: the log is refused.
//! fjall alone would stop at the first such place and drop what lies behind it.
//!
//! The format is fjall's (version 3): a batch is `1, count: u32, sequence number: u64`, then per row `2, kind: u8,
//! compression: u8, keyspace: u64, key length: u16, value length: u32, stored length: u32, key, stored value` (or `4,
//! keyspace: u64`, which clears a keyspace), then `3, XXH3 of the rows: u64, "FJL", 3`; little-endian. Behind the last
//! batch there are zeros or nothing.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::folder::{io_error, sync_folder};
use crate::Error;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: [u8; 4] = *b"FJL\x03";

/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;
/// Where the newest journal is written anew; left behind by a crash, it means nothing.
const REWRITTEN: &str = "journal.tmp";

/// What a look at the journals found: they are whole up to here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Journals {
    /// The newest journal; none before the database was made.
    newest: Option<PathBuf>,
    /// A journal that ends in something unfinished, and where its last whole batch ends.
    torn: Option<(PathBuf, u64)>,
    /// How many whole batches there are.
    batches: u64,
}

impl Journals {
    /// Reads all journals in `folder`. Fails with [`Error::Damaged`] when something acknowledged cannot be read.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let failed = |error| io_error(folder, "reading the log's journals", error);
        let files = journal_files(folder).map_err(failed)?;
        let mut journals = Self { newest: files.last().cloned(), torn: None, batches: 0 };
        for path in files {
            let found = scan(&path).map_err(failed)?;
            let behind = match (&journals.torn, found.whole_behind) {
                (Some((torn, end)), _) if found.batches > 0 => Some((torn.clone(), *end)),
                (_, true) => Some((path.clone(), found.end)),
                _ => None,
            };
            if let Some((path, end)) = behind {
                let what = format!(
                    "the journal {} is not readable at byte {end}, and acknowledged records lie behind that place",
                    path.display()
                );
                return Err(Error::Damaged { what });
            }
            journals.batches += found.batches;
            if found.is_torn && journals.torn.is_none() {
                journals.torn = Some((path, found.end));
            }
        }
        Ok(journals)
    }

    /// Cuts an unfinished batch off. Nobody may have the database open.
    pub(crate) fn cut(&self) -> io::Result<()> {
        let Some((path, end)) = &self.torn else { return Ok(()) };
        let file = File::options().write(true).open(path)?;
        let bytes = file.metadata()?.len().saturating_sub(*end);
        tracing::warn!(
            journal = %path.display(), at = end, bytes,
            "the log ends in an unfinished batch, which is cut off: nobody was told that it was written"
        );
        file.set_len(*end)?;
        file.sync_all()
    }

    /// Writes the newest journal anew, up to its last whole batch, and syncs that, for a process whose own write or sync
    /// has failed. Two things lie behind the old file that must not reach the new one: bytes in the failed writer's
    /// buffer, which it still writes when it is dropped; and pages whose sync has failed, which the page cache may hold
    /// although the disk doesn't have them.
    pub(crate) fn rewrite_newest(&self, folder: &Path) -> io::Result<()> {
        self.cut()?;
        let Some(newest) = &self.newest else { return Ok(()) };
        let end = scan(newest)?.end;
        let temporary = folder.join(REWRITTEN);
        let copied = (|| {
            let mut file = File::create(&temporary)?;
            let copied = io::copy(&mut File::open(newest)?.take(end), &mut file)?;
            if copied != end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            file.flush()?;
            file.sync_all()?;
            fs::rename(&temporary, newest)?;
            sync_folder(folder)
        })();
        if copied.is_err() {
            // Its room may be just what is missing.
            let _ = fs::remove_file(&temporary);
        }
        copied
    }

    /// Whether anything was ever committed.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches == 0 && self.torn.is_none()
    }
}

/// Bytes of fjall's version marker, which it writes in two steps.
const MARKER_BYTES: u64 = 4;

/// Removes what a creation leaves behind that was cut short before anything could be written: fjall would neither make
/// nor open such a folder.
pub(crate) fn remove_unfinished_creation(folder: &Path) -> Result<(), Error> {
    let failed = |error| io_error(folder, "looking at the log's folder", error);
    let marker = folder.join("version");
    if fs::metadata(&marker).is_ok_and(|marker| marker.len() >= MARKER_BYTES) {
        return Ok(());
    }
    let journals = Journals::read(folder)?;
    let has_tables = fs::read_dir(folder.join("keyspaces")).is_ok_and(|mut entries| entries.next().is_some());
    if has_tables || !journals.is_empty() {
        let what = format!("{} is missing or too short, although the log has records", marker.display());
        return Err(Error::Damaged { what });
    }
    for file in journals.newest.into_iter().chain([marker]) {
        match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(())
}

/// The journals, oldest first.
fn journal_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|name| name.to_str()?.parse::<u64>().ok());
        if let (Some(number), Some("jnl")) = (number, path.extension().and_then(|kind| kind.to_str())) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// What one journal holds.
struct Scan {
    batches: u64,
    /// Where its last whole batch ends.
    end: u64,
    /// Whether anything but zeros lies behind.
    is_torn: bool,
    /// Whether a whole batch lies behind.
    whole_behind: bool,
}

fn scan(path: &Path) -> io::Result<Scan> {
    let mut file = File::open(path)?;
    let mut found = Scan { batches: 0, end: 0, is_torn: false, whole_behind: false };
    let mut last = None;
    {
        let mut reader = Counted { inner: BufReader::with_capacity(READ_BYTES, &mut file), bytes: 0 };
        while let Some(sequence) = read_batch(&mut reader)? {
            found.batches += 1;
            found.end = reader.bytes;
            last = Some(sequence);
        }
    }
    file.seek(SeekFrom::Start(found.end))?;
    let mut rest = Vec::new();
    let mut chunk = vec![0; READ_BYTES];
    // A journal is made with 64 MiB of zeros, and they are not worth the memory.
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Ok(found);
        }
        let zeros = chunk[..count].iter().take_while(|byte| **byte == 0).count();
        if zeros < count {
            found.is_torn = true;
            rest.extend_from_slice(&chunk[zeros..count]);
            file.read_to_end(&mut rest)?;
            found.whole_behind = has_whole_batch(&rest, last);
            return Ok(found);
        }
    }
}

/// Whether a whole batch that is younger than `last` begins anywhere.
fn has_whole_batch(bytes: &[u8], last: Option<u64>) -> bool {
    // The first byte behind a start marker's numbers begins a row: few places are worth a closer look.
    const FIRST_ROW: usize = 1 + 4 + 8;
    bytes.windows(FIRST_ROW + 1).enumerate().any(|(at, window)| {
        window[0] == START
            && matches!(window[FIRST_ROW], ITEM | CLEAR)
            && matches!(read_batch(&mut &bytes[at..]), Ok(Some(sequence)) if last.is_none_or(|last| sequence > last))
    })
}

/// Reads one batch and returns its sequence number; `None` when there is no whole one.
fn read_batch(reader: &mut impl Read) -> io::Result<Option<u64>> {
    match try_read_batch(reader) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        outcome => outcome,
    }
}

fn try_read_batch(reader: &mut impl Read) -> io::Result<Option<u64>> {
    if byte(reader)? != START {
        return Ok(None);
    }
    let (count, sequence) = (u32::from_le_bytes(bytes(reader)?), u64::from_le_bytes(bytes(reader)?));
    let mut hash = Xxh3::new();
    for _ in 0..count {
        if !read_row(reader, &mut hash)? {
            return Ok(None);
        }
    }
    let is_whole = byte(reader)? == END
        && u64::from_le_bytes(bytes(reader)?) == hash.digest()
        && bytes::<4>(reader)? == TRAILER;
    Ok((is_whole && count > 0).then_some(sequence))
}

/// Reads one row into the hash; `false` when there is none.
fn read_row(reader: &mut impl Read, hash: &mut Xxh3) -> io::Result<bool> {
    /// Kind, compression, keyspace, and the three lengths.
    const ITEM_HEAD: usize = 1 + 1 + 8 + 2 + 4 + 4;
    let tag = byte(reader)?;
    hash.update(&[tag]);
    match tag {
        CLEAR => hash.update(&bytes::<8>(reader)?),
        ITEM => {
            let head = bytes::<ITEM_HEAD>(reader)?;
            hash.update(&head);
            let key_bytes = u16::from_le_bytes([head[10], head[11]]);
            let stored_bytes = u32::from_le_bytes([head[16], head[17], head[18], head[19]]);
            let mut left = u64::from(key_bytes) + u64::from(stored_bytes);
            let mut chunk = [0; 8 << 10];
            while left > 0 {
                let part = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                reader.read_exact(&mut chunk[..part])?;
                hash.update(&chunk[..part]);
                left -= part as u64;
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn byte(reader: &mut impl Read) -> io::Result<u8> {
    Ok(bytes::<1>(reader)?[0])
}

fn bytes<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Counts what was read.
struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
