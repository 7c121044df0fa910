//! Upcasters: how bodies written under retired event versions become current events.
//!
//! An upcaster lifts the JSON form of a body by one version. Retired types stay in [`RETIRED`] with their released
//! schema, so that whatever was ever written can be read.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Event;
use crate::avro::{AvroError, BodyReader, EventSchema, read_current};

/// Released types that no current event is written as any more: CloudEvents type, schema text.
pub(crate) const RETIRED: &[(&str, &str)] = &[];

/// Lifts a body from one version of its type to the next.
#[derive(Clone, Copy)]
pub struct Upcaster {
    /// The type as written, `millrace.order.placed.v1`.
    pub from: &'static str,
    /// The type that the lifted body fits.
    pub to: &'static str,
    /// The lift; the error says what is wrong with the body.
    pub lift: fn(Value) -> Result<Value, String>,
}

/// Every upcaster there is. No version has been retired yet.
const UPCASTERS: &[Upcaster] = &[];

/// Lifts `body` of type `ce_type` by as many upcasters as lead on from it; returns the type it fits now.
pub fn upcast(upcasters: &[Upcaster], ce_type: &str, body: Value) -> Result<(String, Value), AvroError> {
    let (mut ce_type, mut body) = (ce_type.to_owned(), body);
    while let Some(step) = upcasters.iter().find(|step| step.from == ce_type) {
        body = (step.lift)(body).map_err(|reason| AvroError::Upcast { ce_type: ce_type.clone(), reason })?;
        ce_type = step.to.to_owned();
    }
    Ok((ce_type, body))
}

/// Reads a body of a retired type.
pub(crate) fn decode_retired(schema: &'static EventSchema, mut body: &[u8]) -> Result<Event, AvroError> {
    struct FromJson(Value);
    impl BodyReader for FromJson {
        type Error = String;
        fn read<T: DeserializeOwned>(self) -> Result<T, String> {
            serde_json::from_value(self.0).map_err(|e| e.to_string())
        }
    }
    let written = schema
        .reader()
        .read_value(&mut body)
        .and_then(Value::try_from)
        .map_err(|source| AvroError::Body { ce_type: schema.ce_type, source: Box::new(source) })?;
    let (ce_type, lifted) = upcast(UPCASTERS, schema.ce_type, written)?;
    read_current(&ce_type, || FromJson(lifted.clone()))
        .ok_or(AvroError::NoReader(schema.ce_type))?
        .map_err(|reason| AvroError::Upcast { ce_type, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_lifted_through_every_version_up_to_the_current_one() {
        const STEPS: &[Upcaster] = &[
            Upcaster {
                from: "t.v1",
                to: "t.v2",
                lift: |mut v| {
                    v["b"] = v["a"].take();
                    Ok(v)
                },
            },
            Upcaster {
                from: "t.v2",
                to: "t.v3",
                lift: |v| if v["b"].is_null() { Err("b is missing".into()) } else { Ok(v) },
            },
        ];
        let (ce_type, body) = upcast(STEPS, "t.v1", serde_json::json!({"a": 1})).unwrap();
        assert_eq!((ce_type.as_str(), &body["b"]), ("t.v3", &serde_json::json!(1)));
        assert!(matches!(upcast(STEPS, "t.v2", serde_json::json!({})), Err(AvroError::Upcast { .. })));
    }
}
