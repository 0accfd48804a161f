"""``borderpost reconcile`` as the finance analyst uses it: a bill comes in, differs, and is decided about."""

from __future__ import annotations

import json
import shutil
import threading
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select

from gateway.adapters.store_sql.tables_books import ledger_entries
from gateway.adapters.store_sql.tables_vendor_costs import vendor_imports, vendor_lines
from tests.cli.desk import Desk
from tests.people import book, row

OCTOBER = 1_790_812_800_000_000  # 2026-10-01T00:00Z
HOUR = 3_600_000_000
PRICE = {"input": "0.40", "output": "1.60"}  # USD a million tokens
MAPPING = """
columns: {start: day, model: model, meter: meter, quantity: tokens, amount: usd, kind: kind, ref: id}
currency: USD
kinds: {use: usage, vat: tax}
"""


def lines(tokens):
    return json.dumps(
        [
            {"meter": m, "quantity": n, "price_id": "p", "unit_price": PRICE[m], "per": 1_000_000}
            for m, n in tokens.items()
        ]
    )


def nano(tokens):
    return sum(n * int(Decimal(PRICE[m]) * 1000) for m, n in tokens.items())


def call(number, hour, *, app="teller", team="branch", estimated=False, tokens=None):
    used = tokens or {"input": 2_000_000 + number * 1000, "output": 500_000}
    cost = nano(used)
    return row(
        f"c{number}/1",
        tenant="maple-bank",
        started_us=OCTOBER + hour * HOUR,
        ended_us=OCTOBER + hour * HOUR + 9,
        vendor="demo-north",
        deployment="demo-maple",
        model="demo-maple",
        vendor_model="demo-maple-2026-01-15",
        app=app,
        team=team,
        estimated=estimated,
        lines=lines(used),
        nano=cost,
        currency="USD",
        spend_nano=cost * 13925 // 10000,
        spend_currency="CAD",
        input=0 if estimated else used["input"],
        output=0 if estimated else used["output"],
    )


CALLS = [
    call(day * 10 + n, day * 24 + 12 + n, app=app, team=team)
    for day in range(30)
    for n, (app, team) in enumerate([("teller", "branch"), ("hackathon", "lab")])
]


def bill(calls, *, price=PRICE, leave_out=(), extra=()):
    """The vendor's CSV for these calls: a line per day and meter, exact."""
    sums = {}
    for one in calls:
        day = (one["started_us"] - OCTOBER) // (24 * HOUR)
        for item in json.loads(one["lines"]):
            sums[day, item["meter"]] = sums.get((day, item["meter"]), 0) + item["quantity"]
    out = ["id,day,model,meter,tokens,usd,kind"]
    for (day, meter), tokens in sorted(sums.items()):
        if day not in leave_out:
            usd = tokens * Decimal(price[meter]) / 1_000_000
            out.append(f"{day}-{meter},2026-10-{day + 1:02d},Demo Maple,{meter},{tokens},{usd},use")
    return "\n".join([*out, *extra]) + "\n"


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    store = desk.store()
    with store.write() as connection:
        book(connection, *CALLS)
    store.close()
    (tmp_path / "map.yaml").write_text(MAPPING)
    return desk


def take_in(desk, text, *more, name="bill.csv"):
    file = desk.folder / name
    file.write_text(text)
    return desk.run(
        "reconcile", "import", str(file), "--from", "csv", "--vendor", "demo-north",
        "--mapping", str(desk.folder / "map.yaml"), *more,
    )  # fmt: skip


def status(desk, *more):
    done = desk.run("reconcile", "status", "--month", "2026-10", *more)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def counted(desk, table):
    store = desk.store()
    with store.read() as connection:
        found = connection.scalar(select(func.count()).select_from(table))
    store.close()
    return found


def test_a_bill_that_agrees_leaves_nothing_to_decide(desk):
    done = take_in(desk, bill(CALLS))
    assert done.exit_code == 0, done.stderr
    assert "60 lines" in done.stdout
    said = status(desk)
    assert "gap +0.00" in said or "gap 0.00" in said
    assert "nothing to decide" in said


