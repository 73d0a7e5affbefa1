//! Crash images, failing file systems, and real folders.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::prelude::v1::*;
use std::process::Command;
use std::string::ToString;
use std::time::SystemTime;
use std::{eprintln, vec};

use super::super::testing::Mount;
use super::*;

const OLDER: &[u8] = b"the state before the old one";
const LAST: &[u8] = b"the old state";
const NEXT: &[u8] = b"the new state, which is longer";

/// A folder in memory that fails from one step on; the write that fails leaves a beginning of its bytes.
#[derive(Clone, Default)]
struct Memory {
    files: BTreeMap<String, Vec<u8>>,
    steps: usize,
    torn: usize,
    error: Option<io::ErrorKind>,
}

impl Memory {
    fn step(&mut self) -> io::Result<()> {
        match (self.steps.checked_sub(1), self.error) {
            (Some(left), _) => {
                self.steps = left;
                Ok(())
            }
            (None, Some(kind)) => Err(kind.into()),
            (None, None) => Err(io::Error::other("the machine is off")),
        }
    }
}

impl Files for Memory {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.files.get(name).cloned())
    }

    fn modified(&self, _: &str) -> io::Result<SystemTime> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let done = self.step();
        let durable = if done.is_ok() { bytes } else { &bytes[..self.torn.min(bytes.len())] };
        self.files.insert(name.to_owned(), durable.to_vec());
        done
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.step()?;
        if let Some(bytes) = self.files.remove(from) {
            self.files.insert(to.to_owned(), bytes);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.step()?;
        self.files.remove(name);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.step()
    }
}

const ALWAYS: usize = usize::MAX;

/// A folder with two states in it.
fn used() -> Folder<Memory> {
    let mut folder = Folder(Memory { steps: ALWAYS, ..Memory::default() });
    folder.store(OLDER).unwrap();
    folder.store(LAST).unwrap();
    folder
}

/// What a program finds that opens the folder now.
fn opened(memory: Memory) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let folder = Folder::over(Memory { steps: ALWAYS, ..memory }).unwrap();
    assert_eq!(folder.0.read(NEW).unwrap(), None, "what a crash left is still there");
    (folder.state(Generation::Last).unwrap(), folder.state(Generation::Before).unwrap())
}

#[test]
fn a_crash_at_any_step_and_byte_leaves_the_old_or_the_new_state() {
    let (last, next) = (Some(LAST.to_vec()), Some(NEXT.to_vec()));
    let mut ends = Vec::new();
    for steps in 0..=5 {
        for torn in 0..=NEXT.len() {
            let mut folder = used();
            folder.0 = Memory { steps, torn, ..folder.0 };
            let stored = folder.store(NEXT).is_ok();
            let found = opened(folder.0);
            let good =
                [(last.clone(), Some(OLDER.to_vec())), (None, last.clone()), (next.clone(), last.clone())];
            assert!(good.contains(&found), "{steps} {torn}: {found:?}");
            assert!(!stored || found.0 == next, "a commit that was durable is lost: {steps} {torn}");
            ends.push(found);
        }
    }
    // Both outcomes were met, and the moment between.
    assert!(ends.iter().any(|found| found.0 == next) && ends.iter().any(|found| found.0.is_none()));
}

/// Whatever breaks off, the last state or the new one is there, and no other once the new one is.
#[test]
fn a_state_stored_alone_leaves_no_other_behind() {
    let mut ends = Vec::new();
    for (steps, only_old) in (0..20).flat_map(|steps| [(steps, false), (steps, true)]) {
        let mut folder = used();
        folder.store(b"damaged").unwrap();
        folder.keep_aside(Generation::Last).unwrap();
        if !only_old {
            folder.store(LAST).unwrap();
        }
        folder.0.steps = steps;
        let stored = folder.store_alone(NEXT).is_ok();
        let (last, before) = opened(folder.0.clone());
        let found = last.or(before).unwrap();
        assert!(found == LAST || found == NEXT, "{steps}");
        assert!(!stored || found == NEXT, "{steps}");
        if found == NEXT {
            assert_eq!(folder.0.files.into_iter().collect::<Vec<_>>(), [(STATE.to_owned(), NEXT.to_vec())]);
        }
        ends.push(stored);
    }
    assert!(ends.contains(&true) && ends.contains(&false));
}

