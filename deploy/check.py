#!/usr/bin/env python3
"""Holds rules, dashboards, runbooks and docs/metrics.md against each other; scripts/check-deploy runs it.

    deploy/check.py                  prints every line that breaks a rule; fails when there is one
    deploy/check.py --expressions    prints the PromQL of dashboards and runbooks as a file of rules, for promtool to judge

Knows of YAML and PromQL only what the files here use: their syntax is promtool's to check. Needs Python 3.9 alone.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RULES = ROOT / "deploy/prometheus/rules"
TESTS = ROOT / "deploy/prometheus/tests"
BOARDS = ROOT / "deploy/grafana/dashboards"
RUNBOOKS = ROOT / "docs/runbooks"
# Series and labels that Prometheus makes itself, or that come from the targets' files.
BUILT_IN = {"up": set()}
TARGET_LABELS = {"job", "instance"}
KEYWORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right", "inf", "nan"}
FAMILIES = {"histogram": {"_bucket": {"le"}, "_sum": set(), "_count": set()}, "summary": {"": {"quantile"}, "_sum": set(), "_count": set()}}

broken = []


def complain(where, what):
    line = f"{where.relative_to(ROOT)}: {' '.join(what.split())}"
    if line not in broken:
        broken.append(line)


def catalogue():
    """Series by name, each with its labels, from the tables of docs/metrics.md."""
    series, path = {}, ROOT / "docs/metrics.md"
    for line in path.read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| `([a-z_0-9]+)` \| (\w+) \|(.*?)\| ", line)
        if not row:
            continue
        name, kind, labels = row[1], row[2], set(re.findall(r"`(\w+)`", row[3]))
        if kind not in ("counter", "gauge", "histogram", "summary"):
            complain(path, f"{name} is a {kind}, which is no type")
        if (kind == "counter") != name.endswith("_total"):
            complain(path, f"{name}: counters, and they alone, end in _total")
        for suffix, more in FAMILIES.get(kind, {"": set()}).items():
            if name + suffix in series:
                complain(path, f"{name} stands here twice")
            series[name + suffix] = labels | more
    return series


def yaml_values(text, key):
    """Values of a key in block style: on its line, or indented below it."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        found = re.match(rf"( *)(- )?{key}: *(.*)$", line)
        if not found:
            continue
        indent = len(found[1]) + len(found[2] or "")
        if found[3] in ("|", ">", "|-", ">-"):
            block = []
            for below in lines[number + 1:]:
                if below.strip() and len(below) - len(below.lstrip()) <= indent:
                    break
                block.append(below.strip())
            yield "\n".join(block)
        else:
            yield found[3].strip("\"'")


