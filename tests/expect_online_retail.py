#!/usr/bin/env python3
"""What an import of the UCI "Online Retail" CSV must come to, computed without the platform's code.

    expect_online_retail.py FILE [--first-rows N] [--skus OUT.json] [--accounts OUT.json] [--json]
    expect_online_retail.py --self-test

FILE is the CSV, plain or gzipped, UTF-8. Prints one JSON object: `orders guest_orders order_lines customers skus
correction_lines return_rows credit_rows gross refunds credits net opening_units on_hand_units`; money is integer pence.
`--json` puts it on one line. `--first-rows N` reads only the first N data rows. `--skus` writes
{sku: {opening, on_hand}}, `--accounts` writes {customer: {balance, orders, gross, refunds}}, where `balance` is the sum
of the customer's credits and `guest` stands for everybody without a number.

Exit code 0, 1 (a self-test or one of the closing checks failed), 2 (wrong usage, or FILE is missing or broken).
Python 3.9 or later, standard library only.

The rules, each repeated where it is applied:
 1 sku, service codes, pence      4 returns: matched parts, excess, rest
 2 invoices, grouped and placed   5 credits: service rows of C invoices, all rows of A invoices
 3 orders and stock corrections   6 opening stock
"""

import argparse
import csv
import gzip
import io
import json
import os
import sys
import tempfile
import zlib
from collections import defaultdict
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from itertools import islice
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
SERVICE_CODES = {"POST", "M", "D", "DOT", "C2", "S", "B", "CRUK", "PADS", "AMAZONFEE", "BANK CHARGES"}
GUEST = "guest"


class Broken(Exception):
    """The file cannot be read as what it should be; the text is the one line for the user."""


class Row(NamedTuple):
    """One data row. `customer` is None for a guest, `price` is pence per unit."""

    number: int
    invoice: str
    sku: str
    quantity: int
    price: int
    is_free: bool
    customer: Optional[str]

    @property
    def account(self) -> str:
        return self.customer or GUEST

    @property
    def is_goods(self) -> bool:
        # Rule 1: service codes are not goods. `22016`, a voucher under an ordinary code, is goods.
        return self.sku not in SERVICE_CODES and not self.sku.startswith("GIFT_")


# --- reading -----------------------------------------------------------------------------------------------------


