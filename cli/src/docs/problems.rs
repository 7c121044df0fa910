//! `/docs/problems`: every error code, straight from the closed list.

use schemas::{ErrorCode, Retry};

use super::{escape, frame};

/// The page.
pub(super) fn render() -> String {
    let rows: String = ErrorCode::ALL.iter().copied().map(row).collect();
    let body = format!(
        "<header><h1>Problems</h1><p>Every error is a problem document (RFC 9457) with one of these codes. A code never \
         changes its meaning. <code>retry</code> says whether repeating the same request, under the same \
         <code>Idempotency-Key</code>, can help. <a href=\"/docs\">All routes</a></p></header>\
         <table><thead><tr><th>code</th><th>status</th><th>retry</th><th>what it means</th></tr></thead>\
         <tbody>{rows}</tbody></table>"
    );
    frame("Millrace: problems", &body)
}

fn row(code: ErrorCode) -> String {
    let retry = match code.retry() {
        Retry::Safe => "safe: at once",
        Retry::AfterBackoff => "after-backoff: later",
        Retry::Never => "never",
    };
    format!(
        "<tr id=\"{id}\" class=\"searched\"><td><a href=\"#{id}\"><code>{id}</code></a></td><td>{}</td><td>{retry}</td>\
         <td>{}</td></tr>\n",
        code.status(),
        escape(code.title()),
        id = code.as_str(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_an_anchor_that_problem_documents_can_link_to() {
        let page = render();
        for code in ErrorCode::ALL {
            assert!(page.contains(&format!("id=\"{code}\"")), "{code}");
            assert!(page.contains(&escape(code.title())), "{code}");
        }
    }
}