def test_the_same_file_twice_is_one_import(desk):
    first, second = take_in(desk, bill(CALLS)), take_in(desk, bill(CALLS), name="again.csv")
    assert "imported: " in first.stdout
    assert "was imported already" in second.stdout
    assert counted(desk, vendor_lines) == 60


def test_a_dearer_price_is_named_accepted_and_opened_again_when_it_grows(desk):
    """Finance accepts a difference as it stood; another one is another decision."""
    dear = {**PRICE, "output": "1.80"}
    take_in(desk, bill(CALLS, price=dear))
    said = status(desk)
    assert "price: same quantity, another unit price" in said
    assert "output 1.8 on the bill, 1.6 in ours, per million" in said
    assert said.count(" open: ") == 30
    done = desk.run(
        "reconcile", "accept", "--month", "2026-10", "--vendor", "demo-north", "--cause", "price",
        "--reason", "new price sheet from October",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "nothing to decide" in status(desk)
    assert status(desk, "--all").count("accepted") == 30
    first = done.stdout
    assert first.count("accepted x") == 30
    wrong = take_in(desk, bill(CALLS, price={**PRICE, "output": "1.90"}), "--supersedes", "nothing")
    assert wrong.exit_code == 2
    assert "nothing was imported" in wrong.stderr
    old = said.split("import ")[1].split()[0]
    assert take_in(desk, bill(CALLS, price={**PRICE, "output": "1.90"}), "--supersedes", old).exit_code == 0
    assert status(desk).count("open again") == 30


def test_an_adjustment_books_the_difference_to_those_who_used_the_model(desk):
    """The ledger then says what the bill says; who spent more of the day carries more of it."""
    take_in(desk, bill(CALLS, price={**PRICE, "output": "1.80"}))
    done = desk.run(
        "reconcile",
        "adjust",
        "--month",
        "2026-10",
        "--vendor",
        "demo-north",
        "--reason",
        "price sheet was late",
    )
    assert done.exit_code == 0, done.stderr
    assert "in 2026-10" in done.stdout
    said = status(desk, "--all")
    assert "gap 0.00" in said.replace("+", "")
    assert "adjusted: booked already" in said
    store = desk.store()
    with store.read() as connection:
        rows = connection.execute(select(ledger_entries)).mappings().all()
    store.close()
    assert {(entry["team"], entry["app"], entry["kind"]) for entry in rows} == {
        ("branch", "teller", "adjust"), ("lab", "hackathon", "adjust"),
    }  # fmt: skip
    # 0.20 USD a million more on a million output tokens a day.
    assert sum(entry["nano"] for entry in rows) == 30 * 200_000_000
    assert abs(sum(entry["spend_nano"] for entry in rows) - 30 * 278_500_000) <= 30
    assert {entry["billing_period"] for entry in rows} == {"2026-10"}
    again = desk.run(
        "reconcile",
        "adjust",
        "--month",
        "2026-10",
        "--vendor",
        "demo-north",
        "--reason",
        "price sheet was late",
    )
    assert again.exit_code == 2
    assert "no open exception" in again.stderr
    assert counted(desk, ledger_entries) == len(rows)
    kinds = desk.kinds()
    assert (kinds.count("reconcile.imported"), kinds.count("reconcile.adjusted")) == (1, 30)


def test_a_call_without_usage_is_corrected_first(desk):
    """Booked at its hold, billed for less: the correction refers to that very call."""
    store = desk.store()
    lost = call(
        900,
        40,
        estimated=True,
        tokens={"input": 40_000_000, "output": 4_000_000},
        app="hackathon",
        team="lab",
    )
    with store.write() as connection:
        book(connection, lost)
    store.close()
    take_in(desk, bill(CALLS))
    said = status(desk)
    assert "estimate: usage never arrived" in said
    done = desk.run(
        "reconcile", "adjust", "--month", "2026-10", "--cause", "estimate", "--reason", "it was never billed"
    )
    assert done.exit_code == 0, done.stderr
    store = desk.store()
    with store.read() as connection:
        rows = connection.execute(select(ledger_entries)).mappings().all()
    store.close()
    assert {(entry["refers"], entry["app"]) for entry in rows} == {("c900/1", "hackathon")}
    assert sum(entry["nano"] for entry in rows) == -lost["nano"]
    assert sum(entry["nano"] for entry in rows if entry["estimated"]) == -lost["nano"]


def test_what_is_on_one_side_only_is_named(desk):
    shadow = "z,2026-10-05,gpt-4.1-nano,input,1000000,100.00,use"
    take_in(desk, bill(CALLS, leave_out={3}, extra=[shadow, "t,2026-10-01,,,,13.00,vat"]))
    said = status(desk)
    assert "missing at vendor: in our ledger, not on the bill" in said
    assert "missing at ours: on the bill, not in our ledger" in said
    assert "13.00 tax" in said
    assert "gpt-4.1-nano" in said


@pytest.mark.parametrize(
    ("text", "row_", "words"),
    [
        (
            "id,day,model,meter,tokens,usd,kind\n1,2026-10-01,m,input,5,1.00\n",
            2,
            "6 cells where the header has 7",
        ),
        ("id,day,model,meter,tokens,usd,kind\n1,2026-10-01,m,input,5,NaN,use\n", 2, "plain number"),
        ("id,day,model,meter,tokens,usd,kind\n1,2026-10-01,m,input,5,99999999999,use\n", 2, "column shifted"),
        ("id,day,model,meter,tokens,usd,kind\n1,2026-10-01,m,input,-5,1.00,use\n", 2, "negative quantity"),
        ("id,day,model,meter,tokens,usd,kind\n1,2026-10-01,m,input,5,-1.00,use\n", 2, "negative amount"),
        ("id,day,model,meter,tokens,usd,kind\n1,2026-10-01,input,5,1.00,m,use\n", 2, "plain number"),
        ("id,day,model,meter,tokens,usd,kind\n1,2026-10-32,m,input,5,1.00,use\n", 2, "expected it as"),
        (
            "id,day,model,meter,tokens,usd,kind\n1,2026-10-01,m,input,5,1.00,use\n1,2026-10-01,m,input,5,1.00,use\n",
            3,
            "the same line as row 2",
        ),
        ("id,day,model,meter,tokens,usd\n1,2026-10-01,m,input,5,1.00\n", 1, "no column `kind`"),
        ("id,day,model,meter,tokens,usd,kind\n", 0, "no line of a bill"),
        ("", 1, "the file is empty"),
    ],
)
def test_a_bad_file_leaves_nothing_behind(desk, text, row_, words):
    """The row and what was expected; and not one line in the database."""
    good = "id,day,model,meter,tokens,usd,kind\n0,2026-10-01,m,output,5,1.00,use\n"
    text = good + text.partition("\n")[2] if row_ > 1 else text
    done = take_in(desk, text)
    assert done.exit_code == 2
    assert (
        f"bill.csv:{row_ + 1 if row_ > 1 else row_}:" in done.stderr if row_ else "bill.csv: " in done.stderr
    )
    assert words in done.stderr.replace("row 3", "row 2")
    assert counted(desk, vendor_lines) == counted(desk, vendor_imports) == 0


def test_a_vendor_that_nobody_uses_is_a_mistake(desk):
    file = desk.folder / "bill.csv"
    file.write_text(bill(CALLS))
    done = desk.run(
        "reconcile",
        "import",
        str(file),
        "--from",
        "csv",
        "--vendor",
        "demo-nort",
        "--mapping",
        str(desk.folder / "map.yaml"),
    )
    assert done.exit_code == 2
    assert "demo-north" in done.stderr


@pytest.mark.parametrize("reason", ["", "ok", "x" * 501])
def test_a_decision_has_a_reason(desk, reason):
    take_in(desk, bill(CALLS, price={**PRICE, "output": "1.80"}))
    done = desk.run("reconcile", "accept", "--month", "2026-10", "--vendor", "demo-north", "--reason", reason)
    assert done.exit_code == 2
    assert "3 to 500" in done.stderr


def test_an_invoice_total_is_compared_with_its_lines(desk):
    done = take_in(desk, bill(CALLS), "--invoice", "INV-7", "--invoice-total", "100.00")
    assert "invoice INV-7: 100.00" in done.stdout


def test_a_wrong_mapping_names_its_line(desk):
    (desk.folder / "map.yaml").write_text("columns: {start: day, amount: usd}\ncurency: USD\n")
    done = take_in(desk, bill(CALLS))
    assert done.exit_code == 2
    assert "map.yaml:2" in done.stderr
    assert "currency" in done.stderr


# ------------------------------------------------------------------------- fetching


class CostApi(BaseHTTPRequestHandler):
    """OpenAI's two reports for October, on loopback."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("authorization")))
        body = self.server.pages[urlsplit(self.path).path]
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def buckets(results):
    """Pages of the two reports: a bucket a day."""
    start = OCTOBER // 1_000_000
    data = [
        {"start_time": start + day * 86_400, "end_time": start + (day + 1) * 86_400, "results": found}
        for day, found in sorted(results.items())
    ]
    return json.dumps({"data": data, "has_more": False}).encode()


@pytest.fixture
def cost_api():
    server = ThreadingHTTPServer(("127.0.0.1", 0), CostApi)
    server.asked, server.pages = [], {}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_bill_is_fetched_from_the_declared_origin_and_replaces_the_last_fetch(desk, cost_api):
    """Costs and counts of the same month; listed by `egress` because it is declared, and not before."""
    policies = desk.folder / "policies"
    shutil.copytree(desk.policies, policies)
    fetching = Desk(desk.folder, policies=policies)
    url = f"http://127.0.0.1:{cost_api.server_port}"
    assert "bills of" not in fetching.run("egress").stdout
    (desk.folder / "admin").write_text("admin-" + "key")
    (policies / "vendors.yaml").write_text(
        "vendors:\n  demo-north:\n"
        f'    billing: {{api: openai, url: "{url}", secret: "file:{desk.folder}/admin"}}\n'
    )
    assert "bills of demo-north" in fetching.run("egress").stdout
    costs, usage = {}, {}
    for one in CALLS:
        day = (one["started_us"] - OCTOBER) // (24 * HOUR)
        for item in json.loads(one["lines"]):
            tokens = item["quantity"]
            costs.setdefault(day, []).append(
                {
                    "amount": {"value": tokens * float(PRICE[item["meter"]]) / 1e6, "currency": "usd"},
                    "line_item": f"demo-maple-2026-01-15, {item['meter']}",
                    "project_id": one["app"],
                }
            )
        usage.setdefault(day, []).append({
            "model": "demo-maple-2026-01-15", "input_tokens": one["input"], "output_tokens": one["output"],
            "project_id": one["app"],
        })  # fmt: skip
    cost_api.pages["/v1/organization/costs"] = buckets(costs)
    cost_api.pages["/v1/organization/usage/completions"] = buckets(usage)
    done = fetching.run("reconcile", "fetch", "--vendor", "demo-north", "--month", "2026-10")
    assert done.exit_code == 0, done.stderr
    assert {key for _, key in cost_api.asked} == {"Bearer admin-" + "key"}
    said = status(fetching)
    assert "nothing to decide" in said
    assert "gap 0.00" in said.replace("+", "")
    assert said.count("  import ") == 2
    costs[3][0]["amount"]["value"] += 50
    cost_api.pages["/v1/organization/costs"] = buckets(costs)
    again = fetching.run("reconcile", "fetch", "--vendor", "demo-north", "--month", "2026-10")
    assert again.stdout.count("imported: ") == 1
    assert again.stdout.count("imported already") == 1
    said = status(fetching)
    assert said.count("  import ") == 2
    assert "+50.00 USD" in said


def test_what_cannot_be_fetched_imports_nothing(desk):
    done = desk.run("reconcile", "fetch", "--vendor", "demo-north", "--month", "2026-10")
    assert done.exit_code == 2
    assert "vendors.yaml says nothing" in done.stderr
    assert counted(desk, vendor_imports) == 0


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_our_own_focus_export_read_back_as_a_bill_leaves_no_gap(desk, form):
    """The format that a validator passed is the format that is read; days are the organisation's."""
    file = desk.folder / f"focus.{form}"
    done = desk.run("report", "focus", "--month", "2026-10", "--format", form, "--output", str(file))
    assert done.exit_code == 0, done.stderr
    done = desk.run("reconcile", "import", str(file), "--from", "focus", "--vendor", "demo-north")
    assert done.exit_code == 0, done.stderr
    said = status(desk)
    assert "nothing to decide" in said
    assert "gap +0.00" in said
    assert "cut off" not in said
    assert "unexplained" not in said
