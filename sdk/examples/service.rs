//! A service that runs for long, and counts in the background whether its answers are slow.
//!
//! ```sh
//! service FOLDER COLLECTOR KEY DELAY_SECONDS
//! ```
//!
//! It listens on a free port of the loopback and says which. A line that comes in is answered by the same line backwards; the line
//! `stop` ends the service, which then closes its client. Reports leave by themselves, each after a random part of the delay.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use deniable::client::{self, Consent};
use deniable::native::{Catalog, NativeClient, Options};
use deniable::{Answer, MetricId};

const SLOW: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, collector, key, delay] = &arguments[..] else {
        return Err("usage: service FOLDER COLLECTOR KEY DELAY_SECONDS".into());
    };
    let settings = client::Options {
        key: key.parse()?,
        consent: Consent::Given, // The operator's, by installing it.
        delay: Duration::from_secs(delay.parse()?),
        ..client::Options::default()
    };
    let options = Options::new(folder, collector, Catalog::Fetched).client(settings);
    let client = NativeClient::open(options)?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let Some(Ok(line)) = BufReader::new(&stream).lines().next() else { continue };
            if line == "stop" {
                break;
            }
            // Handles of the client go to any thread.
            let client = client.clone();
            scope.spawn(move || answer(stream, &line, &client));
        }
    });
    println!("{:?}", client.close(Duration::from_secs(60)));
    Ok(())
}

fn answer(mut stream: TcpStream, line: &str, client: &NativeClient) {
    let start = Instant::now();
    let backwards: String = line.chars().rev().collect();
    // Who asked may have gone.
    let _ = writeln!(stream, "{backwards}");
    if let Ok(metric) = MetricId::new("slow") {
        // A refusal, say of a budget that is spent, is an answer too, and changes nothing for who asked.
        client.record(&metric, Answer::Flag(start.elapsed() > SLOW));
    }
}
