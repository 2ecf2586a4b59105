"""docs/metrics.md lists exactly the metrics that the sources register, and rules and dashboards ask for nothing else: neither a metric
nor a label that is not there."""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = r"(?:aio_(?:edge|dashboard|chat|media|billing|webhooks|live)|rpc|gen_ai)_[a-z0-9_]+"
# What Prometheus, or whoever told it whom to ask, puts beside them.
EVERYWHERE = {"job", "instance", "role", "le"}
GEN_AI = {"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"}
# Looks like a metric of the conventions, and is a label.
LABELS = GEN_AI | {"gen_ai_token_type"}
# Of RabbitMQ, not of ours.
FOREIGN = {"up": {"job", "role"}, "rabbitmq_queue_messages": {"queue"}, "rabbitmq_queue_messages_ready": {"queue"}, "rabbitmq_queue_consumers": {"queue"}}


def registered():
    """Names in the files that register metrics: of a counter without the `_total` that its line has."""
    names = set()
    for path in [*ROOT.glob("services/*/src/**/*.rs"), *ROOT.glob("crates/*/src/**/*.rs")]:
        text = path.read_text().split("#[cfg(test)]")[0]
        if not re.search(r"\bregister\(", text) or "prometheus_client" not in text or path.parts[-3] == "bench":
            continue
        names |= {name for name in re.findall(rf'"({NAME})"', text) if name not in LABELS}
    return names


def documented():
    """Of each metric in the list its type and its labels."""
    metrics = {}
    for line in (ROOT / "docs/metrics.md").read_text().splitlines():
        row = re.match(rf"\| `({NAME})` \| (counter|gauge|histogram) \|([^|]*)\|", line)
        if row:
            name, kind, labels = row.groups()
            own = set(re.findall(r"`([a-z_]+)`", labels))
            metrics[name] = kind, own | (GEN_AI if name.startswith("gen_ai_") else set())
    return metrics


def expressions():
    """Every expression of rules and dashboards, with where it stands."""
    for line in (ROOT / "deploy/prometheus/rules.yml").read_text().splitlines():
        yield "deploy/prometheus/rules.yml", line.split("#")[0]
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", []):
                yield path.relative_to(ROOT), target["expr"]


def main():
    wrong = []
    metrics, sources = documented(), registered()
    listed = {name.removesuffix("_total") if kind == "counter" else name for name, (kind, _) in metrics.items()}
    wrong += [f"docs/metrics.md: {name} is not listed" for name in sorted(sources - listed)]
    wrong += [f"docs/metrics.md: nobody registers {name}" for name in sorted(listed - sources)]
    wrong += [f"docs/metrics.md: the counter {name} ends in _total" for name, (kind, _) in metrics.items() if (kind == "counter") != name.endswith("_total")]
    known = dict(FOREIGN)
    for name, (kind, labels) in metrics.items():
        ends = ["_bucket", "_sum", "_count"] if kind == "histogram" else [""]
        known |= {name + end: labels for end in ends}
    asked = set()
    for where, expression in expressions():
        for name, chosen in re.findall(r"\b([a-z][a-z0-9_]+)\s*(?:\{([^}]*)\})?", expression):
            if name not in known:
                if re.fullmatch(rf"{NAME}|rabbitmq_\w+", name) and name not in LABELS:
                    wrong.append(f"{where}: there is no metric {name}")
                continue
            asked.add(name)
            for label in re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', chosen)):
                if label not in known[name] | EVERYWHERE:
                    wrong.append(f"{where}: {name} has no label {label}")
        for by, name in re.findall(r"by \(([^)]*)\) \((?:rate|increase|delta)?\(?([a-z_0-9]+)", expression):
            for label in filter(None, re.split(r"[,\s]+", by)):
                if name in known and label not in known[name] | EVERYWHERE:
                    wrong.append(f"{where}: {name} has no label {label}")
    own = [name for name in metrics if not any(name + end in asked for end in ("", "_bucket", "_sum", "_count"))]
    wrong += [f"{name} is on no dashboard and in no rule" for name in sorted(own)]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(metrics)} metrics: listed, registered and looked at")


main()
