//! Events, commands and outcomes survive the way through a record.

use event_log::{FramingError, NewRecord, OutcomeRecord, Record, Shard, Topics};
use schemas::{
    CommandEnvelope, CommandId, ErrorCode, EventId, EventMetadata, Outcome, Position, Principal, Rejection,
    Sku, StreamId, Timestamp, Version,
};

fn stored(new: NewRecord, offset: u64) -> Record {
    Record {
        position: Position { topic: new.topic, partition: new.partition, offset },
        timestamp: new.timestamp,
        key: new.key,
        headers: new.headers,
        value: new.value,
    }
}

fn command() -> CommandEnvelope {
    let body = serde_json::json!({"aggregate": "product", "id": "85123A", "type": "retire", "data": {"reason": "sold out"}});
    let command = serde_json::from_value(body).unwrap();
    CommandEnvelope::new(
        CommandId::new(uuid::Uuid::from_u128(7)),
        Principal::new("importer").unwrap(),
        command,
    )
}

fn event() -> schemas::Event {
    schemas::product::ProductRetired { sku: Sku::new("BANK CHARGES").unwrap(), reason: "sold out".to_owned() }
        .into()
}

fn metadata() -> EventMetadata {
    let command = command();
    EventMetadata {
        stream: StreamId::product(&Sku::new("BANK CHARGES").unwrap()),
        version: Version::new(12),
        occurred_at: "2010-12-01T08:26:00Z".parse().unwrap(),
        recorded_at: Timestamp::from_millis(1_700_000_000_123),
        command_id: command.command_id,
        command_hash: command.command.hash(),
        correlation_id: command.correlation_id,
        causation_id: Some(EventId::from_text("order/536365/1")),
        principal: command.principal,
        writer_term: 3,
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
    }
}

#[test]
fn an_event_survives_and_its_headers_are_plain_text() {
    let topics = Topics::new("shop");
    let event = event();
    let metadata = metadata();
    let new = event_log::encode_event(&topics, 4, &metadata, &event).unwrap();
    assert_eq!(&*new.topic, "shop.product.events");
    assert_eq!((&new.key[..], new.timestamp), (&b"BANK CHARGES"[..], metadata.recorded_at));
    assert_eq!(new.partition, event_log::partition_for(b"BANK CHARGES", 4));
    assert_eq!(new.value[0], 0, "Confluent framing");
    let expected = [
        ("ce_specversion", "1.0"),
        ("ce_id", "product/BANK%20CHARGES/12"),
        ("ce_type", "millrace.product.retired.v1"),
        ("ce_source", "/millrace/shop"),
        ("ce_subject", "BANK CHARGES"),
        ("ce_time", "2010-12-01T08:26:00.000Z"),
        ("content-type", "application/avro"),
        ("ce_streamversion", "12"),
        ("ce_commandid", "00000000-0000-0000-0000-000000000007"),
        ("ce_commandhash", &metadata.command_hash.to_string()),
        ("ce_correlationid", "00000000-0000-0000-0000-000000000007"),
        ("ce_causationid", "order/536365/1"),
        ("ce_principal", "importer"),
        ("ce_writerterm", "3"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ];
    let found: Vec<_> =
        new.headers.iter().map(|(name, value)| (name, std::str::from_utf8(value).unwrap())).collect();
    assert_eq!(found, expected);

    let read = event_log::decode_event(&stored(new, 17)).unwrap();
    assert_eq!((read.position.offset, read.metadata, read.event), (17, metadata, event));
}

#[test]
fn a_bad_record_is_a_named_error() {
    let topics = Topics::new("shop");
    let event = event();
    let good = stored(event_log::encode_event(&topics, 4, &metadata(), &event).unwrap(), 5);

    let not_framed = Record { value: "\u{1}text".into(), ..good.clone() };
    assert!(matches!(event_log::decode_event(&not_framed), Err(FramingError::NotFramed { .. })));
    let unknown_schema = Record { value: vec![0, 255, 255, 255, 255].into(), ..good.clone() };
    assert!(matches!(event_log::decode_event(&unknown_schema), Err(FramingError::Body { .. })));
    let no_headers = Record { headers: event_log::Headers::new(), ..good.clone() };
    let error = event_log::decode_event(&no_headers).unwrap_err();
    assert!(
        error.to_string().contains("shop.product.events/") && error.to_string().contains("ce_subject"),
        "{error}"
    );
    let mut headers = good.headers.clone();
    headers.push("ce_streamversion", "twelve");
    let bad_version = Record { headers, ..good };
    assert!(matches!(
        event_log::decode_event(&bad_version),
        Err(FramingError::BadHeader { header: "ce_streamversion", .. })
    ));
}

#[test]
fn commands_and_outcomes_survive() {
    let topics = Topics::new("shop");
    let command = command();
    let now = Timestamp::from_millis(1_700_000_000_123);
    let new = event_log::encode_command(&topics, 4, &command, now, None).unwrap();
    assert_eq!((&*new.topic, new.partition), ("shop.commands", event_log::partition_for(b"85123A", 4)));
    assert_eq!(event_log::decode_command(&stored(new, 0)).unwrap(), command);

    let rejection = Rejection::new(ErrorCode::ProductRetired, "the product is retired").fact("sku", "85123A");
    for outcome in [Outcome::Rejected(rejection), Outcome::Unchanged { version: Version::new(4) }] {
        let outcome = OutcomeRecord {
            command_id: command.command_id,
            command_hash: command.command.hash(),
            stream: command.command.stream(),
            correlation_id: command.correlation_id,
            writer_term: 9,
            recorded_at: now,
            outcome,
        };
        let new = event_log::encode_outcome(&topics, Shard::new(3), &outcome).unwrap();
        assert_eq!((&*new.topic, new.partition), ("shop.outcomes", 3));
        assert_eq!(event_log::decode_outcome(&stored(new, 1)).unwrap(), outcome);
    }
}
