//! Several OpenAPI documents as one.

use serde_json::{Map, Value, json};

/// Takes documents together: paths by method, components by kind and name, tags by name. Of two things of the same name
/// the first one stays.
pub(super) fn merge(documents: Vec<Value>) -> Value {
    let mut merged = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Millrace",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Commands and queries of the shop. A command is answered once it is durable; its answer says \
                where the event stands (`Millrace-Position`), and a query that sends this back as \
                `Millrace-Min-Position` sees it. Errors are problem documents (RFC 9457) with a stable `code`; \
                /docs/problems lists them. A path that leads nowhere is answered 404 `not_found`, a method that a path does \
                not know 405 `method_not_allowed` with `Allow`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}
        },
        "paths": {},
        "components": {},
        "tags": []
    });
    for document in documents {
        let Value::Object(mut document) = document else { continue };
        add(&mut merged["paths"], document.remove("paths"));
        add(&mut merged["components"], document.remove("components"));
        if let (Value::Array(tags), Some(Value::Array(more))) = (&mut merged["tags"], document.remove("tags"))
        {
            let known: Vec<Value> = tags.iter().map(|tag| tag["name"].clone()).collect();
            tags.extend(more.into_iter().filter(|tag| !known.contains(&tag["name"])));
        }
    }
    merged
}

/// Two levels deep: path and method, kind and name.
fn add(into: &mut Value, more: Option<Value>) {
    let (Value::Object(into), Some(Value::Object(more))) = (into, more) else { return };
    for (name, inner) in more {
        match (into.get_mut(&name), inner) {
            (Some(Value::Object(known)), Value::Object(inner)) => {
                for (name, value) in inner {
                    known.entry(name).or_insert(value);
                }
            }
            (Some(_), _) => {}
            (None, inner) => {
                into.insert(name, inner);
            }
        }
    }
}

/// Every operation with its path and method, in the document's order.
pub(super) fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Map<String, Value>)> {
    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        METHODS
            .iter()
            .filter_map(move |method| Some((path.as_str(), *method, item.get(*method)?.as_object()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_of_one_path_and_schemas_come_together_and_tags_are_named_once() {
        let write = json!({
            "paths": {"/v1/orders": {"post": {"tags": ["orders"]}}},
            "components": {"schemas": {"Problem": {"type": "object"}, "Order": {}}},
            "tags": [{"name": "orders", "description": "write"}]
        });
        let read = json!({
            "paths": {"/v1/orders": {"get": {}}, "/v1/stock": {"get": {}}},
            "components": {"schemas": {"Problem": {"type": "string"}, "Stock": {}}},
            "tags": [{"name": "orders", "description": "read"}, {"name": "stock"}]
        });
        let merged = merge(vec![write, read]);
        let found: Vec<_> = operations(&merged).map(|(path, method, _)| format!("{method} {path}")).collect();
        assert_eq!(found, ["get /v1/orders", "post /v1/orders", "get /v1/stock"]);
        assert_eq!(merged["components"]["schemas"]["Problem"]["type"], "object");
        assert_eq!(merged["components"]["schemas"].as_object().unwrap().len(), 3);
        assert_eq!(merged["tags"].as_array().unwrap().len(), 2);
    }
}
