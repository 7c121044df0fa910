//! Released schemas never change, and the Rust types write just what they say.

use std::fs;
use std::path::PathBuf;

use apache_avro::Schema;
use schemas::cart::CartEvent;
use schemas::customer::CustomerEvent;
use schemas::order::OrderEvent;
use schemas::payment::PaymentEvent;
use schemas::product::ProductEvent;
use schemas::shipment::ShipmentEvent;
use schemas::stock::StockEvent;

/// The derived schema of every current event type.
pub(crate) fn derived() -> Vec<(&'static str, Schema)> {
    [
        ProductEvent::derived_schemas(),
        StockEvent::derived_schemas(),
        CartEvent::derived_schemas(),
        OrderEvent::derived_schemas(),
        PaymentEvent::derived_schemas(),
        CustomerEvent::derived_schemas(),
        ShipmentEvent::derived_schemas(),
    ]
    .concat()
}

/// To release a new event type: put `"null"` into its file, run this test with `MILLRACE_RELEASE_SCHEMAS=1`, then
/// `cargo xtask tidy --release-schemas`.
#[test]
fn each_event_type_writes_the_schema_that_was_released() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("avro");
    for (ce_type, schema) in derived() {
        let path = folder.join(format!("{ce_type}.avsc"));
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        let released = fs::read_to_string(&path).unwrap();
        if released.trim() == "\"null\"" && std::env::var_os("MILLRACE_RELEASE_SCHEMAS").is_some() {
            fs::write(&path, text).unwrap();
        } else {
            assert_eq!(
                released, text,
                "{ce_type}: a released schema never changes; release a new version instead"
            );
        }
    }
}

#[test]
fn every_record_and_field_says_what_it_means() {
    fn check(ce_type: &str, schema: &Schema) {
        match schema {
            Schema::Record(record) => {
                assert!(record.doc.is_some(), "{ce_type}: {} has no doc", record.name);
                for field in &record.fields {
                    assert!(field.doc.is_some(), "{ce_type}: {}.{} has no doc", record.name, field.name);
                    check(ce_type, &field.schema);
                }
            }
            Schema::Array(array) => check(ce_type, &array.items),
            Schema::Map(map) => check(ce_type, &map.types),
            Schema::Union(union) => union.variants().iter().for_each(|variant| check(ce_type, variant)),
            _ => {}
        }
    }
    for (ce_type, schema) in derived() {
        check(ce_type, &schema);
    }
}

#[test]
fn ids_of_the_built_in_registry_lead_back_to_their_type() {
    let all = schemas::event_schemas();
    assert_eq!(all.len(), derived().len());
    for schema in all {
        assert_eq!(schemas::schema_by_id(schema.id).unwrap().ce_type, schema.ce_type);
        assert_eq!(schemas::schema_by_type(schema.ce_type).unwrap().id, schema.id);
    }
}
