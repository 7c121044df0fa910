#!/usr/bin/env python3
"""A generated sweep over the OpenAPI document: whatever is asked, the answer is one that the document knows.

Starts the real program (`MILLRACE_BIN`) on a temporary folder and a free loopback port, stocks a small shop, and lets
schemathesis send generated requests, well-formed and not, to every operation. It fails on any 5xx but a documented 503
with `Retry-After`, on statuses, content types, headers, bodies and problem codes that are not documented, when the
program says an error or its log does not verify afterwards, and when nothing was tested.

`MILLRACE_ROUNDS` (1 by default, `cargo xtask prove sweep` sets more) multiplies the cases an operation; each round has
a seed of its own, the first one always the same, and what failed is printed with the seed and a curl line.

schemathesis comes from PyPI, pinned, into an environment under the build folder. Where pip reaches no registry (nor a
folder named by PIP_FIND_LINKS) this fails and says so: a sweep that did not run proves nothing.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
REQUIREMENTS = HERE / "openapi_sweep" / "requirements.txt"

SEED = 20101201
# Cases an operation of one round's generating phase; boundary cases come on top.
EXAMPLES = 30
INSTALL_SECONDS_MAX = 600
START_SECONDS_MAX = 60
ROUND_SECONDS_MAX = 600
STOP_SECONDS_MAX = 30

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "every_answer_is_as_promised",
]
EXPECTED = {"not_a_server_error": ["2xx", "3xx", "4xx", "503"]}


class Failed(Exception):
    """Why the sweep is not clean; one message for people."""


def main():
    rounds = max(1, int(os.environ.get("MILLRACE_ROUNDS") or 1))
    python = install()
    with tempfile.TemporaryDirectory(prefix="millrace-sweep-") as folder:
        program = Program(pathlib.Path(folder))
        try:
            program.start()
            ids = stock_a_shop(program)
            for number in range(rounds):
                sweep(python, program, ids, SEED + number, pathlib.Path(folder))
            program.check()
        except Failed:
            print(program.log()[-4_000:], file=sys.stderr)
            raise
        finally:
            program.stop()
        program.check_end()
    print("sweep: clean")


def install():
    """The Python of an environment that has schemathesis; made when it is missing or made from other requirements."""
    environment = TARGET / "openapi-sweep"
    python = environment / "bin" / "python"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    mark = environment / "installed"
    if python.exists() and mark.exists() and mark.read_text() == wanted:
        return python
    shutil.rmtree(environment, ignore_errors=True)
    print(f"installing {REQUIREMENTS.name} into {environment}", flush=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS]
    for command in ([sys.executable, "-m", "venv", environment], pip):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise Failed(f"{command[0]} took longer than {INSTALL_SECONDS_MAX} s") from None
        if done.returncode != 0:
            raise Failed(
                "schemathesis cannot be installed, so the API was not swept. It is needed from PyPI, or from a folder "
                f"of wheels that PIP_FIND_LINKS names.\n{done.stdout}{done.stderr}"
            )
    mark.write_text(wanted)
    return python


class Program:
    """`millrace up`, from its start to its end."""

    def __init__(self, folder):
        self.folder = folder
        self.binary = pathlib.Path(os.environ.get("MILLRACE_BIN") or TARGET / "release" / "millrace")
        self.stderr = folder / "stderr.log"
        self.process = None
        self.url = None

    def start(self):
        if not self.binary.exists():
            raise Failed(f"{self.binary} is missing; `cargo build --release` makes it, MILLRACE_BIN names another one")
        # Nobody's configuration: neither the environment's nor that of a millrace.toml where we stand.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
        # Generated positions are beyond the end of the log more often than not.
        environment["MILLRACE_QUERY_API_MIN_POSITION_WAIT_MS"] = "10"
        command = [self.binary, "up", "--listen", "127.0.0.1:0", "--data-dir", self.folder / "data"]
        with self.stderr.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, env=environment
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while self.url is None:
            told = re.search(r"API +(http://[0-9.:]+)/v1", self.log())
            if told:
                self.url = told.group(1)
            elif self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self.binary} did not start")
            else:
                time.sleep(0.05)

    def log(self):
        return self.stderr.read_text(errors="replace") if self.stderr.exists() else ""

    def call(self, method, path, body=None):
        """Status, headers and JSON of an answer, whatever its status."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.load(error)
        except (OSError, ValueError) as error:
            raise Failed(f"{method} {path}: {error}") from error

    def must(self, method, path, body=None):
        status, _, answer = self.call(method, path, body)
        if status >= 300:
            raise Failed(f"{method} {path} is answered {status} {answer}")
        return answer

    def check(self):
        """After everything that was sent at it, it works, follows its log, and the log keeps its promises."""
        self.must("GET", "/health/live")
        self.must("GET", "/health/ready")
        stopped = [lag for lag in self.must("GET", "/admin/v1/status")["lag"] if lag["state"] == "stopped"]
        if stopped:
            raise Failed(f"views have stopped: {stopped}")
        verify = subprocess.run([self.binary, "verify", "--url", self.url], capture_output=True, text=True, timeout=300)
        if verify.returncode != 0:
            raise Failed(f"the log does not verify:\n{verify.stdout}{verify.stderr}")
        errors = [line for line in self.log().splitlines() if re.search(r"\bERROR\b", line)]
        if errors:
            raise Failed("requests from outside made the program report errors:\n" + "\n".join(errors[:20]))

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def check_end(self):
        if self.process.returncode != 0:
            raise Failed(f"the program ended with {self.process.returncode}:\n{self.log()[-4_000:]}")


