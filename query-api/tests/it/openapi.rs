//! The OpenAPI document lists what the router serves.

#[test]
fn every_route_is_documented_with_its_schema_and_the_position_headers() {
    let document = serde_json::to_value(query_api::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 14);
    for (path, item) in paths {
        let get = &item["get"];
        assert!(get["summary"].is_string(), "{path} has no summary");
        let headers = &get["responses"]["200"]["headers"];
        assert!(headers["Millrace-Position"].is_object(), "{path} does not name Millrace-Position");
        let asks = get["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "Millrace-Min-Position");
        assert!(asks, "{path} does not name Millrace-Min-Position");
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["OrderView", "OrderDocument", "StockDocument", "TotalsView", "StreamEntry", "Problem"] {
        assert!(schemas.contains_key(name), "{name} is missing");
    }
    // Nothing points at a schema that is not there.
    let text = document.to_string();
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is missing");
    }
}
