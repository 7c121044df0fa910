//! The description says what the API does.

use std::collections::BTreeSet;

use serde_json::Value;

#[test]
fn the_description_is_openapi_3_1_and_complete() {
    let text = commands_api::openapi().to_pretty_json().unwrap();
    let described: Value = serde_json::from_str(&text).unwrap();
    assert!(described["openapi"].as_str().unwrap().starts_with("3.1."), "{}", described["openapi"]);
    assert_eq!(described["info"]["title"], "Millrace commands");
    let mut ids = BTreeSet::new();
    let mut operations = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            let place = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{place}");
            assert!(ids.insert(operation["operationId"].to_string()), "{place}: operation id twice");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("200"), "{place}: {responses:?}");
            // A range of statuses would hide every answer that nobody has thought of.
            assert!(responses.keys().all(|status| status.parse::<u16>().is_ok()), "{place}: {responses:?}");
            for part in path.split('/').filter(|part| part.starts_with('{')) {
                let name = part.trim_matches(['{', '}']);
                let parameters = operation["parameters"].as_array().unwrap();
                let named = parameters.iter().any(|p| p["name"] == name && p["in"] == "path");
                assert!(named, "{place}: {name} is not described");
            }
        }
    }
    assert_eq!(operations, 34);
}

#[test]
fn every_reference_of_the_description_leads_somewhere() {
    let described = serde_json::to_value(commands_api::openapi()).unwrap();
    let mut pending = vec![&described];
    let (mut references, mut dangling) = (0, BTreeSet::new());
    while let Some(value) = pending.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    references += 1;
                    let pointer = reference.strip_prefix('#').unwrap();
                    if described.pointer(pointer).is_none() {
                        dangling.insert(reference);
                    }
                }
                pending.extend(fields.values());
            }
            Value::Array(items) => pending.extend(items),
            _ => {}
        }
    }
    assert!(dangling.is_empty(), "{dangling:?} lead nowhere");
    assert!(references > 50, "{references}");
}
