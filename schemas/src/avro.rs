//! Avro bodies: the released schemas, their ids, and encoding by them.
//!
//! A released schema is a file under `schemas/avro/` that never changes. Its id is that of the built-in registry; a
//! real registry gives ids of its own. Framing (magic byte and schema id) is the business of `event-log`.

use std::collections::HashMap;
use std::sync::LazyLock;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{AvroResult, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Event;
use crate::cart::CartEvent;
use crate::customer::CustomerEvent;
use crate::order::OrderEvent;
use crate::payment::PaymentEvent;
use crate::product::ProductEvent;
use crate::shipment::ShipmentEvent;
use crate::stock::StockEvent;

/// Why a body could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum AvroError {
    /// No released schema has this id.
    #[error("no released schema has the id {0}")]
    UnknownSchema(u32),
    /// The bytes do not fit the schema.
    #[error("the body of {ce_type} does not fit its schema")]
    Body {
        /// The event's type.
        ce_type: &'static str,
        /// Avro's own words.
        #[source]
        source: Box<apache_avro::Error>,
    },
    /// A type of this name was never current, and no upcaster leads from it.
    #[error("no reader and no upcaster knows the event type {0}")]
    NoReader(&'static str),
    /// An upcaster met a body that it cannot lift.
    #[error("upcasting {ce_type}: {reason}")]
    Upcast {
        /// The type as written.
        ce_type: String,
        /// What was wrong with it.
        reason: String,
    },
}

/// Id of a schema in one registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(pub u32);

/// One released event type.
pub struct EventSchema {
    /// CloudEvents type, `millrace.order.placed.v1`.
    pub ce_type: &'static str,
    /// Id in the built-in registry.
    pub id: SchemaId,
    /// The released text, as in the `.avsc` file.
    pub text: &'static str,
    schema: &'static Schema,
    writer: GenericDatumWriter<'static>,
    reader: GenericDatumReader<'static>,
}

impl EventSchema {
    /// The parsed schema.
    pub fn schema(&self) -> &'static Schema {
        self.schema
    }

    /// Reads datums of this schema.
    pub(crate) fn reader(&self) -> &GenericDatumReader<'static> {
        &self.reader
    }
}

/// Writes one body, whatever its type.
pub(crate) trait BodyVisitor<R> {
    fn visit<T: Serialize>(self, body: &T) -> R;
}

/// Reads one body, whatever its type.
pub(crate) trait BodyReader {
    type Error;
    fn read<T: DeserializeOwned>(self) -> Result<T, Self::Error>;
}

struct Catalogue {
    schemas: Vec<EventSchema>,
    by_type: HashMap<&'static str, usize>,
    by_id: HashMap<SchemaId, usize>,
}

/// The ids of the built-in registry, in the order of release. Append only.
const IDS: &str = include_str!("../avro/IDS");

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let ids: HashMap<&str, u32> = IDS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let (id, ce_type) = line.split_once(' ').expect("a line of schemas/avro/IDS is <id> <type>");
            (ce_type, id.parse().expect("ids in schemas/avro/IDS are numbers"))
        })
        .collect();
    let released = [
        ProductEvent::RELEASED,
        StockEvent::RELEASED,
        CartEvent::RELEASED,
        OrderEvent::RELEASED,
        PaymentEvent::RELEASED,
        CustomerEvent::RELEASED,
        ShipmentEvent::RELEASED,
        crate::upcast::RETIRED,
    ];
    let schemas: Vec<_> = released
        .into_iter()
        .flatten()
        .map(|(ce_type, text)| {
            let id = SchemaId(*ids.get(ce_type).expect("every released type has a line in schemas/avro/IDS"));
            // Parsed once per process and used until it ends.
            let schema: &'static Schema =
                Box::leak(Box::new(Schema::parse_str(text).expect("released schemas are valid Avro")));
            EventSchema {
                ce_type,
                id,
                text,
                schema,
                writer: GenericDatumWriter::builder(schema)
                    .human_readable(false)
                    .build()
                    .expect("released schemas resolve"),
                reader: GenericDatumReader::builder(schema)
                    .human_readable(false)
                    .build()
                    .expect("released schemas resolve"),
            }
        })
        .collect();
    let by_type = schemas.iter().enumerate().map(|(i, s)| (s.ce_type, i)).collect();
    let by_id = schemas.iter().enumerate().map(|(i, s)| (s.id, i)).collect();
    Catalogue { schemas, by_type, by_id }
});

