//! A year of use takes no more room than a month.

use super::*;

/// What one device does in so many days: hundreds of events a day, an answer a day, a session each hour, uploads when they are due.
fn live(days: i64) -> (usize, u64, u64) {
    let mut declared = declared();
    declared["lookback_days"] = json!(14);
    declared["privacy"] = json!({ "weekly": 16.0, "lifetime": 64.0 });
    let mut client = Client::open(registry_of(declared), options(), host()).unwrap();
    let mut largest = 0;
    let mut events = 0;
    for hour in 0..days * 24 {
        for event in 0..10 {
            client.track("saved", &[]);
            client.page(["start", "list", "item"][event % 3], &[]);
            events += 2;
        }
        if hour % 50 == 0 {
            client.record(&theme(), Answer::Text(["dark", "light"][(hour / 5000) as usize % 2]));
        }
        client.host().pass(HOUR);
        while let NextUpload::Send(upload) = client.next_upload() {
            // One answer in three is lost.
            let answered = receipt(&upload.body);
            client.finish_upload(upload.id, if hour % 3 == 0 { Reply::TimedOut } else { answered.reply() });
        }
        largest = largest.max(client.status().storage.state_bytes);
    }
    (largest, events, client.host().disk.writes)
}

#[test]
fn neither_state_nor_writes_grow_with_time() {
    let (month, ..) = live(60);
    let (year, events, writes) = live(365);
    // Numbers take up to two bytes more as they grow, and the last weeks' charges stand beside each other.
    assert!(year < month + 256, "{year} bytes after {month}");
    assert!(year < 48 * 1024, "{year} bytes");
    assert!(writes * 5 < events, "{writes} writes for {events} events");
}
