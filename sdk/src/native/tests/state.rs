//! What stands in the way of a state, and where it shows.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::folder::Folder;
use super::super::restore::Beginning;
use super::super::testing::Mount;
use super::*;
use crate::SystemEntropy;
use crate::client::{Begun, Core, NextUpload, StateError, StorageError};

/// The states of a client that made one report, and then another: the last one and the one before.
fn two_states() -> (Vec<u8>, Vec<u8>) {
    let home = tempfile::tempdir().unwrap();
    let mut options = options(home.path(), NOBODY);
    options.client.delay = Duration::from_secs(600);
    for _ in 0..2 {
        let client = NativeClient::open(options.clone()).unwrap();
        record(&client);
        assert_eq!(client.close(LONG), Closed::Written);
    }
    let read = |name| fs::read(home.path().join("state").join(name)).unwrap();
    (read("state"), read("state.old"))
}

/// A folder with these files in it, opened; with the number of reports that the client knows of.
fn opened(files: &[(&str, &[u8])]) -> (tempfile::TempDir, NativeClient, u64) {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("lock"), "").unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    let mut options = options(home.path(), NOBODY);
    options.client.delay = Duration::from_secs(600);
    let client = NativeClient::open(options).unwrap();
    let reports = client.ledger().metrics.iter().map(|spent| spent.reports).sum();
    (home, client, reports)
}

#[test]
fn every_beginning_of_a_file_opens_to_the_old_or_the_new_state() {
    let (new, old) = two_states();
    let home = tempfile::tempdir().unwrap();
    let options = client::Options { consent: Consent::Given, ..Default::default() };
    let registry = Arc::new(registry("Did it save?"));
    let reports = |files: &[(&str, &[u8])]| {
        drop(Folder::open(home.path()).unwrap());
        for name in ["state", "state.old", "state.new"] {
            let _ = fs::remove_file(home.path().join(name));
        }
        files.iter().for_each(|(name, bytes)| fs::write(home.path().join(name), bytes).unwrap());
        let now = from_noon().now();
        let registry = Arc::clone(&registry);
        let beginning = Beginning { registry, options: &options, path: home.path(), now };
        let (core, _) = beginning.restore(&mut Folder::open(home.path()).unwrap()).ok().unwrap();
        assert_eq!(core.status().begun, Begun::Restored);
        core.ledger(now).metrics.iter().map(|spent| spent.reports).sum::<u64>()
    };
    let (after, before) = (reports(&[("state", &new)]), reports(&[("state", &old)]));
    assert_eq!((after, before), (2, 1));
    let ledger_end = 13 + u32::from_le_bytes(new[9..13].try_into().unwrap()) as usize + 8;
    assert!(ledger_end < new.len());
    for length in 0..=new.len() {
        let torn = &new[..length];
        // A crash while the temporary is written, and between the two renames.
        assert_eq!(reports(&[("state", &old), ("state.new", torn)]), before, "{length}");
        assert_eq!(reports(&[("state.old", &old), ("state.new", torn)]), before, "{length}");
        // A disk that lied: the new name is there, the new bytes are not. What they say was spent counts as soon as that is whole.
        let expected = if length >= ledger_end { after } else { before };
        assert_eq!(reports(&[("state.old", &old), ("state", torn)]), expected, "{length}");
    }
}

