//! The record headers: CloudEvents 1.0 in Kafka's binary mode.
//!
//! All values are plain text, for consumers that know nothing of Millrace.

use std::str::FromStr;

use bytes::Bytes;
use schemas::{EventMetadata, Position};

use crate::{FramingError, Headers, Record, Topics};

macro_rules! header_names {
    ($($name:ident = $text:literal,)+) => {
        $(pub(crate) const $name: &str = $text;)+
        /// Every header name that Millrace writes.
        pub(crate) const KNOWN_HEADERS: &[&str] = &[$($text,)+];
    };
}

header_names! {
    SPEC_VERSION = "ce_specversion",
    ID = "ce_id",
    TYPE = "ce_type",
    SOURCE = "ce_source",
    SUBJECT = "ce_subject",
    TIME = "ce_time",
    CONTENT_TYPE = "content-type",
    STREAM_VERSION = "ce_streamversion",
    COMMAND_ID = "ce_commandid",
    COMMAND_HASH = "ce_commandhash",
    CORRELATION_ID = "ce_correlationid",
    CAUSATION_ID = "ce_causationid",
    PRINCIPAL = "ce_principal",
    WRITER_TERM = "ce_writerterm",
    TRACE_PARENT = "traceparent",
}

/// The content type of an Avro body in Confluent framing.
pub(crate) const AVRO: &str = "application/avro";
/// The content type of commands and outcomes.
pub(crate) const JSON: &str = "application/json";

/// The headers that every record has.
pub(crate) fn common(
    topics: &Topics,
    id: String,
    ce_type: &'static str,
    subject: &str,
    time: String,
    content: &'static str,
) -> Headers {
    let mut headers = Headers::with_capacity(16);
    headers.push(SPEC_VERSION, Bytes::from_static(b"1.0"));
    headers.push(ID, id);
    headers.push(TYPE, Bytes::from_static(ce_type.as_bytes()));
    headers.push(SOURCE, format!("/millrace/{}", topics.namespace()));
    headers.push(SUBJECT, subject.to_owned());
    headers.push(TIME, time);
    headers.push(CONTENT_TYPE, Bytes::from_static(content.as_bytes()));
    headers
}

/// The headers of an event.
pub(crate) fn event_headers(topics: &Topics, metadata: &EventMetadata, ce_type: &'static str) -> Headers {
    let id = metadata.event_id().as_str().to_owned();
    let mut headers =
        common(topics, id, ce_type, metadata.stream.id(), metadata.occurred_at.to_string(), AVRO);
    headers.push(STREAM_VERSION, metadata.version.to_string());
    headers.push(COMMAND_ID, metadata.command_id.to_string());
    headers.push(COMMAND_HASH, metadata.command_hash.to_string());
    headers.push(CORRELATION_ID, metadata.correlation_id.to_string());
    if let Some(cause) = &metadata.causation_id {
        headers.push(CAUSATION_ID, cause.as_str().to_owned());
    }
    headers.push(PRINCIPAL, metadata.principal.as_str().to_owned());
    headers.push(WRITER_TERM, metadata.writer_term.to_string());
    if let Some(trace) = &metadata.traceparent {
        headers.push(TRACE_PARENT, trace.clone());
    }
    headers
}

/// The text of a header that must be there.
pub(crate) fn text<'a>(record: &'a Record, header: &'static str) -> Result<&'a str, FramingError> {
    match record.headers.get(header) {
        None => Err(FramingError::MissingHeader { position: record.position.clone(), header }),
        Some(value) => std::str::from_utf8(value).map_err(|_| bad(&record.position, header, value)),
    }
}

/// The value of a header that must be there and readable.
pub(crate) fn parse<T: FromStr>(record: &Record, header: &'static str) -> Result<T, FramingError> {
    let value = text(record, header)?;
    value.parse().map_err(|_| bad(&record.position, header, value.as_bytes()))
}

/// A header whose value cannot be read.
pub(crate) fn bad(position: &Position, header: &'static str, value: &[u8]) -> FramingError {
    let value = String::from_utf8_lossy(value).chars().take(200).collect();
    FramingError::BadHeader { position: position.clone(), header, value }
}
