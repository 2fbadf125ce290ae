//! A small disk of a test's own, to be filled. Unmounted on drop. Needs the right to mount: without it tests fail, and say so.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted tmpfs.
pub(crate) struct Tmpfs {
    folder: TempDir,
}

impl Tmpfs {
    /// One of so many MiB.
    pub(crate) fn mount(mebibytes: u32) -> Tmpfs {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={mebibytes}m"),
                "ninewatch-test",
            ])
            .arg(folder.path())
            .output()
            .expect("mount(8) is everywhere");
        assert!(
            output.status.success(),
            "cannot mount a small tmpfs: {}; run this test as root, in a container with --cap-add SYS_ADMIN",
            String::from_utf8_lossy(&output.stderr)
        );
        Tmpfs { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Another program fills what is left.
    pub(crate) fn fill(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.filler())
            .expect("a file can be made");
        for size in [1 << 20, 1 << 12, 1] {
            while file.write(&vec![0xEE; size]).is_ok_and(|written| written > 0) {}
        }
    }

    /// It goes away.
    pub(crate) fn empty(&self) {
        fs::remove_file(self.filler()).expect("it was filled");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("another-program.log")
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: what still holds a file of it lets go of it later.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
