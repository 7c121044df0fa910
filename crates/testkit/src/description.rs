//! An OpenAPI document as a judge of answers: what it does not say must not be answered.

use serde_json::Value;

/// The document.
pub struct Description {
    document: Value,
}

impl Description {
    /// Judges by this document.
    pub fn new(document: Value) -> Self {
        Self { document }
    }

    /// Panics when `status` with this body is not among the documented answers to `method` on `path`: the status, and of
    /// a problem its `code`. Requests that no operation is for are nobody's business here.
    #[track_caller]
    pub fn check(&self, method: &str, path: &str, status: u16, body: &Value) {
        let Some((template, operation)) = self.operation(method, path) else { return };
        let place = format!("{method} {template}");
        let answer = &operation["responses"][status.to_string()];
        assert!(answer.is_object(), "{place} is answered {status}, which is not documented: {body}");
        if status >= 400 {
            let code = &body["code"];
            assert!(codes(answer).any(|known| known == code), "{place}: {status} {code} is not documented");
        }
    }

    /// The operation for a request, with its path template.
    fn operation(&self, method: &str, path: &str) -> Option<(&str, &Value)> {
        let path = path.split('?').next().unwrap_or_default();
        let fits = |template: &str| {
            let (wanted, given) = (template.split('/'), path.split('/'));
            wanted.clone().count() == given.clone().count()
                && wanted.zip(given).all(|(wanted, given)| wanted == given || wanted.starts_with('{'))
        };
        let (template, item) =
            self.document["paths"].as_object()?.iter().find(|(template, _)| fits(template))?;
        let operation = item.get(method.to_lowercase())?;
        Some((template, operation))
    }
}

/// The problem codes of a documented answer.
fn codes(answer: &Value) -> impl Iterator<Item = &Value> {
    let parts = answer["content"]["application/problem+json"]["schema"]["allOf"].as_array();
    parts.into_iter().flatten().filter_map(|part| part["properties"]["code"]["enum"].as_array()).flatten()
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use serde_json::json;

    use super::*;

    fn is_fine(method: &str, path: &str, status: u16, code: &str) -> bool {
        let description = Description::new(json!({"paths": {"/v1/carts/{id}": {"get": {"responses": {
            "200": {"description": "It"},
            "404": {"content": {"application/problem+json": {"schema": {"allOf": [
                {"$ref": "#/components/schemas/Problem"}, {"properties": {"code": {"enum": ["cart_not_found"]}}}
            ]}}}}
        }}}}}));
        catch_unwind(|| description.check(method, path, status, &json!({"code": code}))).is_ok()
    }

    #[test]
    fn what_is_not_documented_is_told() {
        assert!(is_fine("GET", "/v1/carts/c1?x=1", 200, ""));
        assert!(is_fine("GET", "/v1/carts/c1", 404, "cart_not_found"));
        assert!(!is_fine("GET", "/v1/carts/c1", 404, "not_found"));
        assert!(!is_fine("GET", "/v1/carts/c1", 409, "cart_not_found"));
    }

    #[test]
    fn requests_of_no_operation_are_left_alone() {
        assert!(is_fine("POST", "/v1/carts/c1", 405, "method_not_allowed"));
        assert!(is_fine("GET", "/v1/carts/c1/lines", 404, "not_found"));
    }
}