#[test]
fn what_is_damaged_is_kept_aside_and_said() {
    let (new, old) = two_states();
    let mut damaged = new.clone();
    *damaged.last_mut().unwrap() ^= 1;

    let (home, client, _) = opened(&[("state.old", &old), ("state", &damaged)]);
    let status = client.status();
    assert!(
        matches!(&status.state, StateStatus::TakenFromBefore { kept_as } if kept_as == "state.damaged.1")
    );
    assert_eq!(fs::read(home.path().join("state/state.damaged.1")).unwrap(), damaged);
    // The reports of the last state may have left, so they stay charged.
    let ledger = client.ledger();
    assert_eq!((ledger.reports, ledger.lost_states), (2, 0));
    client.close(LONG);
    let (home, client, reports) = opened(&[("state.old", &old), ("state", &damaged[..20])]);
    assert_eq!((reports, client.ledger().lost_states), (1, 1));
    // Also after the next start, which finds nothing damaged.
    assert_eq!(client.close(LONG), Closed::Written);
    let client = open(&options(home.path(), NOBODY)).unwrap();
    assert!(matches!(client.status().state, StateStatus::Kept));
    assert_eq!(client.ledger().lost_states, 1);

    // What was spent is taken over from a state whose ledger is whole.
    let (home, client, _) = opened(&[("state.old", b"nothing"), ("state", &damaged)]);
    let status = client.status();
    assert!(matches!(&status.state, StateStatus::BegunAnew { kept_as } if kept_as == "state.damaged.1"));
    assert_eq!(status.client.begun, Begun::Anew(StateError::Corrupt));
    assert_eq!(fs::read(home.path().join("state/state.damaged.2")).unwrap(), b"nothing");
    let ledger = client.ledger();
    assert!(ledger.lost_states == 0 && ledger.for_life.spent.get() > 0.0);
    record(&client);

    // In the order of the last and the one before.
    let (_home, client, _) = opened(&[("state.old", &damaged), ("state", b"nothing")]);
    assert_eq!(client.ledger().lost_states, 0);
    let (_home, client, _) = opened(&[("state", b"nothing")]);
    assert_eq!(client.ledger().lost_states, 1);
    assert_eq!(client.status().client.begun, Begun::Anew(StateError::NotAState));
}

/// The program ended after a damaged state was moved, and before anything was written.
#[test]
fn a_damaged_state_that_was_moved_before_anything_was_written_still_counts() {
    let (mut damaged, _) = two_states();
    *damaged.last_mut().unwrap() ^= 1;
    for (bytes, consent, reports, lost) in
        [(&damaged[..], Consent::Given, 2, 0), (b"nothing", Consent::Pending, 0, 1)]
    {
        let (_home, client, _) = opened(&[("state.damaged.2", bytes), ("state.damaged.1", b"an older one")]);
        let (status, ledger) = (client.status(), client.ledger());
        assert!(matches!(&status.state, StateStatus::BegunAnew { kept_as } if kept_as == "state.damaged.2"));
        assert_eq!((status.client.consent, ledger.reports, ledger.lost_states), (consent, reports, lost));
    }
}

/// What waited may have left with the state that is damaged, in a batch that nobody can name any more.
#[test]
fn what_may_have_left_with_a_damaged_state_is_not_sent_again() {
    let (_, old) = two_states();
    let now = from_noon().now();
    let open = || {
        let options = client::Options { consent: Consent::Given, ..Default::default() };
        let registry = Arc::new(registry("Did it save?"));
        Core::open(registry, options, Some(&old), &mut SystemEntropy, now).unwrap()
    };
    let sends = |core: &mut Core| {
        core.flush(now);
        let commit = core.commit(now, true).unwrap();
        core.committed(commit.number);
        (matches!(core.next_upload(now), NextUpload::Send(_)), commit.bytes)
    };
    let (left, later) = sends(&mut open());
    assert!(left);
    for whole in [later.len(), 0] {
        let mut core = open();
        core.take_over(&later[..whole], now);
        assert_eq!((sends(&mut core).0, core.status().dropped.uncertain), (false, 1), "{whole}");
    }
    // A batch goes again under its id, by which it counts once.
    let mut core = open();
    core.flush(now);
    core.commit(now, true).unwrap();
    core.take_over(&later, now);
    assert_eq!((core.status().on_the_way, core.status().dropped.uncertain), (1, 0));
}

#[test]
fn a_state_of_a_newer_program_is_left_for_it() {
    let (mut newer, old) = two_states();
    newer[4] = 200;
    for files in [&[("state.old", &old[..]), ("state", &newer)][..], &[("state.old", &newer)]] {
        let (home, client, reports) = opened(files);
        let status = client.status();
        assert!(
            matches!(&status.state, StateStatus::Idle(why) if matches!(**why, FolderError::Newer { .. }))
        );
        assert!(!status.working && reports == 0);
        assert_eq!((client.flush(LONG), client.close(LONG)), (Flushed::NotWorking, Closed::NotWorking));
        let (name, bytes) = files.last().unwrap();
        assert_eq!(fs::read(home.path().join("state").join(name)).unwrap(), *bytes);
    }
}