#[test]
fn a_store_that_failed_is_made_good_by_the_next() {
    for steps in 0..4 {
        let mut folder = used();
        folder.0.steps = steps;
        folder.store(NEXT).unwrap_err();
        folder.0.steps = ALWAYS;
        folder.store(b"one more").unwrap();
        let (last, before) = opened(folder.0);
        assert_eq!(last.unwrap(), b"one more");
        assert!([LAST, NEXT].contains(&&before.unwrap()[..]), "{steps}");
    }
}

#[test]
fn each_failure_of_a_file_system_has_a_name_and_a_remedy() {
    use io::ErrorKind as Kind;
    let gone = StorageError::Other { reason: "the folder is gone; start the program again" };
    let other = StorageError::Other { reason: "the system could not write the file" };
    for (kind, write, rename, remedy) in [
        (Kind::ReadOnlyFilesystem, StorageError::ReadOnly, StorageError::ReadOnly, "let the program write"),
        (Kind::PermissionDenied, StorageError::ReadOnly, StorageError::ReadOnly, "let the program write"),
        (Kind::StorageFull, StorageError::Full, StorageError::Full, "make room"),
        (Kind::QuotaExceeded, StorageError::Full, StorageError::Full, "make room"),
        (Kind::FileTooLarge, StorageError::Full, StorageError::Full, "make room"),
        (Kind::NotFound, gone, gone, "start the program again"),
        (Kind::Unsupported, other, StorageError::NotAtomic, "choose a place"),
        (Kind::CrossesDevices, other, StorageError::NotAtomic, "choose a place"),
    ] {
        for (steps, expected) in [(0, write), (1, rename), (2, rename), (3, write)] {
            let mut folder = used();
            folder.0 = Memory { steps, error: Some(kind), ..folder.0 };
            assert_eq!(folder.store(NEXT), Err(expected), "{kind} at step {steps}");
        }
        assert!(rename.to_string().contains(remedy), "{rename}");
    }
}

#[test]
fn what_cannot_be_read_is_kept_under_a_name_of_its_own() {
    let mut folder = used();
    assert_eq!(folder.keep_aside(Generation::Last).unwrap(), "state.damaged.1");
    assert_eq!(folder.keep_aside(Generation::Before).unwrap(), "state.damaged.2");
    assert_eq!(folder.0.files["state.damaged.1"], LAST);
    assert_eq!(folder.0.files["state.damaged.2"], OLDER);
    // The last name is used again, so that a failing disk does not fill itself.
    for n in 3..=KEPT_ASIDE + 2 {
        folder.store(&[n as u8]).unwrap();
        let kept = folder.keep_aside(Generation::Last).unwrap();
        assert_eq!(kept, format!("state.damaged.{}", n.min(KEPT_ASIDE)));
    }
    assert_eq!(folder.0.files["state.damaged.9"], [KEPT_ASIDE as u8 + 2]);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_real_folder_keeps_its_states_to_this_user() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a/b");
    let mut folder = Folder::open(&path).unwrap();
    folder.store(LAST).unwrap();
    folder.store(NEXT).unwrap();
    folder.keep_catalog(b"questions").unwrap();
    for name in ["state", "state.old", "catalog", "lock"] {
        assert_eq!(mode(&path.join(name)), 0o600, "{name}");
    }
    assert_eq!((mode(&path), mode(&home.path().join("a"))), (0o700, 0o700));
    drop(folder);
    // A crash left these, and somebody opened the folder to all.
    fs::write(path.join(NEW), "half").unwrap();
    fs::write(path.join(NEW_CATALOG), "half").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    let folder = Folder::open(&path).unwrap();
    assert!(!path.join(NEW).exists() && !path.join(NEW_CATALOG).exists());
    assert_eq!(mode(&path), 0o700);
    assert_eq!(folder.state(Generation::Last).unwrap().unwrap(), NEXT);
    assert_eq!(folder.state(Generation::Before).unwrap().unwrap(), LAST);
    assert_eq!(folder.catalog().unwrap().unwrap(), b"questions");
}

#[test]
fn a_second_process_is_told_who_has_the_folder() {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::open(home.path()).unwrap();
    let error = Folder::open(home.path()).unwrap_err();
    assert!(matches!(error, FolderError::InUse { process: Some(id), .. } if id == std::process::id()));
    let message = error.to_string();
    assert!(message.contains(home.path().to_str().unwrap()) && message.contains("end it"), "{message}");
    drop(folder);
    Folder::open(home.path()).unwrap();
}