def stock_a_shop(program):
    """One of everything, so that generated requests meet what is there; returns its ids by name of the parameter."""
    price = {"amount_minor": 455, "currency": "GBP"}
    post = lambda path, body: program.must("POST", path, body)
    for sku in ("MUG", "BANK CHARGES"):
        post("/v1/products", {"sku": sku, "name": f"A {sku}"})
        path = sku.replace(" ", "%20")
        post(f"/v1/products/{path}/price", {"price": price})
        post(f"/v1/products/{path}/publish", {})
        post(f"/v1/stock/{path}/receive", {"quantity": 1_000_000})
    post("/v1/customers", {"id": "17850", "name": "A. Buyer"})
    program.must("PUT", "/v1/customers/17850/addresses/home", {"name": "A", "lines": ["1 High St"], "country": "GB"})
    for cart in ("open", "sold"):
        post("/v1/carts", {"id": cart, "customer_id": "17850"})
        post(f"/v1/carts/{cart}/lines", {"sku": "MUG", "quantity": 2, "unit_price": price})
    post("/v1/carts/sold/checkout", {"country": "GB", "order_id": "sold"})
    line = {"sku": "MUG", "quantity": 3}
    post("/v1/orders", {"id": "delivered", "country": "GB", "customer_id": "17850", "lines": [line]})
    delivered = wait_for(program, "/v1/orders/delivered", lambda order: order.get("status") == "delivered")
    return {
        "sku": ["MUG", "BANK CHARGES"],
        "cart": ["open", "sold"],
        "order": ["delivered", "sold"],
        "customer": ["17850"],
        "address": ["home"],
        "shipment": [shipment["id"] for shipment in delivered["shipments"]],
        "principal": ["anonymous", "importer", "process:checkout"],
    }


def wait_for(program, path, wanted):
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        _, _, answer = program.call("GET", path)
        if wanted(answer):
            return answer
        if time.monotonic() > deadline:
            raise Failed(f"{path} is still {answer}")
        time.sleep(0.05)


