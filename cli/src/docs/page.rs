//! `/docs`: an OpenAPI document as one page, made here so that it can be read without a script.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::example::{TEXT, example, kind, resolve};
use super::merge::operations;
use super::{escape, frame, prose};

type Operation<'a> = (&'a str, &'a str, &'a Map<String, Value>);

/// The page.
pub(super) fn render(document: &Value) -> String {
    let mut groups: BTreeMap<&str, Vec<Operation<'_>>> = BTreeMap::new();
    for operation in operations(document) {
        let tag = operation.2.get("tags").and_then(|tags| tags[0].as_str()).unwrap_or("other");
        groups.entry(tag).or_default().push(operation);
    }
    let mut body = String::new();
    let info = &document["info"];
    let _ = write!(
        body,
        "<header><h1>{}</h1><p>{}</p><p><a href=\"/docs/problems\">Problems</a> · <a href=\"/openapi.json\">OpenAPI \
         document</a> · <a href=\"/health/ready\">Health</a> · <a href=\"/metrics\">Metrics</a></p></header>",
        escape(info["title"].as_str().unwrap_or_default()),
        prose(info["description"].as_str().unwrap_or_default()),
    );
    body.push_str("<nav><input id=\"filter\" type=\"search\" placeholder=\"filter routes\" aria-label=\"filter routes\">");
    for tag in groups.keys() {
        let _ = write!(body, " <a href=\"#{0}\">{0}</a>", escape(tag));
    }
    body.push_str(" <a href=\"#schemas\">schemas</a></nav>");
    for (tag, operations) in &groups {
        let tags = document["tags"].as_array().into_iter().flatten();
        let about =
            tags.filter(|known| known["name"] == **tag).find_map(|known| known["description"].as_str());
        let _ =
            write!(body, "<h2 id=\"{0}\">{0}</h2><p>{1}</p>", escape(tag), prose(about.unwrap_or_default()));
        for operation in operations {
            body.push_str(&operation_html(document, *operation));
        }
    }
    body.push_str("<h2 id=\"schemas\">schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        body.push_str(&schema_html(name, schema));
    }
    frame("Millrace: API", &body)
}

fn operation_html(document: &Value, (path, method, operation): Operation<'_>) -> String {
    let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut html = String::new();
    let _ = write!(
        html,
        "<details class=\"searched\" id=\"{}\"><summary><span class=\"method {method}\">{}</span> <code \
         class=\"path\">{}</code> {}</summary>",
        escape(&format!("{method}-{path}")),
        method.to_uppercase(),
        escape(path),
        prose(text("summary")),
    );
    let _ = write!(html, "<p>{}</p>", prose(text("description")));
    let curl = curl(document, path, method, operation);
    let _ = write!(
        html,
        "<div class=\"curl\"><pre>{}</pre><button type=\"button\">copy</button></div>",
        escape(&curl)
    );
    let parameters: Vec<&Value> =
        operation.get("parameters").and_then(Value::as_array).into_iter().flatten().collect();
    if !parameters.is_empty() {
        html.push_str("<h4>Parameters</h4><table>");
        for parameter in parameters {
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td>{}{}</td><td>{}</td><td>{}</td></tr>",
                escape(parameter["name"].as_str().unwrap_or_default()),
                escape(parameter["in"].as_str().unwrap_or_default()),
                if parameter["required"] == true { ", required" } else { "" },
                type_html(&parameter["schema"]),
                prose(parameter["description"].as_str().unwrap_or_default()),
            );
        }
        html.push_str("</table>");
    }
    if let Some(body) = operation.get("requestBody") {
        let _ = write!(
            html,
            "<h4>Body</h4><p>{} {}</p>",
            content_html(body),
            prose(body["description"].as_str().unwrap_or_default())
        );
    }
    html.push_str("<h4>Answers</h4><table>");
    for (status, answer) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(status),
            prose(answer["description"].as_str().unwrap_or_default()),
            content_html(answer),
        );
    }
    html.push_str("</table></details>");
    html
}

/// Every content type with its schema.
fn content_html(of: &Value) -> String {
    let contents = of["content"].as_object().into_iter().flatten();
    let parts = contents
        .map(|(kind, content)| format!("<code>{}</code> {}", escape(kind), type_html(&content["schema"])));
    parts.collect::<Vec<_>>().join("<br>")
}

/// A schema in a few words; a named one is a link.
fn type_html(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|link| link.rsplit('/').next()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
    }
    for either in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema.get(either).and_then(Value::as_array) {
            let between = if either == "allOf" { " and " } else { " or " };
            return choices.iter().map(type_html).collect::<Vec<_>>().join(between);
        }
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values = values.iter().map(|value| format!("<code>{}</code>", escape(&value.to_string())));
        return values.collect::<Vec<_>>().join(" or ");
    }
    match kind(schema) {
        "array" => format!("list of {}", type_html(&schema["items"])),
        "" => String::new(),
        kind => match schema["format"].as_str() {
            Some(format) => format!("{} ({})", escape(kind), escape(format)),
            None => escape(kind),
        },
    }
}

