#!/usr/bin/env python3
"""Writes what is made of other files, so that nothing is written twice: the dashboards of deploy/grafana/dashboards, and the alert rules
as the Prometheus operator takes them. With --check nothing is written: it fails if something is not as it would be written."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
WIDTH = 24
HEIGHT = 8


def panel(title, unit, *queries, kind="timeseries", width=8, text="", stack=False, limits=None):
    """One panel. A query is (expression, legend)."""
    custom = {"fillOpacity": 10, "showPoints": "never", "lineWidth": 1}
    if stack:
        custom |= {"stacking": {"mode": "normal"}, "fillOpacity": 40}
    steps = [{"color": "green", "value": None}]
    for value, color in limits or []:
        steps.append({"color": color, "value": value})
    defaults = {"unit": unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if kind == "timeseries":
        defaults["custom"] = custom
    options = {
        "timeseries": {"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}, "tooltip": {"mode": "multi", "sort": "desc"}},
        "stat": {"colorMode": "background" if limits else "value", "reduceOptions": {"calcs": ["lastNotNull"]}},
        "bargauge": {"orientation": "horizontal", "reduceOptions": {"calcs": ["lastNotNull"]}},
    }[kind]
    targets = [
        {"refId": chr(ord("A") + number), "datasource": PROMETHEUS, "expr": expression, "legendFormat": legend}
        for number, (expression, legend) in enumerate(queries)
    ]
    if kind != "timeseries":
        targets = [target | {"instant": True} for target in targets]
    return {
        "type": kind,
        "title": title,
        "description": text,
        "datasource": PROMETHEUS,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets,
        "gridPos": {"w": width, "h": HEIGHT if kind == "timeseries" else HEIGHT // 2},
    }


def stat(title, unit, expression, text="", limits=None, width=4):
    return panel(title, unit, (expression, ""), kind="stat", text=text, limits=limits, width=width)


def dashboard(uid, title, description, *rows):
    """Panels from the left to the right, row by row; a row is as high as its highest panel."""
    panels, top, number = [], 0, 0
    for name, *row in rows:
        number += 1
        panels.append({"id": number, "type": "row", "title": name, "collapsed": False, "panels": [], "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}})
        top += 1
        left, height = 0, 0
        for one in row:
            place = one["gridPos"]
            if left + place["w"] > WIDTH:
                top, left, height = top + height, 0, 0
            number += 1
            panels.append({"id": number} | one | {"gridPos": place | {"x": left, "y": top}})
            left += place["w"]
            height = max(height, place["h"])
        top += height
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["aio"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["aio"], "title": "", "asDropdown": False, "includeVars": False, "keepTime": True}],
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": panels,
    }


def rate(metric, by="", only=""):
    head = f"sum by ({by})" if by else "sum"
    return f"{head}(rate({metric}{{{only}}}[$__rate_interval]))" if only else f"{head}(rate({metric}[$__rate_interval]))"


def quantile(part, metric, by="", only=""):
    labels = f"{by}, le" if by else "le"
    chosen = f"{{{only}}}" if only else ""
    return f"histogram_quantile({part}, sum by ({labels}) (rate({metric}_bucket{chosen}[$__rate_interval])))"


def quantiles(metric, only="", legend=""):
    return [(quantile(part, metric, only=only), f"{legend}p{name}") for part, name in ((0.5, "50"), (0.95, "95"), (0.99, "99"))]


def top(expression):
    return f"topk(10, {expression})"


def lost(metric):
    return f"sum(increase({metric}[$__range])) or vector(0)"


BAD = [(1, "red")]
# Whichever process did it.
LATEST_AUDIT = "max(aio_billing_audit_broken and on (instance) (aio_billing_audit_timestamp_seconds == on () group_left () max(aio_billing_audit_timestamp_seconds)))"

MONEY = dashboard(
    "aio-money", "aio: money", "Is the ledger right, is a hold stuck, what do we lose.",
    ("The books",
     stat("Promises broken", "none", LATEST_AUDIT, "At the last audit. Anything but 0: run aio ledger audit.", BAD),
     stat("Last audit", "s", "time() - (max(aio_billing_audit_timestamp_seconds) > 0)", "How long ago it ended.", [(7200, "orange"), (14400, "red")]),
     stat("Oldest hold", "s", "max(aio_billing_hold_oldest_seconds)", "A chat's ends within 15 minutes, a task's soon after its deadline.", [(2700, "orange"), (3600, "red")]),
     stat("Open holds", "none", "max(aio_billing_holds_open)"),
     stat("Payments to review", "none", lost("aio_billing_payments_to_review_total"), "A person must look at them.", BAD),
     stat("Credits written off", "none", "(sum(increase(aio_billing_written_off_microcredits_total[$__range])) or vector(0)) / 1e6", "Our loss, on the books.", [(0.000001, "red")])),
    ("Holds",
     panel("Open holds", "none", ("max(aio_billing_holds_open)", "open")),
     panel("Holds refused for want of credit", "reqps", (rate("aio_billing_holds_refused_total"), "refused")),
     panel("Chat holds that ended by time, or were dropped", "none",
           ("sum(increase(aio_billing_holds_expired_total[$__rate_interval]))", "expired"),
           ("sum(increase(aio_chat_dropped_charges_total[$__rate_interval]))", "dropped"))),
    ("What we lose",
     panel("Charges that were not made, or not whole", "none",
           ("sum(increase(aio_chat_unbilled_total[$__rate_interval]))", "answers unbilled"),
           ("sum(increase(aio_billing_captures_unknown_total[$__rate_interval]))", "captures of unknown holds"),
           ("sum(increase(aio_chat_overreported_total[$__rate_interval]))", "chat: reported beyond the hold"),
           ("sum(increase(aio_billing_captures_over_reported_total[$__rate_interval]))", "cut to their hold")),
     panel("Jobs that providers bill and nobody pays", "none",
           ("sum by (provider) (increase(aio_media_wasted_total[$__rate_interval]))", "{{provider}}: not finished"),
           ("sum by (provider) (increase(aio_media_late_successes_total[$__rate_interval]))", "{{provider}}: too late"),
           ("sum by (provider) (increase(aio_media_overbilled_total[$__rate_interval]))", "{{provider}}: more than it brings"),
           ("sum(increase(aio_media_unknown_submits_total[$__rate_interval]))", "outcome unknown")),
     panel("Charges by our own count", "reqps", (rate("aio_chat_estimated_total", "reason"), "{{reason}}"), text="A provider did not say what it used.")),
    ("How fast",
     panel("A batch of the ledger until it is on disk", "s", *quantiles("aio_billing_commit_seconds")),
     panel("Operations in a batch", "none", *quantiles("aio_billing_batch_operations")),
     panel("Calls to billing", "s", (quantile(0.99, "rpc_call_seconds", "role", 'peer="billing"'), "p99 from {{role}}"))),
    ("Payments",
     panel("Events of the payment provider", "none",
           ("sum(increase(aio_billing_payment_events_taken_total[$__rate_interval]))", "taken"),
           ("sum(increase(aio_billing_payment_events_repeated_total[$__rate_interval]))", "repeated"),
           ("sum(increase(aio_billing_payment_events_ignored_total[$__rate_interval]))", "ignored"),
           ("sum(increase(aio_billing_payment_events_forged_total[$__rate_interval]))", "forged"), width=12),
     panel("Redeem codes", "none",
           ("sum(increase(aio_billing_codes_redeemed_total[$__rate_interval]))", "redeemed"),
           ("sum(increase(aio_billing_codes_refused_total[$__rate_interval]))", "refused"), width=12)),
)

TRAFFIC = dashboard(
    "aio-traffic", "aio: traffic", "What customers ask, how it is answered, what we add to it.",
    ("Now",
     stat("Requests", "reqps", "sum(rate(aio_edge_requests_total[5m]))"),
     stat("Errors of ours", "percentunit", "aio:edge_errors:ratio5m", "Answers with 5xx, of all, in five minutes.", [(0.001, "orange"), (0.0144, "red")]),
     stat("Errors of ours, 6 h", "percentunit", "aio:edge_errors:ratio6h", "", [(0.001, "orange"), (0.006, "red")]),
     stat("Added to a chat, p99", "s", "max(aio:chat_overhead_seconds:p99_5m)", "Before the provider, or after it: the greater of both.", [(0.05, "orange"), (0.1, "red")]),
     stat("Processes that answer", "none", 'sum(up{job="aio"})'),
     stat("Processes that do not", "none", '(count(up{job="aio"} == 0) or vector(0))', "", BAD)),
    ("Requests",
     panel("By status", "reqps", (rate("aio_edge_requests_total", "status"), "{{status}}"), stack=True),
     panel("By route", "reqps", (top(rate("aio_edge_requests_total", "route")), "{{route}}")),
     panel("Errors of ours, by route", "reqps", (top(rate("aio_edge_requests_total", "route", 'status="5xx"')), "{{route}}"))),
    ("Times",
     panel("To the beginning of the answer, p99 by route", "s", (top(quantile(0.99, "aio_edge_request_duration_seconds", "route")), "{{route}}"),
           text="With the provider's time, where one is asked."),
     panel("Polls of a task", "s", *quantiles("aio_edge_request_duration_seconds", 'route="/tasks/{id}"')),
     panel("What we add to a chat", "s",
           (quantile(0.5, "aio_chat_overhead_seconds", "phase"), "p50 {{phase}}"),
           (quantile(0.99, "aio_chat_overhead_seconds", "phase"), "p99 {{phase}}"))),
    ("Keys and limits",
     panel("Checks of keys", "reqps", (rate("aio_edge_key_checks_total", "result"), "{{result}}")),
     panel("Requests that nobody counted, limits counted alone", "reqps",
           (rate("aio_edge_uncounted_requests_total"), "uncounted"), (rate("aio_edge_overloaded_total"), "too much at once"), (rate("aio_live_local_limits_total", "role"), "{{role}} alone"), text="Uncounted: Redis is away, or slow. Too much at once: refused, because the edge is behind with its work."),
     panel("Streams: heartbeats, responses not kept", "reqps", (rate("aio_edge_heartbeats_total"), "heartbeats"), (rate("aio_edge_unkept_responses_total"), "not kept"))),
    ("Between services",
     panel("Calls, p99", "s", (quantile(0.99, "rpc_call_seconds", "peer"), "to {{peer}}")),
     panel("Calls that do not go well", "reqps", (rate("rpc_calls_total", "peer, result", 'result!="Ok"'), "{{peer}} {{result}}")),
     panel("Pages", "reqps", (rate("aio_dashboard_requests_total", "status"), "{{status}}"), width=4),
     panel("Pages", "s", *quantiles("aio_dashboard_request_seconds"), width=4)),
)

PROVIDERS = dashboard(
    "aio-providers", "aio: providers", "Is a provider down, slow, or dear; who answers in its place.",
    ("Chat: how calls begin",
     panel("Calls", "reqps", (rate("aio_chat_attempts_total", "provider"), "{{provider}}"), stack=True),
     panel("Calls that fail", "reqps", (rate("aio_chat_attempts_total", "provider, outcome", 'outcome!="answered"'), "{{provider}} {{outcome}}")),
     panel("Part of them that fails", "percentunit",
           (rate("aio_chat_attempts_total", "provider", 'outcome!="answered"') + " / " + rate("aio_chat_attempts_total", "provider"), "{{provider}}"))),
    ("Chat: who is asked",
     panel("Breakers", "none", ("max by (provider, credential) (aio_chat_breaker_state)", "{{provider}} {{credential}}"), text="0 asked, 1 one request tries it, 2 left alone. The worst of all processes."),
     panel("How often they opened", "none", ("sum by (provider, reason) (increase(aio_chat_breaker_trips_total[$__rate_interval]))", "{{provider}} {{reason}}")),
     panel("Passed over, or full", "reqps", (rate("aio_chat_passed_over_total", "provider"), "{{provider}} passed over"), (rate("aio_chat_full_total", "provider"), "{{provider}} full")),
     panel("Open now", "none", ("sum by (provider) (aio_chat_in_flight)", "{{provider}}"), stack=True),
     panel("Another one was asked", "reqps", (rate("aio_chat_failovers_total", "reason"), "{{reason}}"), (rate("aio_chat_over_budget_total"), "not asked: over budget")),
     panel("Requests by outcome", "reqps", (rate("aio_chat_requests_total", "outcome"), "{{outcome}}"))),
    ("Chat: time and tokens",
     panel("Time to the first token, p95", "s", (quantile(0.95, "gen_ai_server_time_to_first_token_seconds", "gen_ai_request_model, gen_ai_provider_name"), "{{gen_ai_request_model}} {{gen_ai_provider_name}}")),
     panel("Time for each token after it, p95", "s", (quantile(0.95, "gen_ai_server_time_per_output_token_seconds", "gen_ai_request_model, gen_ai_provider_name"), "{{gen_ai_request_model}} {{gen_ai_provider_name}}")),
     panel("A call to its end, p95", "s", (quantile(0.95, "gen_ai_client_operation_duration_seconds", "gen_ai_provider_name"), "{{gen_ai_provider_name}}")),
     panel("A request to its end, p95", "s", (quantile(0.95, "gen_ai_server_request_duration_seconds", "gen_ai_request_model"), "{{gen_ai_request_model}}")),
     panel("Tokens charged", "none", (rate("gen_ai_client_token_usage_sum", "gen_ai_request_model, gen_ai_token_type"), "{{gen_ai_request_model}} {{gen_ai_token_type}}"), text="A second.", width=16)),
    ("Answers given again",
     panel("The cache", "reqps", (rate("aio_chat_cache_lookups_total", "outcome"), "{{outcome}}"), (rate("aio_chat_cache_answers_total", "outcome"), "kept: {{outcome}}"), width=12),
     panel("Idempotency-Key", "reqps", (rate("aio_chat_replayed_total"), "given again"), (rate("aio_chat_taken_over_total"), "taken over"), width=12)),
    ("Media",
     panel("Passed on to another provider", "none", ("sum by (provider) (increase(aio_media_passed_on_total[$__rate_interval]))", "from {{provider}}")),
     panel("Callbacks of providers", "reqps", (rate("aio_media_callbacks_total", "outcome"), "{{outcome}}")),
     panel("URLs that the guard refused", "reqps",
           (rate("aio_chat_egress_refusals_total", "purpose, reason"), "chat {{purpose}} {{reason}}"),
           (rate("aio_media_egress_refusals_total", "purpose, reason"), "media {{purpose}} {{reason}}"))),
)

TASKS = dashboard(
    "aio-tasks", "aio: tasks", "Do tasks come to their end, and how.",
    ("Now",
     stat("Accepted", "none", "sum(increase(aio_media_tasks_accepted_total[1h])) or vector(0)", "In the last hour."),
     stat("Ended", "none", "sum(increase(aio_media_tasks_ended_total[1h])) or vector(0)", "In the last hour."),
     stat("Completed, of those that ended", "percentunit", 'sum(increase(aio_media_tasks_ended_total{outcome="completed"}[1h])) / sum(increase(aio_media_tasks_ended_total[1h]))'),
     stat("Steps under way", "none", "sum(aio_media_steps)", "All processes together; each makes limits.media.max_steps at once."),
     stat("Messages that wait", "none", 'sum(rabbitmq_queue_messages_ready{queue=~"aio\\\\.q\\\\..*",queue!~"aio\\\\.q\\\\.(dead|unrouted).*"})', "", [(1000, "orange")]),
     stat("Outcome unknown", "none", lost("aio_media_unknown_submits_total"), "Paid submits: aio tasks unknown lists them.", BAD)),
    ("Tasks",
     panel("Accepted and ended", "none", ("sum(rate(aio_media_tasks_accepted_total[$__rate_interval])) * 60", "accepted"), ("sum(rate(aio_media_tasks_ended_total[$__rate_interval])) * 60", "ended"), text="A minute."),
     panel("Ended, by model", "none", ("sum by (model) (rate(aio_media_tasks_ended_total[$__rate_interval])) * 60", "{{model}}"), text="A minute.", stack=True),
     panel("Failed, by cause", "none", ('sum by (outcome) (rate(aio_media_tasks_ended_total{outcome!="completed"}[$__rate_interval])) * 60', "{{outcome}}"), text="A minute.")),
    ("Models",
     panel("Part of the tasks that fails", "percentunit",
           ('sum by (model) (rate(aio_media_tasks_ended_total{outcome!="completed"}[$__rate_interval])) / sum by (model) (rate(aio_media_tasks_ended_total[$__rate_interval]))', "{{model}}"), width=12),
     panel("Steps under way, by process", "none", ("sum by (instance) (aio_media_steps)", "{{instance}}")),),
    ("The queue",
     panel("Messages", "none", ('sum by (queue) (rabbitmq_queue_messages{queue=~"aio\\\\.q\\\\..*"})', "{{queue}}")),
     panel("Who reads", "none", ('sum by (queue) (rabbitmq_queue_consumers{queue=~"aio\\\\.q\\\\..*"})', "{{queue}}")),
     panel("Files uploaded", "none", ("sum(increase(aio_media_uploads_total[$__rate_interval]))", "files"))),
)

WEBHOOKS = dashboard(
    "aio-webhooks", "aio: webhooks", "Are customers told.",
    ("Now",
     stat("Attempts", "reqps", "sum(rate(aio_webhooks_attempts_total[5m]))"),
     stat("Delivered, of those", "percentunit", 'sum(rate(aio_webhooks_attempts_total{outcome="delivered"}[5m])) / sum(rate(aio_webhooks_attempts_total[5m]))'),
     stat("In flight", "none", "sum(aio_webhooks_attempts_in_flight)"),
     stat("Of those slow", "none", "sum(aio_webhooks_attempts_slow)"),
     stat("Given up", "none", lost("aio_webhooks_exhausted_total"), "aio webhooks deliveries --state dead lists them.", [(1, "orange"), (20, "red")]),
     stat("Endpoints disabled", "none", lost("aio_webhooks_endpoints_disabled_total"), "", [(1, "orange")])),
    ("Attempts",
     panel("By what follows", "reqps", (rate("aio_webhooks_attempts_total", "outcome"), "{{outcome}}"), stack=True),
     panel("How long the other side takes", "s", *quantiles("aio_webhooks_attempt_seconds")),
     panel("In flight", "none", ("sum(aio_webhooks_attempts_in_flight)", "all"), ("sum(aio_webhooks_attempts_slow)", "slow"))),
    ("What goes wrong",
     panel("Given up, endpoints disabled", "none",
           ("sum(increase(aio_webhooks_exhausted_total[$__rate_interval]))", "given up"),
           ("sum by (reason) (increase(aio_webhooks_endpoints_disabled_total[$__rate_interval]))", "disabled: {{reason}}")),
     panel("Refused by the guard", "reqps", (rate("aio_webhooks_egress_refusals_total", "reason"), "{{reason}}")),
     panel("Mended by the sweep", "none",
           ("sum(increase(aio_webhooks_leases_expired_total[$__rate_interval]))", "left by a dead process"),
           ("sum(increase(aio_webhooks_lanes_repaired_total[$__rate_interval]))", "endpoints found again"))),
)


def operators_rules():
    """The alert rules as the Prometheus operator takes them."""
    rules = (HERE / "prometheus/rules.yml").read_text()
    groups = rules[rules.index("groups:") :]
    head = "# Made of deploy/prometheus/rules.yml by deploy/generate.py.\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: aio\nspec:\n"
    return head + "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(keepends=True))


def files():
    for board in (MONEY, TRAFFIC, PROVIDERS, TASKS, WEBHOOKS):
        name = board["uid"].removeprefix("aio-")
        yield HERE / f"grafana/dashboards/{name}.json", json.dumps(board, indent=1) + "\n"
    yield HERE / "k8s/components/monitoring/rules.yaml", operators_rules()


def main():
    stale = []
    for path, text in files():
        if path.exists() and path.read_text() == text:
            continue
        if "--check" in sys.argv:
            stale.append(str(path.relative_to(HERE.parent)))
        else:
            path.write_text(text)
    if stale:
        sys.exit(f"not as deploy/generate.py writes them: {', '.join(stale)}")


main()
