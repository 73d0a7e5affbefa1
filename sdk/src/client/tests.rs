//! The client as a program uses it.

use alloc::sync::Arc;
use std::vec::Vec;

use super::*;
use crate::Batch;
use crate::calendar::{Moment, Timestamp};
use crate::insight::Property;
use crate::registry::{Declared, Registry};
use crate::{Entropy, EntropyError, MetricId};

const NOON: i64 = 1_700_000_000_000;
const DAY: i64 = 86_400_000;

struct Counting(u8);

impl Entropy for Counting {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.0 += 1;
        out.fill(self.0);
        Ok(())
    }
}

fn at(millis: i64) -> Moment {
    Moment::utc(Timestamp::from_millis(NOON + millis))
}

fn registry() -> Arc<Registry> {
    let declared: Declared = serde_json::from_str(
        r#"{
        "events": { "saved": {} },
        "metrics": {
            "saves": { "version": 1, "question": "Did the device save anything today?", "every": "day",
                "source": { "any": { "events": ["saved"], "window": "day" } }, "kind": "boolean", "epsilon": 1.0 },
            "theme": { "version": 1, "question": "Which theme?", "kind": { "labels": ["dark", "light"] }, "epsilon": 1.0 }
        }
    }"#,
    )
    .unwrap();
    Arc::new(Registry::new(declared).unwrap())
}

fn open(stored: Option<&[u8]>, now: Moment) -> Core {
    let options = Options { consent: Consent::Given, ..Options::default() };
    Core::open(registry(), options, stored, &mut Counting(0), now).unwrap()
}

fn receipt(reports: usize) -> Vec<u8> {
    std::format!(r#"{{"status":"accepted","reports":{reports},"refused":{{}}}}"#).into_bytes()
}

#[test]
fn an_event_becomes_an_answer_a_report_a_commit_and_an_upload() {
    let mut core = open(None, at(0));
    assert_eq!(core.track("saved", &[("x", Property::Flag(true))], at(1)), Tracked::Taken);
    core.advance(at(DAY));
    assert_eq!(core.status().waiting, 1);
    assert!(matches!(core.next_upload(at(DAY)), NextUpload::WaitUntil(due) if due > at(DAY).at));
    let later = at(DAY + 3_600_000);
    let commit = core.commit(later, false).unwrap();
    assert!(!matches!(core.next_upload(later), NextUpload::Send(_)), "nothing leaves before it is durable");
    core.committed(commit.number);
    let NextUpload::Send(upload) = core.next_upload(later) else { panic!("nothing to send") };
    assert_eq!(Batch::parse(&upload.body).unwrap().report_count(), 1);
    let body = receipt(1);
    let reply = Reply::Answered { status: 200, retry_after: None, body: &body };
    assert_eq!(core.finish_upload(upload.id, reply, later), Finished::Delivered { counted: 1, refused: 0 });
    assert_eq!(core.next_upload(later), NextUpload::Nothing);
    let commit = core.commit(later, false).unwrap();
    let mut again = open(Some(&commit.bytes), later);
    assert_eq!((again.status().uploads.counted, again.status().begun), (1, Begun::Restored));
    assert_eq!(again.next_upload(later), NextUpload::Nothing);
    let ledger = again.ledger(later);
    assert_eq!((ledger.metrics[0].reports, ledger.metrics[0].waiting), (1, 0));
}

#[test]
fn the_program_records_what_it_knows_itself() {
    let mut core = open(None, at(0));
    let theme = MetricId::new("theme").unwrap();
    let record = |core: &mut Core, name: &str| core.record(&theme, crate::Answer::Text(name), at(5));
    assert_eq!(record(&mut core, "dark"), Recorded::Reported);
    assert!(matches!(core.record(&theme, crate::Answer::Number(1.0), at(5)), Recorded::Unfit(_)));
    assert_eq!(
        core.record(&MetricId::new("saves").unwrap(), crate::Answer::Flag(true), at(5)),
        Recorded::AnsweredByDevice
    );
    std::println!("{:?}\n{:?}", core.preview(at(5)), core.ledger(at(5)));
    std::println!("{}", core.preview(at(5))[0].in_words());
}
