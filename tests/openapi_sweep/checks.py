"""What the sweep asks of every answer beyond schemathesis' own checks; loaded by schemathesis as its hooks module.

schemathesis leaves probes with an unknown method or content type out of its conformance checks, and knows nothing of
problem documents, of NDJSON or of Millrace's headers. `MILLRACE_SWEEP_TALLY` names the file that gets what was seen:
`{"GET /v1/stock": {"200": 12, "422 invalid_value": 3}}`.
"""

import atexit
import collections
import json
import os
import threading

import jsonschema_rs
import schemathesis

PROBLEM = "application/problem+json"
NDJSON = "application/x-ndjson"
# Answers of the router, which belong to no operation: a path that leads nowhere, a method that the path does not know.
OF_NO_OPERATION = {404: "not_found", 405: "method_not_allowed"}

tally = collections.defaultdict(collections.Counter)
lock = threading.Lock()


@atexit.register
def write_tally():
    with open(os.environ["MILLRACE_SWEEP_TALLY"], "w", encoding="utf-8") as file:
        json.dump({operation: dict(seen) for operation, seen in sorted(tally.items())}, file)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Two headers that both name the command are refused, which OpenAPI cannot say; most requests would have both."""
    names = {name.lower(): name for name in case.headers or {}}
    if "idempotency-key" in names and "millrace-command-id" in names:
        del case.headers[names["millrace-command-id"]]


@schemathesis.serializer(NDJSON)
def one_line(ctx, value):
    return json.dumps(value).encode() + b"\n"


@schemathesis.deserializer(NDJSON)
def first_line(ctx, response):
    lines = response.content.splitlines()
    return json.loads(lines[0]) if lines else None


@schemathesis.check
def every_answer_is_as_promised(ctx, response, case):
    """Every error is a problem document whose code its operation documents; whoever is to come back is told when."""
    status = response.status_code
    seen = str(status)
    if status >= 400:
        problem = read_problem(response)
        seen = f"{status} {problem['code']}"
        check_problem(status, problem, response, case)
    elif NDJSON in header(response, "content-type"):
        check_lines(response, case)
    if case.method.upper() not in ("GET", "HEAD") and status not in (404, 405) and case.operation.path != "/v1/commands":
        assert header(response, "millrace-command-id"), f"{status} does not name its command"
    with lock:
        tally[case.operation.label][seen] += 1


def read_problem(response):
    assert header(response, "content-type") == PROBLEM, f"{response.status_code} is no {PROBLEM}"
    try:
        problem = json.loads(response.content)
    except ValueError as error:
        raise AssertionError(f"the problem is no JSON: {error}") from error
    missing = [name for name in ("type", "title", "status", "code", "retry") if name not in problem]
    assert not missing, f"the problem lacks {missing}"
    return problem


def check_problem(status, problem, response, case):
    code = problem["code"]
    assert problem["status"] == status, f"the problem says {problem['status']}, the answer {status}"
    assert problem["type"] == f"/docs/problems#{code}", problem["type"]
    if status in (429, 503):
        seconds = header(response, "retry-after")
        assert seconds.isdigit() and int(seconds) >= 1, f"{status} has Retry-After {seconds!r}"
        assert problem["retry_after_seconds"] == int(seconds), "the problem and Retry-After differ"
    if status == 405:
        assert header(response, "allow"), "405 without Allow"
    if OF_NO_OPERATION.get(status) != code:
        assert code in documented_codes(case.operation, status), f"{status} {code} is not documented"


def documented_codes(operation, status):
    """The codes that the description lists for this status; none when it does not know the status."""
    response = raw_operation(operation).get("responses", {}).get(str(status), {})
    schema = response.get("content", {}).get(PROBLEM, {}).get("schema", {})
    parts = schema.get("allOf", [schema])
    return {code for part in parts for code in part.get("properties", {}).get("code", {}).get("enum", [])}


def check_lines(response, case):
    """One answer a line, each as its schema says."""
    document = case.operation.schema.raw_schema
    schema = {"$ref": "#/components/schemas/AnswerLine", "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(schema)
    for line in response.content.splitlines():
        answer = json.loads(line)
        error = next(validator.iter_errors(answer), None)
        assert error is None, f"a line is not as described: {error}"
        problem = answer.get("problem")
        assert problem is None or problem["status"] != 500, f"a line is answered {problem}"


def raw_operation(operation):
    return operation.schema.raw_schema["paths"][operation.path][operation.method.lower()]


def header(response, name):
    values = response.headers.get(name) or [""]
    return values[0]
