//! The body of a request, from the wire to the bytes of a batch.
//!
//! A body may be packed by gzip, and may be text, base64url without padding, which a page can send anywhere without
//! asking first. Each step has a bound: on the time to arrive, on the bytes that arrive, on those that they unpack to.

use std::io::{self, Read};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use deniable::MAX_BATCH_BYTES;
use flate2::bufread::GzDecoder;
use http_body_util::BodyExt;

use super::memory::{Held, Memory};
use super::problem::{Kind, Problem};

/// The most bytes of text: those of the largest batch.
const MAX_TEXT_BYTES: usize = MAX_BATCH_BYTES.div_ceil(3) * 4;
/// What a waiting batch takes beside its reports, so that many tiny ones are limited too.
const REQUEST_BYTES: usize = 512;
/// The media type of a batch as it is.
const BINARY: &str = "application/octet-stream";
/// The media type of a batch as base64url.
const TEXT: &str = "text/plain";

/// Reads the body of a request and unpacks it: what is left is the bytes of a batch, if it is one. It holds `memory` as
/// long as [`Held`] does.
///
/// # Errors
/// A [`Problem`] if the body is declared as something else, is over a limit, does not arrive in time or as a whole, or
/// is not packed as it is declared; and [`Kind::Busy`] if there is no memory left.
pub async fn receive(
    request: Request,
    memory: &Memory,
    timeout: Duration,
) -> Result<(Vec<u8>, Held), Problem> {
    let is_text = is_text(request.headers())?;
    let is_gzip = is_gzip(request.headers())?;
    let limit = if is_text { MAX_TEXT_BYTES } else { MAX_BATCH_BYTES };
    let read = tokio::time::timeout(timeout, read(request.into_body(), memory, limit)).await;
    let (mut body, mut held) = read.map_err(|_| {
        let detail = format!("the body did not arrive in {} seconds: send it again", timeout.as_secs());
        Problem::new(Kind::TooSlow, detail)
    })??;
    if is_gzip {
        (body, held) = unpack(&body, memory, limit)?;
    }
    if is_text {
        body = BASE64_URL_SAFE_NO_PAD.decode(&body).map_err(|error| {
            let detail =
                format!("the text is not base64url without padding ({error}): encode the batch anew");
            Problem::new(Kind::Undecodable, detail)
        })?;
    }
    Ok((body, held))
}

/// Refuses what says that it is something else. A page that posts bytes declares nothing.
fn is_text(headers: &HeaderMap) -> Result<bool, Problem> {
    let Some(declared) = headers.get(header::CONTENT_TYPE) else { return Ok(false) };
    let declared = declared.to_str().unwrap_or("unreadable");
    let essence = declared.split(';').next().unwrap_or_default().trim();
    match () {
        () if essence.eq_ignore_ascii_case(BINARY) => Ok(false),
        () if essence.eq_ignore_ascii_case(TEXT) => Ok(true),
        () => {
            let detail = format!(
                "the content type is {declared:?}, but a batch is sent as {BINARY:?}, as base64url in {TEXT:?}, or with none"
            );
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
    }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Problem> {
    let Some(declared) = headers.get(header::CONTENT_ENCODING) else { return Ok(false) };
    match declared.to_str().unwrap_or("unreadable").trim() {
        coding if coding.eq_ignore_ascii_case("gzip") => Ok(true),
        coding if coding.eq_ignore_ascii_case("identity") => Ok(false),
        coding => {
            let detail = format!("the content encoding is {coding:?}, but only gzip is taken");
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
    }
}

/// Reads a body piece by piece, and stops where it goes over a bound.
async fn read(mut body: Body, memory: &Memory, limit: usize) -> Result<(Vec<u8>, Held), Problem> {
    let (mut bytes, mut held) = (Vec::new(), Held::default());
    memory.take(&mut held, REQUEST_BYTES)?;
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|_| Problem::new(Kind::UnreadableBody, "the body ended early: send the batch again"))?;
        let Ok(piece) = frame.into_data() else { continue };
        if bytes.len() + piece.len() > limit {
            return Err(too_large());
        }
        memory.take(&mut held, piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, held))
}

/// Unpacks gzip, up to `limit` bytes.
fn unpack(packed: &[u8], memory: &Memory, limit: usize) -> Result<(Vec<u8>, Held), Problem> {
    const PIECE: usize = 4 << 10;
    let broken = |error: io::Error| {
        let detail = format!("the body is not gzip ({error}): send the batch again");
        Problem::new(Kind::Undecodable, detail)
    };
    let (mut bytes, mut held) = (Vec::new(), Held::default());
    memory.take(&mut held, REQUEST_BYTES)?;
    let mut unpacked = GzDecoder::new(packed);
    loop {
        let before = bytes.len();
        memory.take(&mut held, PIECE)?;
        unpacked.by_ref().take(PIECE as u64).read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() > limit {
            return Err(too_large());
        }
        if bytes.len() == before {
            break;
        }
    }
    if !unpacked.into_inner().is_empty() {
        return Err(broken(io::Error::other("bytes follow its end")));
    }
    Ok((bytes, held))
}

fn too_large() -> Problem {
    let detail = format!("the body is over the limit of {MAX_BATCH_BYTES} bytes: split the batch");
    Problem::new(Kind::BatchTooLarge, detail)
}
