//! What is stored opens again, and what is damaged does not.

use super::*;
use crate::client::testing::{Kept, Step};
use crate::insight::Property;

/// The state of a client that has done a little of everything.
fn state() -> Vec<u8> {
    let mut client = client();
    client.track("identify", &[("plan", Property::Text("paid"))]);
    client.record(&theme(), Answer::Text("dark"));
    client.flush();
    client.record(&theme(), Answer::Text("light"));
    client.host().pass(DAY);
    client.track("saved", &[]);
    client.flush();
    client.host().disk.load().unwrap().to_vec()
}

fn open(bytes: &[u8]) -> Result<Core, OpenError> {
    Core::open(registry(), options(), Some(bytes), &mut host(), at(DAY))
}

fn error(bytes: &[u8]) -> StateError {
    match open(bytes) {
        Err(OpenError::Unreadable { error, bytes: back }) => {
            assert_eq!(&*back, bytes, "the bytes come back whole");
            error
        }
        Ok(_) => panic!("it opens"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_was_stored_opens_as_it_was() {
    let state = state();
    let mut core = open(&state).unwrap();
    assert_eq!(core.status().begun, Begun::Restored);
    assert_eq!((core.status().waiting, core.status().on_the_way), (2, 1));
    assert_eq!((core.segment("payer"), core.ledger(at(DAY)).reports), (Some("yes"), 3));
    let again = core.commit(at(DAY), true);
    assert!(again.is_none(), "nothing changed");
    assert_eq!(stored_commit(&state), Ok(core.status().storage.commit));
}

/// A write that breaks off anywhere leaves the new state whole, or nothing that opens.
#[test]
fn no_prefix_of_a_state_opens() {
    let state = state();
    for end in 0..state.len() {
        let error = error(&state[..end]);
        assert!(
            matches!(error, StateError::Length { .. } | StateError::NotAState | StateError::Corrupt),
            "{end}"
        );
    }
    assert!(matches!(error(&[&state[..], &[0]].concat()), StateError::Length { .. }));
    assert!(open(&state).is_ok());
}

#[test]
fn no_changed_byte_passes() {
    let state = state();
    for at in 0..state.len() {
        let mut changed = state.clone();
        changed[at] ^= 0x10;
        error(&changed);
    }
}

#[test]
fn a_newer_state_is_left_alone() {
    let mut state = state();
    state[4] = 2;
    assert_eq!(error(&state), StateError::Newer { found: 2 });
    let mut host = host();
    host.disk.put(Some(state.clone()));
    let Err(opened) = Client::open(registry(), options(), host).map(|_| ()) else { panic!("it opens") };
    assert!(std::format!("{opened}").contains("format 2"));
    assert!(!std::format!("{opened:?}").contains("[1"), "{opened:?}");
}

/// The ledger lies in front under a checksum of its own: damage behind it loses answers and the secret, not the sums.
#[test]
fn damage_behind_the_ledger_leaves_what_was_spent() {
    let state = state();
    let spent = open(&state).unwrap().ledger(at(DAY)).for_life.spent.get();
    let mut damaged = state.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let anew = |bytes: &[u8]| Core::begin_anew(registry(), options(), bytes, &mut host(), at(DAY)).unwrap();
    let ledger = anew(&damaged).ledger(at(DAY));
    assert_eq!((ledger.for_life.spent.get(), ledger.lost_states), (spent, 0));
    assert_eq!(anew(&damaged).status().begun, Begun::Anew(StateError::Corrupt));
    // The same answer is charged anew, for the secret is lost.
    let mut core = anew(&damaged);
    core.record(&theme(), Answer::Text("dark"), at(DAY));
    assert!(core.ledger(at(DAY)).for_life.spent.get() > spent + 0.9);
    damaged[20] ^= 1;
    let core = anew(&damaged);
    assert_eq!((core.ledger(at(DAY)).for_life.spent.get(), core.ledger(at(DAY)).lost_states), (0.0, 1));
    assert_eq!(core.status().consent, Consent::Pending);
}

#[test]
fn who_opted_out_stays_out_when_the_state_is_damaged() {
    let mut client = client();
    client.record(&theme(), Answer::Text("dark"));
    client.opt_out();
    let mut damaged = client.host().disk.load().unwrap().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let mut host = host();
    host.disk.put(Some(damaged));
    let mut client = Client::open(registry(), options(), host).unwrap();
    assert!(matches!(client.status().begun, Begun::Anew(_)));
    assert_eq!((client.status().consent, client.ledger().reports), (Consent::Withdrawn, 1));
}

/// A beginning anew is written though nothing else happens: the next one finds no trace of the damaged state.
#[test]
fn what_is_known_of_a_damaged_state_survives_the_next_end() {
    let out = || {
        let mut client = client();
        client.record(&theme(), Answer::Text("dark"));
        client.opt_out();
        client.host().disk.load().unwrap().to_vec()
    };
    for (mut damaged, whole) in [(out(), true), (out(), false), (state(), true), (state(), false)] {
        *damaged.last_mut().unwrap() ^= 1;
        if !whole {
            damaged[20] ^= 1;
        }
        let mut core = Core::begin_anew(registry(), options(), &damaged, &mut host(), at(DAY)).unwrap();
        let commit = core.commit(at(DAY), false).expect("it is due at once");
        let known = |core: &Core| (core.status().consent, core.ledger(at(DAY)));
        assert_eq!(known(&open(&commit.bytes).unwrap()), known(&core));
    }
}

/// Not even what was set aside outlives that the person is forgotten, and what cannot be removed is tried again.
#[test]
fn nothing_set_aside_outlives_the_person() {
    let forget: [fn(&mut Client<TestHost>); 2] = [Client::opt_out, Client::reset];
    for (forget, whole) in forget.into_iter().flat_map(|forget| [(forget, true), (forget, false)]) {
        let (mut host, mut damaged) = (host(), state());
        *damaged.last_mut().unwrap() ^= 1;
        if !whole {
            damaged[20] ^= 1;
        }
        host.disk.put(Some(damaged));
        let mut client = Client::open(registry(), options(), host).unwrap();
        client.flush();
        assert_eq!(client.host().aside.len(), 1);
        client.host().disk.fail(Some(StorageError::Full));
        forget(&mut client);
        client.host().disk.fail(None);
        client.host().pass(5000);
        client.host().aside.push(b"what could not be removed".to_vec());
        client.work();
        assert!(client.host().aside.is_empty());
        // The next commit forgets nobody.
        client.host().aside.push(b"later".to_vec());
        client.opt_in();
        client.flush();
        assert_eq!(client.host().aside.len(), 1);
    }
}

/// Who agreed by default alone, and by default agrees no more, is forgotten.
#[test]
fn consent_by_default_that_is_withdrawn_erases() {
    let opened = |consent| {
        let options = Options { consent, ..Options::default() };
        Core::open(registry(), options, Some(&state()), &mut host(), at(DAY)).unwrap()
    };
    let commit = opened(Consent::Withdrawn).commit(at(DAY), false).unwrap();
    assert!(commit.erases);
    let core = open(&commit.bytes).unwrap();
    assert_eq!((core.status().waiting + core.status().on_the_way, core.segment("payer")), (0, Some("no")));
    assert_eq!(core.ledger(at(DAY)).reports, 3, "what was spent stays");
    // Where it is only pending, as on a page that says nothing of it, all stays and rests.
    let mut core = opened(Consent::Pending);
    assert_eq!((core.status().waiting, core.status().on_the_way), (2, 1));
    assert_eq!(core.next_upload(at(DAY)), NextUpload::Nothing);
}

/// A state that was written in the first format. What is written now has the same ledger, byte by byte; the device's own state in it
/// may have a newer format.
#[test]
fn the_first_format_keeps_opening() {
    let fixture = include_str!("../state_v1.hex").trim();
    let bytes: Vec<u8> =
        (0..fixture.len()).step_by(2).map(|i| u8::from_str_radix(&fixture[i..i + 2], 16).unwrap()).collect();
    let ledger = |bytes: &[u8]| bytes[9..13 + usize::from(bytes[9])].to_vec();
    let written: String = state().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        ledger(&state()),
        ledger(&bytes),
        "that is a new format, and this one must still open; now it is {written}"
    );
    let mut core = open(&bytes).unwrap();
    assert_eq!((core.status().waiting, core.status().on_the_way), (2, 1));
    assert_eq!((core.segment("payer"), core.ledger(at(DAY)).reports), (Some("yes"), 3));
    assert_eq!(core.record(&theme(), Answer::Text("dark"), at(DAY)), Recorded::Reported);
}

/// A client is killed within any step of any write, and finds the state before or after it.
#[test]
fn a_crash_in_any_step_leaves_the_old_state_or_the_new() {
    for step in Step::ALL {
        for kept in [Kept::Nothing, Kept::Part, Kept::All] {
            let mut client = client();
            client.record(&theme(), Answer::Text("dark"));
            client.flush();
            let before = client.ledger().reports;
            client.record(&theme(), Answer::Text("dark"));
            client.host().disk.crash_after(step, kept);
            client.flush();
            assert!(client.host().disk.crashed());
            let found = client.host().disk.load();
            let opened = Core::open(registry(), options(), found, &mut host(), at(0));
            let ledger = opened.unwrap().ledger(at(0)).reports;
            assert!([before, before + 1].contains(&ledger), "{step:?} {kept:?}: {ledger}");
            let is_new = matches!(step, Step::Done) || (step == Step::Renamed && kept != Kept::Nothing);
            assert_eq!(ledger == before + 1, is_new, "{step:?} {kept:?}");
        }
    }
}