#[test]
fn an_idle_client_takes_everything_and_lets_nothing_go() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    fs::create_dir(home.path().join("state")).unwrap();
    fs::write(home.path().join("state/notes"), "mine").unwrap();
    let client = NativeClient::open(options(home.path(), &collector.url)).unwrap();
    record(&client);
    assert_eq!(client.track("saved", &[]), Tracked::Taken);
    assert_eq!(client.flush(LONG), Flushed::NotWorking);
    client.opt_out();
    assert_eq!(client.track("saved", &[]), Tracked::NoConsent);
    let status = client.status();
    let foreign = |why: &FolderError| matches!(why, FolderError::Foreign { found, .. } if found == "notes");
    assert!(matches!(&status.state, StateStatus::Idle(why) if foreign(why)), "{status:?}");
    drop(client);
    assert!(collector.batches().is_empty());
    assert_eq!(fs::read_dir(home.path().join("state")).unwrap().count(), 1);
}

#[test]
fn nothing_leaves_that_could_not_be_written() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    let folder = home.path().join("state");
    let client = NativeClient::open(options(home.path(), &collector.url)).unwrap();
    assert_eq!(client.flush(LONG), Flushed::Done);
    // A folder of the name that a commit writes to stands in the way, as a full disk would.
    fs::create_dir(folder.join("state.new")).unwrap();
    record(&client);
    let error = StorageError::Other { reason: "the system could not write the file" };
    assert_eq!(client.flush(LONG), Flushed::NotWritten(error));
    let status = client.status().client;
    assert_eq!((status.storage.error, status.waiting + status.on_the_way), (Some(error), 1));
    assert!(status.storage.retry_at.is_some() && collector.batches().is_empty());
    fs::remove_dir(folder.join("state.new")).unwrap();
    assert_eq!(client.flush(LONG), Flushed::Done);
    assert_eq!((client.status().client.storage.error, collector.batches().len()), (None, 1));
    // The writer may be at work in it.
    until(|| fs::remove_dir_all(&folder).is_ok() || !folder.exists());
    record(&client);
    let gone = StorageError::Other { reason: "the folder is gone; start the program again" };
    assert_eq!(client.close(LONG), Closed::NotWritten(gone));
    assert_eq!(collector.batches().len(), 1);
}

#[test]
fn a_disk_that_is_full_or_read_only_shows_in_the_status() {
    let Some(disk) = Mount::small() else { return };
    let collector = Collector::counting();
    let client = NativeClient::open(options(disk.path(), &collector.url)).unwrap();
    assert_eq!(client.flush(LONG), Flushed::Done);
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, std::vec![0; 1 << 20]).unwrap_err();
    record(&client);
    assert_eq!(client.flush(LONG), Flushed::NotWritten(StorageError::Full));
    assert_eq!(client.status().client.storage.error, Some(StorageError::Full));
    assert!(collector.batches().is_empty());
    fs::remove_file(&ballast).unwrap();
    assert_eq!(client.flush(LONG), Flushed::Done);
    assert_eq!((client.close(LONG), collector.batches().len()), (Closed::Written, 1));

    disk.remount("remount,ro");
    let client = NativeClient::open(options(disk.path(), &collector.url)).unwrap();
    let read_only = |why: &FolderError| matches!(why, FolderError::ReadOnly { .. });
    assert!(matches!(client.status().state, StateStatus::Idle(why) if read_only(&why)));
}

#[test]
fn the_state_is_for_this_user_alone() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    let client = NativeClient::open(options(home.path(), &collector.url)).unwrap();
    assert_eq!(client.close(LONG), Closed::Written);
    for (name, expected) in [("state", 0o700), ("state/state", 0o600), ("state/lock", 0o600)] {
        let mode = fs::metadata(home.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{name}");
    }
}