def configuration(document, ids, examples):
    """The text of schemathesis.toml: what a parameter that names something may name, beside what is generated."""
    of_folder = {
        "products": "sku", "stock": "sku", "carts": "cart", "orders": "order", "payments": "order",
        "customers": "customer", "shipments": "shipment",
    }
    lines = ["[checks]", "enabled = false"]
    for check in CHECKS:
        lines += [f"[checks.{check}]", "enabled = true"]
        if check in EXPECTED:
            lines.append(f"expected-statuses = {json.dumps(EXPECTED[check])}")
    for name, values in ids.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    for path, item in document["paths"].items():
        own = of_folder.get(path.split("/")[2])
        named = {"{id}": own, "{sku}": "sku", "{address_id}": "address"}
        bound = {f"path.{part[1:-1]}": named[part] for part in path.split("/") if named.get(part)}
        bound["header.Millrace-Principal"] = "principal"
        lines += ["[[operations]]", f"include-path = {json.dumps(path)}", "[operations.parameters]"]
        lines += [f"{json.dumps(key)} = {{ dictionary = {json.dumps(name)}, probability = 0.6 }}"
                  for key, name in bound.items() if item.get("get") is None or not key.startswith("header.")]
    return "\n".join(lines) + "\n"


def sweep(python, program, ids, seed, folder):
    """One round: every operation, every phase."""
    document = program.must("GET", "/openapi.json")
    config, report, tally = (folder / name for name in ("schemathesis.toml", "report.json", "tally.json"))
    config.write_text(configuration(document, ids, EXAMPLES))
    command = [
        python, "-m", "schemathesis.cli", "--config-file", config, "run", f"{program.url}/openapi.json",
        "--seed", str(seed), "--max-examples", str(EXAMPLES), "--continue-on-failure", "--generation-database", "none",
        "--request-timeout", "60", "--report", "json", "--report-json-path", report, "--no-color",
        "--suppress-health-check", "all", "--warnings", "off",
    ]
    environment = dict(
        os.environ, SCHEMATHESIS_HOOKS="checks", PYTHONPATH=str(HERE / "openapi_sweep"), MILLRACE_SWEEP_TALLY=str(tally)
    )
    started = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=ROUND_SECONDS_MAX,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"seed {seed}: longer than {ROUND_SECONDS_MAX} s\n{error.stdout}") from None
    if done.returncode != 0 or not report.exists():
        raise Failed(f"seed {seed}: schemathesis ended with {done.returncode}\n{done.stdout}")
    check_report(json.loads(report.read_text()), json.loads(tally.read_text()), document, seed, started)


def check_report(report, tally, document, seed, started):
    """All operations were met, by as many cases as were asked for; prints what was seen."""
    methods = {"get", "post", "put", "patch", "delete"}
    described = sum(len(methods & item.keys()) for item in document["paths"].values())
    operations, cases = report["operations"], report["test_cases"]
    answers = sum(sum(seen.values()) for seen in tally.values())
    print(
        f"seed {seed}: {operations['tested']} of {described} operations, {cases['generated']} cases, {answers} answers "
        f"checked, {time.monotonic() - started:.0f} s"
    )
    for operation, seen in tally.items():
        print(f"  {operation}: " + ", ".join(f"{answer} ×{count}" for answer, count in sorted(seen.items())))
    if operations["tested"] != described or described == 0 or len(tally) != described:
        raise Failed(f"{described} operations are described, {operations} were tested, {len(tally)} answered")
    for path, item in document["paths"].items():
        for method in methods & item.keys():
            label = f"{method.upper()} {path}"
            # Without parameters and body there is nothing to generate.
            varied = item[method].get("parameters") or item[method].get("requestBody")
            if varied and sum(tally.get(label, {}).values()) < EXAMPLES:
                raise Failed(f"{label} was met by fewer than {EXAMPLES} cases")
    if not report["complete"] or report["errors"]:
        raise Failed(f"schemathesis did not finish: {report['stop_reason']} {report['errors']}")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"FAILED: {failure}")
