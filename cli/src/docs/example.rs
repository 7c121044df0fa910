//! An example value of a schema, for the `curl` lines.

use serde_json::{Map, Value, json};

/// Schemas that contain themselves end here.
const DEPTH_MAX: usize = 8;

/// Stands for any text.
pub(super) const TEXT: &str = "text";

/// The schema that a `$ref` leads to, or the schema itself.
pub(super) fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|link| link.strip_prefix("#/components/schemas/"));
    match name {
        Some(name) => &document["components"]["schemas"][name],
        None => schema,
    }
}

/// A value that fits the schema: its own example where it has one, otherwise the required parts.
pub(super) fn example(document: &Value, schema: &Value) -> Value {
    build(document, schema, 0)
}

fn build(document: &Value, schema: &Value, depth: usize) -> Value {
    // An example beside the reference is about this place; it goes before the one of the type.
    if let Some(given) = given(schema) {
        return given;
    }
    let schema = resolve(document, schema);
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(given) = given(schema) {
        return given;
    }
    for either in ["oneOf", "anyOf"] {
        if let Some(choices) = schema.get(either).and_then(Value::as_array) {
            let choice = choices.iter().find(|choice| choice["type"] != "null");
            return choice.map_or(Value::Null, |choice| build(document, choice, depth + 1));
        }
    }
    if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
        let mut all = Map::new();
        for part in parts {
            match build(document, part, depth + 1) {
                Value::Object(fields) => all.extend(fields),
                other => return other,
            }
        }
        return Value::Object(all);
    }
    match kind(schema) {
        "object" => {
            let required: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let properties = schema["properties"].as_object().into_iter().flatten();
            let fields = properties
                .filter(|(name, _)| required.contains(&name.as_str()))
                .map(|(name, of)| (name.clone(), named(name, build(document, of, depth + 1))));
            Value::Object(fields.collect())
        }
        "array" => json!([build(document, &schema["items"], depth + 1)]),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(true),
        "string" => match schema["format"].as_str() {
            Some("date-time") => json!("2026-01-31T12:00:00Z"),
            Some("date") => json!("2026-01-31"),
            Some("uuid") => json!("00000000-0000-4000-8000-000000000001"),
            _ => json!(TEXT),
        },
        _ => Value::Null,
    }
}

/// A text that nothing is known about says at least what it is.
fn named(name: &str, value: Value) -> Value {
    if value == TEXT { json!(name.to_uppercase()) } else { value }
}

fn given(schema: &Value) -> Option<Value> {
    let first = |name: &str| schema.get(name)?.as_array()?.first().cloned();
    schema
        .get("example")
        .cloned()
        .or_else(|| first("examples"))
        .or_else(|| schema.get("const").cloned())
        .or_else(|| {
            let choice = first("enum")?;
            Some(schema.get("default").cloned().unwrap_or(choice))
        })
}

/// The type's name; of `["string", "null"]` the first one.
pub(super) fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("")
        }
        _ if schema.get("properties").is_some() => "object",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_required_parts_are_filled_in_and_references_followed() {
        let document = json!({"components": {"schemas": {
            "Order": {
                "type": "object",
                "required": ["lines", "status", "at", "currency"],
                "properties": {
                    "lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
                    "status": {"enum": ["placed", "delivered"]},
                    "at": {"type": "string", "format": "date-time"},
                    "currency": {"type": "string", "example": "GBP"},
                    "note": {"type": ["string", "null"]}
                }
            },
            "Line": {
                "type": "object",
                "required": ["quantity", "parent"],
                "properties": {
                    "quantity": {"type": "integer", "minimum": 1},
                    "parent": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/Line"}]}
                }
            }
        }}});
        let example = example(&document, &json!({"$ref": "#/components/schemas/Order"}));
        assert_eq!(example["status"], "placed");
        assert_eq!(example["currency"], "GBP");
        assert_eq!(example["lines"][0]["quantity"], 1);
        assert!(example.get("note").is_none());
        assert!(example["lines"][0]["parent"]["quantity"] == 1, "and a schema that contains itself ends");
    }
}
