#!/usr/bin/env python3
"""Makes the Grafana dashboards beside it: dashboards are code, and this is the code.

    deploy/grafana/generate.py           writes dashboards/*.json
    deploy/grafana/generate.py --check   writes nothing; fails when a file is not what this program makes

The same input gives the same bytes, so that a change of a dashboard can be read as a change of this file. Needs Python 3.9
and nothing besides. Metrics: docs/metrics.md. Recorded series: deploy/prometheus/rules.
"""

import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent / "dashboards"
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
# What a panel of half the width is high; the grid has 24 columns.
WIDTH, HEIGHT = 12, 8


class Board:
    """One dashboard: panels are placed from left to right, in rows."""

    def __init__(self, uid, title, description, variables=()):
        self.uid, self.title, self.description, self.variables = uid, title, description, variables
        self.panels, self.x, self.y, self.line = [], 0, 0, 0

    def row(self, title):
        """A heading over the panels that follow."""
        self._break()
        self.panels.append(
            {"id": len(self.panels) + 1, "type": "row", "title": title, "collapsed": False, "panels": [],
             "gridPos": {"x": 0, "y": self.y, "w": 24, "h": 1}})
        self.y += 1

    def graph(self, title, description, unit, *queries, width=WIDTH, stack=False, low=0, thresholds=None):
        """Lines over time. A query is (expression, legend)."""
        custom = {"fillOpacity": 20 if stack else 8, "lineWidth": 1, "showPoints": "never",
                  "stacking": {"mode": "normal" if stack else "none"}}
        if thresholds:
            custom["thresholdsStyle"] = {"mode": "line"}
        self._add("timeseries", title, description, unit, queries, width, HEIGHT, custom, low, thresholds,
                  {"legend": {"displayMode": "list", "placement": "bottom"},
                   "tooltip": {"mode": "multi", "sort": "desc"}})

    def number(self, title, description, unit, query, width=6, thresholds=None):
        """One figure of now."""
        self._add("stat", title, description, unit, [(query, "")], width, 4, {}, None, thresholds,
                  {"colorMode": "value" if thresholds else "none", "graphMode": "area",
                   "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}})

    def _add(self, kind, title, description, unit, queries, width, height, custom, low, thresholds, options):
        if self.x + width > 24:
            self._break()
        steps = [{"color": "green", "value": None}]
        for color, value in thresholds or []:
            if value is None:
                steps[0]["color"] = color
            else:
                steps.append({"color": color, "value": value})
        defaults = {"unit": unit, "custom": custom, "thresholds": {"mode": "absolute", "steps": steps}}
        if low is not None:
            defaults["min"] = low
        self.panels.append(
            {"id": len(self.panels) + 1, "type": kind, "title": title, "description": description,
             "datasource": PROMETHEUS, "gridPos": {"x": self.x, "y": self.y, "w": width, "h": height},
             "fieldConfig": {"defaults": defaults, "overrides": []}, "options": options,
             "targets": [{"refId": chr(ord("A") + index), "datasource": PROMETHEUS, "expr": expression,
                          "legendFormat": legend or "__auto", "range": True}
                         for index, (expression, legend) in enumerate(queries)]})
        self.x, self.line = self.x + width, max(self.line, height)

    def _break(self):
        self.x, self.y, self.line = 0, self.y + self.line, 0

    def json(self):
        variables = [
            {"name": name, "label": label, "type": "query", "datasource": PROMETHEUS, "definition": query,
             "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "includeAll": True, "multi": True,
             "allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}
            for name, label, query in self.variables]
        board = {
            "uid": self.uid, "title": self.title, "description": self.description, "tags": ["souk"],
            "schemaVersion": 39, "version": 1, "editable": False, "graphTooltip": 1, "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"}, "timezone": "browser", "templating": {"list": variables},
            # Deaths of processes explain much of what the lines do.
            "annotations": {"list": [
                {"name": "starts", "datasource": PROMETHEUS, "enable": True, "iconColor": "orange",
                 "expr": 'changes(process_start_time_seconds{job="souk"}[1m]) > 0',
                 "titleFormat": "{{instance}} was started"}]},
            "links": [{"type": "dashboards", "title": "Souk", "tags": ["souk"], "asDropdown": True}],
            "panels": self.panels}
        return json.dumps(board, indent=2, ensure_ascii=False) + "\n"


def quantiles(metric, labels, by="", window="$__rate_interval"):
    """Queries of the quantiles that matter: the usual, the unlucky, the worst of a hundred."""
    by_labels = f"le, {by}" if by else "le"
    legend = f"{{{{{by}}}}} " if by else ""
    return [(f"histogram_quantile({q}, sum by ({by_labels}) (rate({metric}_bucket{{{labels}}}[{window}])))",
             f"{legend}p{round(q * 100)}") for q in (0.5, 0.95, 0.99)]


def requests():
    board = Board("souk-red", "Souk: requests", "Rate, errors and duration of every service: what callers get.",
                  [("service", "Service", "label_values(service_method:grpc_requests:rate5m, service)")])
    http = 'job="souk"'
    board.row("Gateway: HTTP")
    board.number("Requests", "Requests a second at the gateway.", "reqps",
                 f"sum(rate(http_request_duration_seconds_count{{{http}}}[5m]))")
    board.number("Errors", "Share of answers that are 5xx.", "percentunit",
                 f'(sum(rate(http_request_duration_seconds_count{{{http},status=~"5.."}}[5m])) or vector(0))'
                 f" / (sum(rate(http_request_duration_seconds_count{{{http}}}[5m])) > 0)",
                 thresholds=[("orange", 0.01), ("red", 0.05)])
    board.number("In flight", "Requests that are being answered now.", "short",
                 f"sum(http_requests_in_flight{{{http}}})")
    board.number("p99", "One request in a hundred takes at least so long.", "s",
                 f"histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{{{http}}}[5m])))",
                 thresholds=[("orange", 0.5), ("red", 1)])
    board.graph("Requests by route", "Requests a second by method and route template.", "reqps",
                ("sum by (method, route) (route:http_requests:rate5m)", "{{method}} {{route}}"), stack=True)
    board.graph("Answers by status", "Answers a second by status: 5xx are Souk's fault, 4xx the caller's.", "reqps",
                (f"sum by (status) (rate(http_request_duration_seconds_count{{{http}}}[$__rate_interval]))",
                 "{{status}}"), stack=True)
    board.graph("Errors by route", "Share of 5xx; HighErrorRate pages above the line.", "percentunit",
                ("route:http_request_errors:ratio_rate5m > 0", "{{method}} {{route}}"), thresholds=[("red", 0.05)])
    board.graph("p99 by route", "Time to the head of the answer; SlowRequests is above the line.", "s",
                ("route:http_request_duration_seconds:p99_rate5m", "{{method}} {{route}}"), thresholds=[("red", 1)])
    board.row("Services: gRPC")
    chosen = 'service=~"$service"'
    board.graph("Calls by service", "Calls a second that a service answers.", "reqps",
                (f"sum by (service) (service_method:grpc_requests:rate5m{{{chosen}}})", "{{service}}"), stack=True)
    board.graph("Errors by method", "Share of calls that end in the server's fault, without refusals.", "percentunit",
                (f"service_method:grpc_request_errors:ratio_rate5m{{{chosen}}} > 0", "{{method}}"),
                thresholds=[("red", 0.05)])
    board.graph("p99 by method", "Time to answer a call, at the server.", "s",
                (f"service_method:grpc_request_duration_seconds:p99_rate5m{{{chosen}}}", "{{method}}"))
    board.graph("Calls by code", "Answers a second by gRPC code, of all services.", "reqps",
                ('sum by (code) (rate(grpc_request_duration_seconds_count{job="souk"}[$__rate_interval]))', "{{code}}"),
                stack=True)
    board.graph("p99 at the caller", "The same calls with the way and the repeats. Far above the server's: the way, or the queue.", "s",
                ("histogram_quantile(0.99, sum by (le, method) "
                 '(rate(grpc_client_request_duration_seconds_bucket{job="souk"}[$__rate_interval])))', "{{method}}"))
    board.graph("Live connections", "Open connections on which clients are told of changes.", "short",
                ('sum by (transport) (active_connections{job="souk"})', "{{transport}}"), stack=True)
    return board


def checkout():
    board = Board("souk-checkout", "Souk: checkout", "The checkout, its objectives, and the saga behind it.")
    budget = [("red", None), ("orange", 0), ("green", 0.25)]
    board.row("Objectives over 30 days")
    board.number("Success: budget left", "Of the 0.1 % of checkouts that may fail. Below 0 the objective is missed.",
                 "percentunit", "job:checkout_success_budget:remaining30d", thresholds=budget)
    board.number("Latency: budget left", "Of the 1 % of checkouts that may take longer than 250 ms.", "percentunit",
                 "job:checkout_latency_budget:remaining30d", thresholds=budget)
    board.number("Checkouts", "Checkouts a minute.", "cpm",
                 'sum(rate(checkout_duration_seconds_count{job="souk"}[5m])) * 60')
    board.number("Confirmed", "Share of the checkouts of the last hour that ended in a confirmed order.", "percentunit",
                 'sum(increase(checkout_duration_seconds_count{job="souk",outcome="confirmed"}[1h]))'
                 ' / (sum(increase(checkout_duration_seconds_count{job="souk"}[1h])) > 0)')
    for kind, what, share in (("failures", "Success", "0.001"), ("slow", "Latency", "0.01")):
        board.graph(f"{what}: burn rate", "1 spends the budget in exactly 30 days; above 14.4 for an hour somebody is woken.",
                    "short", *((f"job:checkout_{kind}:ratio_rate{window} / {share}", window) for window in ("5m", "1h", "6h", "3d")),
                    thresholds=[("orange", 6), ("red", 14.4)])
    board.row("Checkouts")
    every = 'job="souk"'
    board.graph("Checkouts by outcome", "A minute, as orders sees it. undecided is 202, failed is 5xx.", "cpm",
                (f"sum by (outcome) (rate(checkout_duration_seconds_count{{{every}}}[$__rate_interval])) * 60", "{{outcome}}"),
                stack=True)
    board.graph("Time to the answer", "Of those that were answered, as orders sees it; the line is the objective's 250 ms.", "s",
                *quantiles("checkout_duration_seconds", 'job="souk",outcome!="failed"'), thresholds=[("red", 0.25)])
    board.graph("Orders by status", "How many orders a minute became so.", "cpm",
                (f"sum by (status) (rate(orders_total{{{every}}}[$__rate_interval])) * 60", "{{status}}"))
    board.graph("Order value", "What confirmed orders cost, of the last minutes.", "currencyUSD",
                (f"max by (quantile) (order_value_dollars{{{every}}})", "{{quantile}}"))
    board.row("Saga")
    board.graph("Unfinished sagas", "Checkouts, cancellations and refunds under way. All replicas see the same store.", "short",
                (f"max(sagas_unfinished{{{every}}})", "unfinished"))
    board.graph("Oldest unfinished saga", "SagaStuck pages above the line.", "s",
                (f"max(saga_oldest_unfinished_age_seconds{{{every}}})", "age"), thresholds=[("red", 300)])
    board.graph("p95 of steps", "Time of one attempt at a step.", "s",
                ("histogram_quantile(0.95, sum by (le, step) "
                 f"(rate(saga_step_duration_seconds_bucket{{{every}}}[$__rate_interval])))", "{{step}}"))
    board.graph("Steps that fail", "Attempts a minute that have to be repeated. Refusals are answers, and not here.", "cpm",
                (f'sum by (step) (rate(saga_step_duration_seconds_count{{{every},outcome="failed"}}[$__rate_interval])) * 60',
                 "{{step}}"))
    return board


def messaging():
    board = Board("souk-messaging", "Souk: broker and outbox", "Events from the outbox through the broker to those who use them.")
    every = 'job="souk"'
    board.row("Outbox")
    board.graph("Waiting events", "Events that are written and not published yet.", "short",
                (f"max by (service) (outbox_depth{{{every}}})", "{{service}}"))
    board.graph("Age of the oldest", "OutboxStuck pages above the line.", "s",
                (f"max by (service) (outbox_oldest_age_seconds{{{every}}})", "{{service}}"), thresholds=[("red", 60)])
    board.graph("Published by service", "Events a second that the broker has taken.", "eps",
                (f"sum by (service) (rate(bus_published_total{{{every}}}[$__rate_interval]))", "{{service}}"), stack=True)
    board.graph("Published by type", "The same by routing key.", "eps",
                (f"sum by (type) (rate(bus_published_total{{{every}}}[$__rate_interval]))", "{{type}}"), stack=True)
    board.graph("Failures to publish", "Attempts a second; the events stay in the outbox.", "eps",
                (f"sum by (service) (rate(bus_publish_failures_total{{{every}}}[$__rate_interval]))", "{{service}}"))
    board.row("Consumers")
    board.graph("Consumed by group", "Attempts a second at a message.", "eps",
                (f"sum by (group, outcome) (rate(bus_consumed_total{{{every}}}[$__rate_interval]))", "{{group}} {{outcome}}"))
    board.graph("Lag", "p95 of the time from what an event tells of to its being handled.", "s",
                ("group:bus_consumer_lag_seconds:p95_rate10m", "{{group}}"), thresholds=[("red", 5)])
    board.graph("Time of one attempt", "p95.", "s",
                ("histogram_quantile(0.95, sum by (le, group) "
                 f"(rate(bus_consume_duration_seconds_bucket{{{every}}}[$__rate_interval])))", "{{group}}"))
    board.graph("Dead letters", "Messages given up within an hour: souk dlq list shows what is left of them.", "short",
                (f"sum by (group) (increase(bus_dead_letters_total{{{every}}}[1h]))", "{{group}}"))
    board.row("Live updates")
    board.graph("From the event to the connections", "Time until an update is handed to the open connections.", "s",
                *quantiles("realtime_fanout_seconds", every))
    board.graph("Pushed messages", "A second, by transport.", "eps",
                (f"sum by (transport) (rate(realtime_pushed_total{{{every}}}[$__rate_interval]))", "{{transport}}"), stack=True)
    return board


def runtime():
    board = Board("souk-runtime", "Souk: runtime", "Processes, their runtimes, their stores, and what they lose of their telemetry.",
                  [("instance", "Process", 'label_values(up{job="souk"}, instance)')])
    chosen = 'job="souk",instance=~"$instance"'
    board.row("Process")
    board.graph("Up and ready", "1 is up; a check of /health/ready that is down is 0.", "short",
                (f"up{{{chosen}}}", "{{instance}}"), (f"health_check_up{{{chosen}}} == 0", "{{instance}} {{check}} down"))
    board.graph("CPU", "Seconds of CPU a second: 1 is one core.", "short",
                (f"rate(process_cpu_seconds_total{{{chosen}}}[$__rate_interval])", "{{instance}}"), stack=True)
    board.graph("Memory", "Resident memory.", "bytes", (f"process_resident_memory_bytes{{{chosen}}}", "{{instance}}"))
    board.graph("File descriptors", "Share of those that the process may open; FdsNearLimit pages above the line.", "percentunit",
                (f"process_open_fds{{{chosen}}} / process_max_fds{{{chosen}}}", "{{instance}}"), thresholds=[("red", 0.9)])
    board.graph("Threads", "Threads of the process.", "short", (f"process_threads{{{chosen}}}", "{{instance}}"))
    board.row("Tokio")
    board.graph("Busy workers", "Share of the time that worker threads are busy.", "percentunit",
                (f"instance:tokio_busy:ratio_rate5m{{{chosen}}}", "{{instance}}"), thresholds=[("red", 0.9)])
    board.graph("Tasks", "Tasks that are not done. A line that only rises is a leak.", "short",
                (f"tokio_alive_tasks{{{chosen}}}", "{{instance}}"))
    board.graph("Global queue", "Tasks that wait for any worker.", "short",
                (f"tokio_global_queue_depth{{{chosen}}}", "{{instance}}"))
    board.graph("Parks", "How often a second workers had nothing to do.", "ops",
                (f"rate(tokio_parks_total{{{chosen}}}[$__rate_interval])", "{{instance}}"))
    board.row("Stores")
    board.graph("p95 of operations", "By service and engine.", "s",
                ("histogram_quantile(0.95, sum by (le, service, system) "
                 f"(rate(db_client_operation_duration_seconds_bucket{{{chosen}}}[$__rate_interval])))", "{{service}} {{system}}"))
    board.graph("The ten slowest operations", "p95 by the operation's name.", "s",
                ("topk(10, histogram_quantile(0.95, sum by (le, service, operation) "
                 f"(rate(db_client_operation_duration_seconds_bucket{{{chosen}}}[$__rate_interval]))))", "{{service}} {{operation}}"))
    board.graph("Slow operations", "A minute; each has a line in the log.", "cpm",
                (f"sum by (service, system) (rate(db_slow_operations_total{{{chosen}}}[$__rate_interval])) * 60",
                 "{{service}} {{system}}"))
    board.graph("Pools", "Share of the connections in use.", "percentunit",
                (f"instance_service:db_pool_used:ratio{{{chosen}}}", "{{instance}} {{service}} {{system}}"), thresholds=[("red", 0.9)])
    board.graph("Wait for a connection", "p95 of the time to get one from the pool.", "s",
                ("histogram_quantile(0.95, sum by (le, service, system) "
                 f"(rate(db_pool_wait_seconds_bucket{{{chosen}}}[$__rate_interval])))", "{{service}} {{system}}"))
    board.graph("Cache hits", "Share of look-ups that found something.", "percentunit",
                (f'sum by (cache) (rate(cache_requests_total{{{chosen},result="hit"}}[$__rate_interval]))'
                 f" / (sum by (cache) (rate(cache_requests_total{{{chosen}}}[$__rate_interval])) > 0)", "{{cache}}"))
    board.row("Telemetry")
    board.graph("Spans", "A second: failed and dropped ones are lost.", "ops",
                (f"sum by (outcome) (rate(telemetry_spans_total{{{chosen}}}[$__rate_interval]))", "{{outcome}}"), stack=True)
    board.graph("Log lines", "A second by level.", "ops",
                (f"sum by (level) (rate(log_lines_total{{{chosen}}}[$__rate_interval]))", "{{level}}"), stack=True)
    board.graph("Log lines lost", "Within five minutes.", "short",
                (f"increase(log_lines_dropped_total{{{chosen}}}[5m])", "{{instance}}"))
    return board


BOARDS = {"requests": requests, "checkout": checkout, "messaging": messaging, "runtime": runtime}


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    made = {f"{name}.json": make().json() for name, make in BOARDS.items()}
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    if check:
        stale = sorted(name for name in made.keys() | found.keys() if made.get(name) != found.get(name))
        if stale:
            sys.exit(f"not what deploy/grafana/generate.py makes, run it: {', '.join(stale)}")
        return
    for name in found.keys() - made.keys():
        (FOLDER / name).unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
