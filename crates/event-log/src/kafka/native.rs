//! The two calls of librdkafka that rust-rdkafka cannot make for us, and the only unsafe code of the crate.
//!
//! - **Commit.** `Producer::commit_transaction` flushes first by polling in steps of 100 ms that don't return early, which
//!   costs 100 ms whenever acknowledgements are still on the way. librdkafka's own commit flushes by itself and waits on
//!   a condition variable; delivery reports are served by the polling thread of the `ThreadedProducer` meanwhile.
//! - **Poll.** `BaseConsumer::poll` reports the end of a partition by its number alone, without topic and offset.
//!   Being caught up has to be exact for many topics of one partition number, also where the tail is transaction
//!   markers, and the offset in that report is the only place that tells.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::raw::{c_char, c_void};
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rdkafka::bindings as native;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};
use schemas::{Position, Timestamp};

use super::settle::VOID_KEY;
use crate::{Headers, Record, Topics};

/// Why a commit failed.
#[derive(Debug, thiserror::Error)]
#[error("{message} ({code})")]
pub(crate) struct CommitError {
    pub(crate) code: RDKafkaErrorCode,
    message: String,
}

/// Commits the open transaction of `producer`: flushes, then ends it. Blocks up to `timeout`.
pub(crate) fn commit_transaction<C>(
    producer: &ThreadedProducer<C>,
    timeout: Duration,
) -> Result<(), CommitError>
where
    C: ProducerContext + 'static,
{
    let client = producer.client().native_ptr();
    // SAFETY: `client` is a live handle for as long as `producer` is borrowed, and librdkafka's API is thread-safe. The
    // error, when there is one, is ours until it is destroyed here; its strings live as long as it does.
    unsafe {
        let error = native::rd_kafka_commit_transaction(client, millis(timeout));
        if error.is_null() {
            return Ok(());
        }
        let code = native::rd_kafka_error_code(error).into();
        let message = text(native::rd_kafka_error_string(error));
        native::rd_kafka_error_destroy(error);
        Err(CommitError { code, message })
    }
}

/// What a poll brought.
pub(crate) enum Polled {
    /// A committed record.
    Record(Record),
    /// Everything below `offset` has been read or skipped (aborted records, transaction markers, void records).
    End { topic: Arc<str>, partition: u32, offset: u64 },
    /// The consumer reports an error about a partition (or about none).
    Error { code: RDKafkaErrorCode, message: String, partition: Option<(Arc<str>, u32, i64)> },
    /// Nothing within the time.
    Nothing,
}

/// Takes the next record or report of a consumer with manual assignment. Blocks up to `timeout`.
pub(crate) fn poll<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: &Topics,
    timeout: Duration,
) -> Polled {
    let client = consumer.client().native_ptr();
    // SAFETY: `client` is a live handle for as long as `consumer` is borrowed. The message is ours until it is destroyed
    // below, after everything was copied out of it; nothing borrowed from it leaves this function.
    unsafe {
        let message = native::rd_kafka_consumer_poll(client, millis(timeout));
        if message.is_null() {
            return Polled::Nothing;
        }
        let polled = read_message(&*message, topics);
        native::rd_kafka_message_destroy(message);
        polled
    }
}

/// SAFETY: `message` must be a message of librdkafka that has not been destroyed.
unsafe fn read_message(message: &native::rd_kafka_message_t, topics: &Topics) -> Polled {
    // SAFETY: a message's topic handle, when it has one, lives as long as the message.
    let topic = (!message.rkt.is_null())
        .then(|| unsafe { CStr::from_ptr(native::rd_kafka_topic_name(message.rkt)) }.to_str().ok())
        .flatten()
        .and_then(|name| topics.index_of(name))
        .map(|index| Arc::clone(&topics.all()[index]));
    let partition = u32::try_from(message.partition).ok();
    let offset = u64::try_from(message.offset).ok();
    match (message.err, topic, partition, offset) {
        (
            native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
            Some(topic),
            Some(partition),
            Some(offset),
        ) => {
            // SAFETY: the key belongs to the message.
            let is_void =
                message.payload.is_null() && unsafe { bytes_at(message.key, message.key_len) } == VOID_KEY;
            if is_void {
                return Polled::End { topic, partition, offset: offset + 1 };
            }
            // SAFETY: passed on from the caller.
            Polled::Record(unsafe { read_record(message, Position { topic, partition, offset }) })
        }
        (
            native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF,
            Some(topic),
            Some(partition),
            Some(offset),
        ) => Polled::End { topic, partition, offset },
        (error, topic, partition, _) => {
            // SAFETY: the text belongs to the message, or is static.
            let message_text = unsafe { text(native::rd_kafka_message_errstr(message)) };
            let partition = topic.zip(partition).map(|(topic, partition)| (topic, partition, message.offset));
            Polled::Error { code: error.into(), message: message_text, partition }
        }
    }
}

/// SAFETY: as for `read_message`; the message must hold a record.
unsafe fn read_record(message: &native::rd_kafka_message_t, position: Position) -> Record {
    // SAFETY: key and payload are valid for their lengths while the message lives; headers and their names and values
    // too. Everything is copied into one buffer that the record's parts share.
    unsafe {
        let key = bytes_at(message.key, message.key_len);
        let value = bytes_at(message.payload, message.len);
        let mut buffer = BytesMut::with_capacity(key.len() + value.len());
        buffer.put_slice(key);
        buffer.put_slice(value);

        let mut fields: Vec<(&str, usize)> = Vec::new();
        let mut raw_headers = std::ptr::null_mut();
        let found = native::rd_kafka_message_headers(message, &mut raw_headers);
        if found == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            let (mut name, mut data, mut size) = (std::ptr::null::<c_char>(), std::ptr::null::<c_void>(), 0);
            while native::rd_kafka_header_get_all(raw_headers, fields.len(), &mut name, &mut data, &mut size)
                == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                // Names that are not UTF-8 cannot be ours; they keep their place under an empty name.
                fields.push((CStr::from_ptr(name).to_str().unwrap_or_default(), size));
                buffer.put_slice(bytes_at(data.cast_mut(), size));
            }
        }
        let mut rest = buffer.freeze();
        let key = rest.split_to(key.len());
        let value = rest.split_to(value.len());
        let mut headers = Headers::with_capacity(fields.len());
        for (name, size) in fields {
            headers.push_read(name, rest.split_to(size));
        }
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        let timestamp = Timestamp::from_millis(native::rd_kafka_message_timestamp(message, &mut kind));
        Record { position, timestamp, key: own(key), headers, value }
    }
}

/// An empty part keeps no memory alive.
fn own(bytes: Bytes) -> Bytes {
    if bytes.is_empty() { Bytes::new() } else { bytes }
}

/// SAFETY: `data` must be null or valid for `size` bytes for as long as the result is used.
unsafe fn bytes_at<'a>(data: *mut c_void, size: usize) -> &'a [u8] {
    // SAFETY: stated above.
    if data.is_null() { &[] } else { unsafe { slice::from_raw_parts(data.cast(), size) } }
}

/// SAFETY: `text` must be null or a string that ends with a zero byte.
unsafe fn text(text: *const c_char) -> String {
    // SAFETY: stated above.
    if text.is_null() {
        String::new()
    } else {
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX)
}
