//! The record headers: CloudEvents 1.0 in Kafka's binary mode.
//!
//! All values are plain text, for consumers that know nothing of Millrace.

use std::fmt::Display;
use std::io::Write as _;
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
    PRINCIPAL_PROOF = "ce_principalproof",
    TRACE_PARENT = "traceparent",
}

/// The content type of an Avro body in Confluent framing.
pub(crate) const AVRO: &str = "application/avro";
/// The content type of commands and outcomes.
pub(crate) const JSON: &str = "application/json";

/// Headers under construction: their values are written into one text that they share, since allocating each by itself
/// costs more than everything else about a record.
pub(crate) struct HeaderText {
    fields: Vec<(&'static str, Field)>,
    text: Vec<u8>,
}

enum Field {
    Static(&'static str),
    /// Where in the text it ends; it begins where the one before ended.
    UpTo(usize),
}

/// Room for the text of an event's headers.
const TEXT_BYTES_HINT: usize = 384;

impl HeaderText {
    pub(crate) fn push(&mut self, name: &'static str, value: impl Display) {
        write!(self.text, "{value}").expect("a vector takes whatever is written to it");
        self.fields.push((name, Field::UpTo(self.text.len())));
    }

    pub(crate) fn push_static(&mut self, name: &'static str, value: &'static str) {
        self.fields.push((name, Field::Static(value)));
    }

    pub(crate) fn finish(self) -> Headers {
        let text = Bytes::from(self.text);
        let mut headers = Headers::with_capacity(self.fields.len());
        let mut from = 0;
        for (name, field) in self.fields {
            match field {
                Field::Static(value) => headers.push(name, Bytes::from_static(value.as_bytes())),
                Field::UpTo(end) => {
                    headers.push(name, text.slice(from..end));
                    from = end;
                }
            }
        }
        headers
    }
}

/// The headers that every record has.
pub(crate) fn common(
    topics: &Topics,
    id: impl Display,
    ce_type: &'static str,
    subject: &str,
    time: impl Display,
    content: &'static str,
) -> HeaderText {
    let mut headers =
        HeaderText { fields: Vec::with_capacity(16), text: Vec::with_capacity(TEXT_BYTES_HINT) };
    headers.push_static(SPEC_VERSION, "1.0");
    headers.push(ID, id);
    headers.push_static(TYPE, ce_type);
    headers.push(SOURCE, format_args!("/millrace/{}", topics.namespace()));
    headers.push(SUBJECT, subject);
    headers.push(TIME, time);
    headers.push_static(CONTENT_TYPE, content);
    headers
}

/// The headers of an event.
pub(crate) fn event_headers(topics: &Topics, metadata: &EventMetadata, ce_type: &'static str) -> Headers {
    let mut headers =
        common(topics, metadata.event_id(), ce_type, metadata.stream.id(), metadata.occurred_at, AVRO);
    headers.push(STREAM_VERSION, metadata.version);
    headers.push(COMMAND_ID, metadata.command_id);
    headers.push(COMMAND_HASH, metadata.command_hash);
    headers.push(CORRELATION_ID, metadata.correlation_id);
    if let Some(cause) = &metadata.causation_id {
        headers.push(CAUSATION_ID, cause);
    }
    headers.push(PRINCIPAL, &metadata.principal);
    headers.push(WRITER_TERM, metadata.writer_term);
    if let Some(trace) = &metadata.traceparent {
        headers.push(TRACE_PARENT, trace);
    }
    headers.finish()
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