/// All released event types.
pub fn event_schemas() -> &'static [EventSchema] {
    &CATALOGUE.schemas
}

/// The released type called `ce_type`.
pub fn schema_by_type(ce_type: &str) -> Option<&'static EventSchema> {
    CATALOGUE.by_type.get(ce_type).map(|i| &CATALOGUE.schemas[*i])
}

/// The released type with this id in the built-in registry.
pub fn schema_by_id(id: SchemaId) -> Option<&'static EventSchema> {
    CATALOGUE.by_id.get(&id).map(|i| &CATALOGUE.schemas[*i])
}

/// Appends the event's body as an Avro datum to `out`; returns the id of the schema it was written with.
pub fn encode_event(event: &Event, out: &mut Vec<u8>) -> Result<SchemaId, AvroError> {
    struct Write<'a>(&'a EventSchema, &'a mut Vec<u8>);
    impl BodyVisitor<AvroResult<usize>> for Write<'_> {
        fn visit<T: Serialize>(self, body: &T) -> AvroResult<usize> {
            self.0.writer.write_ser(self.1, body)
        }
    }
    let ce_type = event.ce_type();
    let schema = schema_by_type(ce_type).expect("every event of an aggregate is in the catalogue");
    let write = Write(schema, out);
    match event {
        Event::Product(event) => event.with_body(write),
        Event::Stock(event) => event.with_body(write),
        Event::Cart(event) => event.with_body(write),
        Event::Order(event) => event.with_body(write),
        Event::Payment(event) => event.with_body(write),
        Event::Customer(event) => event.with_body(write),
        Event::Shipment(event) => event.with_body(write),
    }
    .map_err(|source| AvroError::Body { ce_type, source: Box::new(source) })?;
    Ok(schema.id)
}

/// Reads an event from an Avro datum written with the schema `id`; older versions are upcast.
pub fn decode_event(id: SchemaId, body: &[u8]) -> Result<Event, AvroError> {
    struct Read<'a>(&'static EventSchema, &'a [u8]);
    impl BodyReader for Read<'_> {
        type Error = AvroError;
        fn read<T: DeserializeOwned>(mut self) -> Result<T, AvroError> {
            let ce_type = self.0.ce_type;
            self.0
                .reader
                .read_deser(&mut self.1)
                .map_err(|source| AvroError::Body { ce_type, source: Box::new(source) })
        }
    }
    let schema = schema_by_id(id).ok_or(AvroError::UnknownSchema(id.0))?;
    match read_current(schema.ce_type, || Read(schema, body)) {
        Some(event) => event,
        None => crate::upcast::decode_retired(schema, body),
    }
}

/// Reads a body with the current reader of `ce_type`; `None` when there is none.
pub(crate) fn read_current<R: BodyReader>(
    ce_type: &str,
    reader: impl Fn() -> R,
) -> Option<Result<Event, R::Error>> {
    let aggregate = ce_type.strip_prefix("millrace.")?.split('.').next()?;
    match aggregate {
        "product" => ProductEvent::read_body(ce_type, reader()).map(|r| r.map(Event::Product)),
        "stock" => StockEvent::read_body(ce_type, reader()).map(|r| r.map(Event::Stock)),
        "cart" => CartEvent::read_body(ce_type, reader()).map(|r| r.map(Event::Cart)),
        "order" => OrderEvent::read_body(ce_type, reader()).map(|r| r.map(Event::Order)),
        "payment" => PaymentEvent::read_body(ce_type, reader()).map(|r| r.map(Event::Payment)),
        "customer" => CustomerEvent::read_body(ce_type, reader()).map(|r| r.map(Event::Customer)),
        "shipment" => ShipmentEvent::read_body(ce_type, reader()).map(|r| r.map(Event::Shipment)),
        _ => None,
    }
}