#[test]
fn a_folder_with_other_things_is_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("notes"), "mine").unwrap();
    let error = Folder::open(home.path()).unwrap_err();
    assert!(matches!(&error, FolderError::Foreign { found, .. } if found == "notes"), "{error}");
    let names: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["notes"]);
    let file = home.path().join("notes");
    assert!(matches!(Folder::open(&file).unwrap_err(), FolderError::Unusable { path, .. } if path == file));
}

#[test]
fn a_file_that_is_too_large_or_a_folder_is_no_state() {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::open(home.path()).unwrap();
    let file = fs::File::create(home.path().join(STATE)).unwrap();
    file.set_len(super::super::disk::MAX_FILE_BYTES + 1).unwrap();
    assert_eq!(folder.state(Generation::Last).unwrap_err().kind(), io::ErrorKind::InvalidData);
    fs::create_dir(home.path().join(OLD)).unwrap();
    folder.state(Generation::Before).unwrap_err();
}

/// Runs a test of this program alone as the user "nobody", if this is root; says whether it did.
fn as_nobody(test: &str, folder: &Path) -> bool {
    use std::os::unix::process::CommandExt;
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args([test, "--exact", "--nocapture"])
        .env("DENIABLE_TEST_FOLDER", folder)
        .uid(65_534)
        .gid(65_534)
        .output();
    match output {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{said}");
            said.contains("1 passed")
        }
        // The program lies where nobody may go, or this is not root.
        Err(_) => false,
    }
}

#[test]
fn a_folder_that_may_not_be_written_says_so() {
    const NAME: &str = "native::folder::tests::a_folder_that_may_not_be_written_says_so";
    if let Some(folder) = std::env::var_os("DENIABLE_TEST_FOLDER") {
        let folder = Path::new(&folder);
        for name in ["empty", "used"] {
            let error = Folder::open(&folder.join(name)).unwrap_err();
            assert!(matches!(error, FolderError::ReadOnly { .. }), "{error}");
            assert!(error.to_string().contains("make the folder writable"), "{error}");
        }
        let error = Folder::open(&folder.join("shared")).unwrap_err();
        assert!(
            matches!(error, FolderError::NotOurs { owner, user: 65_534, .. } if owner != 65_534),
            "{error}"
        );
        assert!(!folder.join("shared").join("lock").exists());
        return;
    }
    let home = tempfile::tempdir().unwrap();
    for (name, mode) in [("empty", 0o555), ("used", 0o555), ("shared", 0o777)] {
        fs::create_dir(home.path().join(name)).unwrap();
        if name == "used" {
            drop(Folder::open(&home.path().join(name)).unwrap());
        }
        fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    if !as_nobody(NAME, home.path()) {
        eprintln!("skipped: only root can act for another user, and the test program must be readable to it");
    }
    for name in ["empty", "used"] {
        fs::set_permissions(home.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_full_or_read_only_disk_leaves_the_old_state() {
    let Some(disk) = Mount::small() else { return };
    let path = disk.path().join("state");
    let mut folder = Folder::open(&path).unwrap();
    folder.store(LAST).unwrap();
    assert_eq!(folder.store(&vec![7; 100_000]), Err(StorageError::Full));
    assert_eq!(folder.state(Generation::Last).unwrap().unwrap(), LAST);
    // There is room again for what fits.
    folder.store(NEXT).unwrap();
    drop(folder);
    disk.remount("remount,ro");
    assert!(matches!(Folder::open(&path), Err(FolderError::ReadOnly { .. })));
    let error = Folder::open(&disk.path().join("other")).unwrap_err();
    assert!(matches!(error, FolderError::ReadOnly { .. }), "{error}");
    disk.remount("remount,rw");
    let folder = Folder::open(&path).unwrap();
    assert_eq!(folder.state(Generation::Last).unwrap().unwrap(), NEXT);
}

#[test]
fn a_folder_that_was_removed_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state");
    let mut folder = Folder::open(&path).unwrap();
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(
        folder.store(LAST),
        Err(StorageError::Other { reason: "the folder is gone; start the program again" })
    );
}