def names(expression):
    """The series that an expression names, each with the labels asked of it, and the labels it groups by."""
    plain = re.sub(r"#.*", "", expression)
    found = []
    for series, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\s*\{((?:[^{}\"]|\"(?:\\.|[^\"])*\")*)\}", plain):
        bare = re.sub(r"\"(?:\\.|[^\"])*\"", "", matchers)
        found.append((series, set(re.findall(r"\w+(?=\s*[=!])", bare))))
    made = set(re.findall(r"label_replace\(.*?,\s*\"(\w+)\"", plain, re.DOTALL))
    plain = re.sub(r"\"(?:\\.|[^\"])*\"", '""', plain)
    grouped = set()
    for listed in re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", plain):
        grouped |= set(re.findall(r"\w+", listed))
    plain = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", plain)
    plain = re.sub(r"\{[^}]*\}", " ", re.sub(r"\[[^\]]*\]", " ", plain))
    for word in re.finditer(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])", plain):
        if word[1].lower() not in KEYWORDS:
            found.append((word[1], set()))
    return found, grouped - made


def check_expression(where, expression, series, recorded):
    found, grouped = names(expression)
    if not found:
        complain(where, f"no series found in: {expression}")
    possible = set(TARGET_LABELS)
    for name, labels in found:
        if name in recorded:
            # Its labels are those that its rule leaves: grouping by others is not looked for.
            possible |= grouped
            continue
        if name not in series:
            complain(where, f"{name} is not in docs/metrics.md: {expression}")
            possible |= grouped
            continue
        possible |= series[name]
        for label in sorted(labels - series[name] - TARGET_LABELS):
            complain(where, f"{name} has no label {label}")
    for label in sorted(grouped - possible):
        complain(where, f"no series has the label {label} in: {expression}")


def check_rules(series, recorded):
    for path in sorted(RULES.glob("*.yml")):
        for expression in yaml_values(path.read_text(encoding="utf-8"), "expr"):
            check_expression(path, expression, series, recorded)


def kebab(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def check_alerts():
    """Every alert says how urgent it is, what it means, and where to read on; has a test; and every runbook an alert."""
    seen, tests = set(), "".join(path.read_text(encoding="utf-8") for path in TESTS.glob("*.yml"))
    for path in sorted(RULES.glob("*.yml")):
        for block in re.split(r"(?m)^ *- (?=alert:|record:)", path.read_text(encoding="utf-8"))[1:]:
            alert = re.match(r"alert: (\w+)", block)
            if not alert:
                continue
            name = alert[1]
            seen.add(kebab(name))
            field = {key: next(yaml_values(block, key), "") for key in ("severity", "summary", "description", "runbook_url")}
            if field["severity"] not in ("page", "ticket"):
                complain(path, f"{name}: severity is page or ticket, not '{field['severity']}'")
            for key in ("summary", "description"):
                if not field[key]:
                    complain(path, f"{name} has no {key}")
            wanted = f"docs/runbooks/{kebab(name)}.md"
            if field["runbook_url"] != wanted:
                complain(path, f"{name}: runbook_url is {wanted}, not '{field['runbook_url']}'")
            elif not (ROOT / wanted).is_file():
                complain(path, f"{name} has no runbook: {wanted} is not there")
            slo = re.search(r"slo: ([\w-]+)", block)
            if f'alertname="{name}"' not in tests and not (slo and f'slo="{slo[1]}"' in tests):
                complain(path, f"{name} has no test in which it fires")
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    for path in sorted(RUNBOOKS.glob("*.md")):
        if path.name == "README.md":
            continue
        if path.stem not in seen:
            complain(path, "no alert has this runbook")
        if f"({path.name})" not in index:
            complain(RUNBOOKS / "README.md", f"{path.name} is not listed")


def runbook_queries():
    for path in sorted(RUNBOOKS.glob("*.md")):
        for block in re.findall(r"(?ms)^```promql\n(.*?)^```", path.read_text(encoding="utf-8")):
            for query in block.strip().splitlines():
                yield path, query


def check_runbooks(series, recorded):
    """What they tell to run has to be there."""
    for path, query in runbook_queries():
        check_expression(path, query, series, recorded)
    source = (ROOT / "crates/souk/src/cli.rs").read_text(encoding="utf-8")
    listed = re.search(r"enum Command \{(.*?)\n\}", source, re.DOTALL)[1]
    commands = {name.lower() for name in re.findall(r"(?m)^    (\w+)\(", listed)}
    nested = {"dlq": {"list", "show", "replay", "drop"}, "outbox": {"status"}}
    for path in sorted(RUNBOOKS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        for command, argument in re.findall(r"(?m)(?:^    |`)souk ([a-z]+)(?: ([a-z]+))?", text):
            if command not in commands or (command in nested and argument not in nested[command]):
                complain(path, f"there is no command souk {command} {argument}".rstrip())
        for link, anchor in re.findall(r"\]\(([^)#:]+)(?:#([^)]*))?\)", text):
            target = path.parent / link
            if not target.exists():
                complain(path, f"links to {link}, which is not there")
            elif anchor:
                headings = re.findall(r"(?m)^#+ (.*)$", target.read_text(encoding="utf-8"))
                if anchor not in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}:
                    complain(path, f"links to {link}#{anchor}, which has no such heading")


def board_queries(board):
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for annotation in board["annotations"]["list"]:
        yield annotation["expr"]
    for variable in board["templating"]["list"]:
        yield re.match(r"label_values\((.*), *\w+\)$", variable["definition"])[1]


def boards():
    for path in sorted(BOARDS.glob("*.json")):
        try:
            yield path, json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            complain(path, f"is no JSON: {error}")


def check_boards(series, recorded):
    uids = {}
    for path, board in boards():
        if uids.setdefault(board["uid"], path) != path:
            complain(path, f"has the uid of {uids[board['uid']].name}")
        variables = {variable["name"] for variable in board["templating"]["list"]}
        ids, taken = set(), set()
        for panel in board["panels"]:
            title, place = panel["title"], panel["gridPos"]
            if panel["id"] in ids:
                complain(path, f"two panels have the id {panel['id']}")
            ids.add(panel["id"])
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            if cells & taken or place["x"] + place["w"] > 24:
                complain(path, f"'{title}' lies over another panel, or over the edge")
            taken |= cells
            if panel["type"] == "row":
                continue
            if not panel.get("description"):
                complain(path, f"'{title}' has no description")
            if not panel["fieldConfig"]["defaults"].get("unit"):
                complain(path, f"'{title}' has no unit")
            if not panel.get("targets"):
                complain(path, f"'{title}' asks nothing")
        for query in board_queries(board):
            check_expression(path, query, series, recorded)
            for variable in re.findall(r"\$(\w+)", query):
                if variable not in variables | {"__rate_interval"}:
                    complain(path, f"there is no variable ${variable}: {query}")


def print_expressions():
    """Every query of dashboards and runbooks as a recording rule: promtool has no other way to parse one."""
    queries = [query for _, board in boards() for query in board_queries(board)] + [query for _, query in runbook_queries()]
    print("groups:\n  - name: expressions\n    rules:")
    for number, query in enumerate(queries):
        plain = re.sub(r"\$\w+", ".*", query.replace("$__rate_interval", "5m"))
        print(f"      - record: expression:{number}\n        expr: {json.dumps(plain)}")


def main():
    if sys.argv[1:] == ["--expressions"]:
        print_expressions()
        return
    if sys.argv[1:]:
        sys.exit(__doc__)
    recorded = {name for path in RULES.glob("*.yml") for name in yaml_values(path.read_text(encoding="utf-8"), "record")}
    series = catalogue() | BUILT_IN
    check_rules(series, recorded)
    check_alerts()
    check_runbooks(series, recorded)
    check_boards(series, recorded)
    if broken:
        sys.exit("\n".join(broken))


if __name__ == "__main__":
    main()