def pence(pounds: str) -> int:
    """Rule 1: pence, rounded half up per unit: 0.005 is 1, 0.001 is 0.

    A half goes away from zero, so that an adjustment and its reversal cancel (-0.005 is -1). The data don't decide it:
    their only negative prices are whole pence.
    """
    price = Decimal(pounds)
    if not price.is_finite():
        raise InvalidOperation
    return int((price * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def parse_row(number: int, fields: List[str]) -> Row:
    if len(fields) != len(COLUMNS):
        raise Broken(f"row {number}: {len(fields)} fields instead of {len(COLUMNS)}")
    invoice, code, _description, quantity, _date, price, customer, _country = (field.strip() for field in fields)
    # `536365`, `C536379`, `A563185`; anything else has no rule.
    if not (invoice[1:] if invoice[:1] in ("C", "A") else invoice).isdigit():
        raise Broken(f"row {number}: unknown kind of invoice number {invoice!r}")
    # Rule 1: the stock code trimmed and in upper case, so `85123a` and `85123A` are one SKU.
    sku = code.upper()
    if not sku:
        raise Broken(f"row {number}: no stock code")
    # The customer's number was written as a float: `17850.0`. Empty is a guest.
    name = customer[:-2] if customer.endswith(".0") else customer
    if name and not name.isdigit():
        raise Broken(f"row {number}: unknown customer number {customer!r}")
    try:
        return Row(number, invoice, sku, int(quantity), pence(price), Decimal(price) == 0, name or None)
    except (ValueError, InvalidOperation):
        raise Broken(f"row {number}: quantity {quantity!r} or price {price!r} is no number") from None


def parse_csv(text: Iterable[str]) -> Iterator[Row]:
    reader = csv.reader(text, strict=True)
    header = next(reader, None)
    if header != COLUMNS:
        raise Broken(f"the first line is not {','.join(COLUMNS)}")
    for number, fields in enumerate(reader, start=1):
        yield parse_row(number, fields)


def read_rows(path: str, first_rows: Optional[int] = None) -> List[Row]:
    """The first `first_rows` rows of the file (all, if None), in the file's order."""
    try:
        with open(path, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = gzip.GzipFile(fileobj=raw) if zipped else raw
            with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
                return list(islice(parse_csv(text), first_rows))
    except UnicodeDecodeError:
        raise Broken(f"{path}: not UTF-8") from None
    except Broken as error:
        raise Broken(f"{path}: {error}") from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise Broken(f"{path}: {getattr(error, 'strerror', None) or error}") from None


# --- the rules ---------------------------------------------------------------------------------------------------


def by_invoice(rows: Iterable[Row]) -> List[List[Row]]:
    """Rule 2: group by invoice number first; an invoice stands where its first row stands."""
    invoices: Dict[str, List[Row]] = {}
    for row in rows:
        invoices.setdefault(row.invoice, []).append(row)
    for invoice in invoices.values():
        if len({row.customer for row in invoice}) > 1:
            raise Broken(f"row {invoice[0].number}: invoice {invoice[0].invoice} belongs to more than one customer")
    return list(invoices.values())  # a dict keeps the order of first insertion


class OrderLine:
    """A goods line of a customer's order, and what of it can still be returned."""

    def __init__(self, row: Row) -> None:
        self.price = row.price
        self.returnable = row.quantity


class Account:
    def __init__(self) -> None:
        self.balance = self.orders = self.gross = self.refunds = 0


class Part(NamedTuple):
    """A matched part of a return row: so many units of one order line."""

    quantity: int
    line: OrderLine


class Expectation:
    """The result of replaying invoices in the file's order."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.orders = self.guest_orders = self.order_lines = 0
        self.correction_lines = self.return_rows = self.credit_rows = 0
        self.gross = self.refunds = self.credits = 0
        self.accounts: Dict[str, Account] = defaultdict(Account)
        self.opening: Dict[str, int] = defaultdict(int)  # every goods SKU of any kind of row gets a key
        self.moved: Dict[str, int] = defaultdict(int)  # on hand - opening
        # (customer, sku) -> order lines in the file's order, the latest order and its last row on top
        self._lines: Dict[Tuple[str, str], List[OrderLine]] = defaultdict(list)
        for invoice in by_invoice(rows):
            self._replay(invoice)

    def _replay(self, invoice: List[Row]) -> None:
        first = invoice[0]
        if first.invoice[0] == "C":
            for row in invoice:
                # Rules 4 and 5: goods rows of a cancellation are returns, its service rows are credits.
                self._return(row) if row.is_goods else self._credit_row(row)
        elif first.invoice[0] == "A":
            for row in invoice:
                # Rule 5: every row of an adjustment is a credit, whatever its code.
                self._credit_row(row)
        elif first.customer is None and all(row.is_free for row in invoice):
            # Rule 3, the exception: no customer and all prices 0 is a stock correction; its service rows are ignored.
            for row in filter(lambda row: row.is_goods, invoice):
                self._correct(row)
        else:
            self._order(invoice)

    def _order(self, invoice: List[Row]) -> None:
        # Rule 3: one order per invoice of digits, one line per row; service rows are lines without stock.
        account = self.accounts[invoice[0].account]
        account.orders += 1
        self.orders += 1
        self.guest_orders += invoice[0].customer is None
        for row in invoice:
            if row.quantity <= 0 or row.price < 0:
                raise Broken(f"row {row.number}: an order line with quantity {row.quantity}, {row.price} pence")
            self.order_lines += 1
            self.gross += row.quantity * row.price
            account.gross += row.quantity * row.price
            if row.is_goods:
                self.opening[row.sku] += row.quantity  # rule 6: what leaves was there at the opening
                self.moved[row.sku] -= row.quantity
                if row.customer:
                    self._lines[row.customer, row.sku].append(OrderLine(row))

    def _correct(self, row: Row) -> None:
        # Rule 3: by the quantity as signed. Rule 6: a negative correction leaves, so it was there at the opening.
        self.correction_lines += 1
        self.opening[row.sku] += max(0, -row.quantity)
        self.moved[row.sku] += row.quantity

    def _return(self, row: Row) -> None:
        # Rule 4. Whatever is matched or not, the goods go back to stock: restocked, or "return without order".
        if row.quantity >= 0 or row.price < 0:
            raise Broken(f"row {row.number}: a return with quantity {row.quantity}, {row.price} pence")
        self.return_rows += 1
        self.opening[row.sku] += 0
        self.moved[row.sku] -= row.quantity
        rest = -row.quantity
        for part in self._match(row):
            # Refunded at the row's own price but at most the order line's; what is above it credits the account.
            refund = part.quantity * min(row.price, part.line.price)
            self.refunds += refund
            self.accounts[row.account].refunds += refund
            self._credit(row, part.quantity * max(0, row.price - part.line.price))
            rest -= part.quantity
        # What no order explains, and all of a guest's rows, credits the account at the row's price.
        self._credit(row, rest * row.price)

    def _match(self, row: Row) -> List[Part]:
        """Rule 4: the same customer's orders whose invoice stands earlier, latest first, within one its last row first.

        Invoices are replayed as they stand, so the lines met so far are exactly those that stand earlier.
        """
        parts: List[Part] = []
        if row.customer is None:
            return parts  # a guest's return is never matched
        wanted, lines = -row.quantity, self._lines[row.customer, row.sku]
        while wanted and lines:
            line = lines[-1]
            quantity = min(wanted, line.returnable)
            parts.append(Part(quantity, line))
            wanted -= quantity
            line.returnable -= quantity
            if not line.returnable:
                lines.pop()
        return parts

    def _credit_row(self, row: Row) -> None:
        # Rule 5: -quantity x price, positive in the customer's favour.
        self.credit_rows += 1
        self._credit(row, -row.quantity * row.price)

    def _credit(self, row: Row, amount: int) -> None:
        self.credits += amount
        self.accounts[row.account].balance += amount

    def summary(self) -> Dict[str, int]:
        return {
            "orders": self.orders,
            "guest_orders": self.guest_orders,
            "order_lines": self.order_lines,
            # Customers with an order: some only ever return.
            "customers": sum(name != GUEST and account.orders > 0 for name, account in self.accounts.items()),
            # Goods that occur in any order, correction or C row: service codes are no products.
            "skus": len(self.opening),
            "correction_lines": self.correction_lines,
            "return_rows": self.return_rows,  # rows of the file, not parts
            "credit_rows": self.credit_rows,  # by rule 5 only, not what returns credit
            "gross": self.gross,
            "refunds": self.refunds,
            "credits": self.credits,
            "net": self.gross - self.refunds - self.credits,
            "opening_units": sum(self.opening.values()),
            "on_hand_units": sum(self.opening.values()) + sum(self.moved.values()),
        }

    def skus(self) -> Dict[str, Dict[str, int]]:
        return {
            sku: {"opening": opening, "on_hand": opening + self.moved[sku]}
            for sku, opening in sorted(self.opening.items())
        }

    def customers(self) -> Dict[str, Dict[str, int]]:
        """All accounts, also those without an order; `guest` carries the guests' orders, so that columns add up."""
        self.accounts[GUEST].balance += 0
        return {
            name: {
                "balance": account.balance,
                "orders": account.orders,
                "gross": account.gross,
                "refunds": account.refunds,
            }
            for name, account in sorted(self.accounts.items())
        }


def broken_promises(rows: List[Row], expectation: Expectation) -> List[str]:
    """What must follow for any prefix of the file, computed a second way, straight from the rows."""
    summary, broken = expectation.summary(), []
    if summary["net"] != sum(row.quantity * row.price for row in rows):
        broken.append("gross - refunds - credits is not the sum of quantity x price over all rows")
    if any(sku["on_hand"] < 0 for sku in expectation.skus().values()):
        broken.append("a stock quantity is negative")
    accounts = expectation.customers().values()
    for total, column in [("credits", "balance"), ("orders", "orders"), ("gross", "gross"), ("refunds", "refunds")]:
        if summary[total] != sum(account[column] for account in accounts):
            broken.append(f"the accounts' {column} don't add up to {total}")
    return broken


# --- self-test ---------------------------------------------------------------------------------------------------

SELF_TEST_CSV = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
100,A1,CUP,10,2011-01-03 09:00:00,2.00,1.0,United Kingdom
101,A1,CUP,5,2011-01-03 09:00:00,1.5,2.0,EIRE
100,b2,"PLATE, BLUE",3,2011-01-03 09:00:00,1.00,1.0,United Kingdom
100,POST,POSTAGE,1,2011-01-03 09:00:00,4.00,1.0,United Kingdom
102,A1,CUP,4,2011-01-04 09:00:00,2.50,1.0,United Kingdom
102,A1,CUP,2,2011-01-04 09:00:00,2.20,1.0,United Kingdom
103,B2,"PLATE, BLUE",6,2011-01-05 09:00:00,0.005,,United Kingdom
104,A1,,-3,2011-01-05 10:00:00,0.0,,United Kingdom
104,POST,,-1,2011-01-05 10:00:00,0.0,,United Kingdom
105,C3,found,7,2011-01-05 11:00:00,0.0,,United Kingdom
C106,A1,CUP,-8,2011-01-06 09:00:00,2.40,1.0,United Kingdom
C107,A1,CUP,-9,2011-01-06 10:00:00,2.00,1.0,United Kingdom
C108,B2,"PLATE, BLUE",-2,2011-01-06 11:00:00,1.00,,United Kingdom
C109,D,Discount,-1,2011-01-06 12:00:00,5.00,2.0,EIRE
C110,B2,"PLATE, BLUE",-1,2011-01-06 13:00:00,1.00,1.0,United Kingdom
111,A1,CUP,1,2011-01-07 09:00:00,2.00,3.0,France
111,gift_0001_10,VOUCHER \u00a310.00,1,2011-01-07 09:00:00,8.51,3.0,France
C112,C3,JAR \u00a31,-1,2011-01-07 10:00:00,3.00,4.0,United Kingdom
A113,B,Adjust bad debt,1,2011-01-07 11:00:00,-11.50,,United Kingdom
A114,B,Adjust bad debt,1,2011-01-07 12:00:00,2.00,,United Kingdom
C116,A1,CUP,-1,2011-01-08 09:00:00,2.00,5.0,United Kingdom
117,A1,CUP,1,2011-01-08 10:00:00,2.00,5.0,United Kingdom
"""

# By hand, in pence. Customer 1 has cups in this order of matching: 2 at 220, 4 at 250 (order 102), 10 at 200 (100).
#   C106, 8 at 240: 2 x 220 refunded + 2 x 20 credited; 4 x 240 refunded; 2 x 200 refunded + 2 x 40 credited
#                   = 1800 refunded, 120 credited (= 8 x 240)
#   C107, 9 at 200: the other 8 of order 100 refunded, 1600; customer 2's cups don't match: 200 credited
#   C108, guest:    200 credited, although a guest bought plates
#   C110:           100 refunded on order 100, whose second row stands behind order 101
#   C112:           customer 4 has no order: 300 credited; C116: stands before order 117: 200 credited
# gross    100: 2000+300+400   101: 750   102: 1000+440   103: 6 x 1   111: 200+851   117: 200                 = 6147
# refunds  1800+1600+100                                                                                       = 3500
# credits  customer 1: 120+200   2: 500   4: 300   5: 200   guest: 200 (C108) + 1150 (A113) - 200 (A114)         = 2470
SELF_TEST_SUMMARY = {
    "orders": 6,
    "guest_orders": 1,
    "order_lines": 10,
    "customers": 4,
    "skus": 3,
    "correction_lines": 2,
    "return_rows": 6,
    "credit_rows": 3,
    "gross": 6147,
    "refunds": 3500,
    "credits": 2470,
    "net": 177,
    "opening_units": 35,
    "on_hand_units": 29,
}
SELF_TEST_SKUS = {
    "A1": {"opening": 23 + 3, "on_hand": 26 - 23 - 3 + 8 + 9 + 1},
    "B2": {"opening": 9, "on_hand": 9 - 9 + 2 + 1},
    "C3": {"opening": 0, "on_hand": 7 + 1},
}
SELF_TEST_ACCOUNTS = {
    "1": {"balance": 320, "orders": 2, "gross": 4140, "refunds": 3500},
    "2": {"balance": 500, "orders": 1, "gross": 750, "refunds": 0},
    "3": {"balance": 0, "orders": 1, "gross": 1051, "refunds": 0},
    "4": {"balance": 300, "orders": 0, "gross": 0, "refunds": 0},
    "5": {"balance": 200, "orders": 1, "gross": 200, "refunds": 0},
    "guest": {"balance": 1150, "orders": 1, "gross": 6, "refunds": 0},
}


def self_test() -> int:
    passed = failed = 0

    def check(law: str, got: object, expected: object) -> None:
        nonlocal passed, failed
        if got == expected:
            passed += 1
        else:
            failed += 1
            print(f"FAILED {law}\n  got      {got}\n  expected {expected}")

    prices = {"2.55": 255, "1.5": 150, "0.001": 0, "0.005": 1, "1.115": 112, "-11062.06": -1106206, "-0.005": -1}
    for pounds, expected in prices.items():
        check(f"{pounds} pounds in pence", pence(pounds), expected)

    with tempfile.TemporaryDirectory() as folder:

        def written(content: bytes) -> str:
            path = os.path.join(folder, "retail.csv")
            with open(path, "wb") as file:
                file.write(content)
            return path

        def refusal(content: bytes) -> str:
            try:
                read = read_rows(written(content))
                Expectation(read)
            except Broken as error:
                return str(error).replace(os.path.join(folder, "retail.csv") + ": ", "")
            return "accepted"

        plain = SELF_TEST_CSV.encode()
        zipped = gzip.compress(plain)
        header = plain[: plain.index(b"\n") + 1]
        rows = read_rows(written(plain))
        check("a gzipped file reads like a plain one", read_rows(written(zipped)), rows)
        check("the first rows are a prefix", read_rows(written(plain), 4), rows[:4])
        check("a cut gzip file is refused", refusal(zipped[:-20]) != "accepted", True)
        no_header = f"the first line is not {','.join(COLUMNS)}"
        for law, content, expected in [
            ("a file of another shape is refused", b"a,b\n1,2\n", no_header),
            ("an empty file is refused", b"", no_header),
            ("a cut row is refused", header + b"100,A1,CUP,1\n", "row 1: 4 fields instead of 8"),
            ("Latin-1 is refused", header + b"100,A1,\xa3,1,,1,1.0,UK\n", "not UTF-8"),
            (
                "a price in words is refused",
                header + b"100,A1,CUP,1,,free,1.0,UK\n",
                "row 1: quantity '1' or price 'free' is no number",
            ),
            (
                "an unknown invoice is refused",
                header + b"X1,A1,CUP,1,,1,1.0,UK\n",
                "row 1: unknown kind of invoice number 'X1'",
            ),
            (
                "a negative order line is refused",
                header + b"100,A1,CUP,-1,,1,1.0,UK\n",
                "row 1: an order line with quantity -1, 100 pence",
            ),
        ]:
            check(law, refusal(content), expected)

    expectation = Expectation(rows)
    for name, expected in SELF_TEST_SUMMARY.items():
        check(f"summary: {name}", expectation.summary().get(name), expected)
    check("summary has no other fields", set(expectation.summary()), set(SELF_TEST_SUMMARY))
    check("units of every SKU", expectation.skus(), SELF_TEST_SKUS)
    for name, expected in SELF_TEST_ACCOUNTS.items():
        check(f"account of {name}", expectation.customers().get(name), expected)
    check("there are no other accounts", set(expectation.customers()), set(SELF_TEST_ACCOUNTS))
    for length in range(len(rows) + 1):
        prefix = rows[:length]
        check(f"promises after {length} rows", broken_promises(prefix, Expectation(prefix)), [])

    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


# --- command line ------------------------------------------------------------------------------------------------


def write_json(path: str, content: object) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
    except OSError as error:
        raise Broken(f"{path}: {error.strerror}") from None


def row_count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description="What an import of the UCI Online Retail CSV must come to.")
    parser.add_argument("file", nargs="?", metavar="FILE", help="the CSV, plain or gzipped")
    parser.add_argument("--first-rows", type=row_count, metavar="N", help="read only the first N data rows")
    parser.add_argument("--skus", metavar="OUT.json", help="write {sku: {opening, on_hand}}")
    parser.add_argument("--accounts", metavar="OUT.json", help="write {customer: {balance, orders, gross, refunds}}")
    parser.add_argument("--json", action="store_true", help="print the object on one line")
    parser.add_argument("--self-test", action="store_true", help="check this script against figures worked out by hand")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if arguments.file is None:
        parser.error("FILE is missing")
    try:
        rows = read_rows(arguments.file, arguments.first_rows)
        expectation = Expectation(rows)
        if arguments.skus:
            write_json(arguments.skus, expectation.skus())
        if arguments.accounts:
            write_json(arguments.accounts, expectation.customers())
    except Broken as error:
        print(f"expect_online_retail: {error}", file=sys.stderr)
        return 2
    print(json.dumps(expectation.summary(), indent=None if arguments.json else 2))
    broken = broken_promises(rows, expectation)
    for promise in broken:
        print(f"expect_online_retail: {promise}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
