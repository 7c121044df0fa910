//! A disk that can be filled up: a file system in memory, mounted for one test.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A small file system of its own. Dropping it unmounts it.
pub struct SmallDisk {
    folder: TempDir,
    mebibytes: u32,
}

impl SmallDisk {
    /// Mounts one; `None`, with a line that says so, where this user may not mount.
    pub fn mount(mebibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let disk = Self { folder, mebibytes };
        let options = format!("size={mebibytes}m,mode=0777");
        if disk.call("mount", &["-t", "tmpfs", "-o", &options, "millrace-test"]) {
            return Some(disk);
        }
        println!("skipped: a file system in memory can be mounted by root only");
        None
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Fills it until about `free_bytes` are free; 0 until nothing can be written.
    pub fn fill(&self, free_bytes: u64) {
        let mut ballast =
            File::options().create(true).append(true).open(self.ballast()).expect("the disk is writable");
        let mut size = 64 << 10;
        while size > 0 {
            let enough = free_bytes > 0 && self.free_bytes() <= free_bytes;
            if enough || ballast.write_all(&vec![b'x'; size]).is_err() {
                size = if enough { 0 } else { size / 2 };
            }
        }
    }

    /// Takes away what [`SmallDisk::fill`] has put there.
    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).expect("the disk was filled");
    }

    /// Makes it larger.
    pub fn grow(&mut self, mebibytes: u32) {
        self.mebibytes = mebibytes;
        assert!(
            self.call("mount", &["-o", &format!("remount,size={mebibytes}m")]),
            "a mounted disk can grow"
        );
    }

    /// Makes it read-only, or writable again. No file on it may be open for writing.
    pub fn set_read_only(&self, is_read_only: bool) {
        let mode = if is_read_only { "ro" } else { "rw" };
        let options = format!("remount,{mode},size={}m", self.mebibytes);
        assert!(self.call("mount", &["-o", &options]), "it can be mounted again");
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> u64 {
        let disk = nix::sys::statvfs::statvfs(self.path()).expect("it is mounted");
        disk.blocks_available() * disk.fragment_size()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    fn call(&self, program: &str, arguments: &[&str]) -> bool {
        let output = Command::new(program).args(arguments).arg(self.path()).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.call("umount", &["--lazy"]);
    }
}