fn schema_html(name: &str, schema: &Value) -> String {
    let mut html = format!(
        "<details id=\"schema-{0}\"><summary><code>{0}</code> {1}</summary>",
        escape(name),
        prose(schema["description"].as_str().unwrap_or_default())
    );
    fields_html(schema, &mut html);
    html.push_str("</details>");
    html
}

fn fields_html(schema: &Value, html: &mut String) {
    let Some(properties) = schema["properties"].as_object() else {
        let _ = write!(html, "<p>{}</p>", type_html(schema));
        for choice in ["oneOf", "anyOf", "allOf"].iter().filter_map(|name| schema[*name].as_array()).flatten()
        {
            if choice["properties"].is_object() {
                fields_html(choice, html);
            }
        }
        return;
    };
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    html.push_str("<table>");
    for (field, of) in properties {
        let _ = write!(
            html,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
            escape(field),
            if required.contains(&field.as_str()) { "required" } else { "" },
            type_html(of),
            prose(of["description"].as_str().unwrap_or_default()),
        );
    }
    html.push_str("</table>");
}

/// A line that can be pasted; the script of the page puts the page's own address in.
fn curl(document: &Value, path: &str, method: &str, operation: &Map<String, Value>) -> String {
    let mut address = path.to_owned();
    let mut query = Vec::new();
    for parameter in operation.get("parameters").and_then(Value::as_array).into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let given =
            parameter.get("example").cloned().unwrap_or_else(|| example(document, &parameter["schema"]));
        let value = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
        if parameter["in"] == "path" {
            let value = if value == TEXT { name.to_uppercase() } else { value };
            address = address.replace(&format!("{{{name}}}"), &value);
        } else if parameter["in"] == "query" && parameter["required"] == true {
            query.push(format!("{name}={value}"));
        }
    }
    if !query.is_empty() {
        address.push('?');
        address.push_str(&query.join("&"));
    }
    let mut line = "curl".to_owned();
    if method != "get" {
        let _ = write!(line, " -X {}", method.to_uppercase());
    }
    let _ = write!(line, " 'http://127.0.0.1:8080{address}'");
    let body = operation.get("requestBody").and_then(|body| body["content"].as_object());
    if let Some((content_type, content)) = body.and_then(|contents| contents.iter().next()) {
        let schema = resolve(document, &content["schema"]);
        let value = content.get("example").cloned().unwrap_or_else(|| example(document, schema));
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let quoted = value.replace('\'', "'\\''");
        let _ = write!(line, " \\\n  -H 'content-type: {content_type}' \\\n  --data-binary '{quoted}'");
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        json!({
            "info": {"title": "Millrace", "description": "with `code` & <tags>"},
            "tags": [{"name": "orders", "description": "What was bought"}],
            "paths": {
                "/v1/orders": {"post": {
                    "tags": ["orders"], "summary": "Place an order",
                    "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Place"}}}},
                    "responses": {"201": {"description": "It is placed"}}
                }},
                "/v1/orders/{id}": {"get": {
                    "tags": ["orders"],
                    "parameters": [
                        {"name": "id", "in": "path", "required": true, "schema": {"type": "string"}},
                        {"name": "version", "in": "query", "schema": {"type": "integer"}}
                    ],
                    "responses": {"200": {"description": "It", "content": {"application/json": {"schema": {"type": "object"}}}}}
                }},
                "/v1/reports/totals": {"get": {"responses": {}}}
            },
            "components": {"schemas": {"Place": {
                "type": "object", "required": ["note"],
                "properties": {"note": {"type": "string", "example": "it's", "description": "A note"}}
            }}}
        })
    }

    #[test]
    fn every_operation_parameter_answer_and_schema_is_on_the_page() {
        let page = render(&document());
        for part in [
            "<code class=\"path\">/v1/orders</code> Place an order",
            "<code class=\"path\">/v1/orders/{id}</code>",
            "<code class=\"path\">/v1/reports/totals</code>",
            "What was bought",
            "It is placed",
            "<code>version</code>",
            "id=\"schema-Place\"",
            "A note",
            "with <code>code</code> &amp; &lt;tags&gt;",
        ] {
            assert!(page.contains(part), "{part} in\n{page}");
        }
    }

    #[test]
    fn curl_lines_can_be_pasted() {
        let document = document();
        let line = |wanted: &str| {
            let (path, method, operation) = operations(&document).find(|(path, ..)| *path == wanted).unwrap();
            curl(&document, path, method, operation)
        };
        assert_eq!(line("/v1/orders/{id}"), "curl 'http://127.0.0.1:8080/v1/orders/ID'");
        assert_eq!(
            line("/v1/orders"),
            "curl -X POST 'http://127.0.0.1:8080/v1/orders' \\\n  -H 'content-type: application/json' \\\n  \
             --data-binary '{\"note\":\"it'\\''s\"}'"
        );
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = render(&document());
        for foreign in ["src=", "@import", "<link", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }
}
