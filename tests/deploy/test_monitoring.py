"""Dashboard and rules fit the metrics of a running relayer. Debian's Prometheus reads it as deploy/prometheus says, and evaluates
every expression."""

import json
import re
import socket
import subprocess
import urllib.parse

import pytest
import yaml

import metrics
from lab import DEPLOY, ROOT, get, run, wait

RULES = (DEPLOY / "prometheus/alerts.yml").read_text()
DASHBOARD = (DEPLOY / "grafana/dashboards/steam.json").read_text()


def expressions(dashboard):
    """Every expression of a dashboard, with the title of its panel."""
    return [(panel["title"], target["expr"]) for panel in json.loads(dashboard)["panels"] for target in panel.get("targets", [])]


def queries(dashboard):
    variables = json.loads(dashboard)["templating"]["list"]
    return " ".join([expr for _, expr in expressions(dashboard)] + [v["definition"] for v in variables if "definition" in v])


@pytest.fixture(scope="session")
def traffic(relayer):
    """Metrics that have something to show: answers, streams, errors of the relayer."""
    for _ in range(3):
        assert relayer.chat()[0] == 200
        assert relayer.chat(stream=True)[0] == 200
    assert relayer.chat("no/such-model")[0] == 404
    return relayer.metrics()


@pytest.fixture(scope="session")
def prometheus(relayer, traffic, folder):
    """Debian's Prometheus with the configuration of deploy/, except for the address of the relayer and the pauses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{relayer.port}"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "alerts.yml").write_text(RULES)
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb", f"--web.listen-address={address}"]
    with open(folder / "prometheus.log", "w") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        def query(expr):
            status, text = get(f"http://{address}/api/v1/query?{urllib.parse.urlencode({'query': expr})}")
            answer = json.loads(text)
            return answer["data"]["result"] if status == 200 else answer["error"]

        def up():
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            try:
                return query("count_over_time(up[1m]) >= 6")
            except (OSError, ValueError):
                return None  # it has not begun to answer

        wait("Prometheus has read the relayer six times", up, 40)
        query.api = f"http://{address}/api/v1"
        yield query
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_rules_and_dashboard_name_only_metrics_that_there_are(traffic):
    for text in (RULES, queries(DASHBOARD)):
        assert len(metrics.named(text)) >= 8
        assert metrics.unknown(text, traffic) == []
        broken = text.replace("steam_ledger_writable", "steam_ledger_writeable")
        assert metrics.unknown(broken, traffic) == ["steam_ledger_writeable"]


def test_every_metric_is_on_the_dashboard():
    assert len(metrics.declared()) >= 30
    assert metrics.unseen(queries(DASHBOARD)) == []
    assert metrics.unseen(queries(DASHBOARD.replace("steam_hedges_total", "up"))) == ["steam_hedges"]


def test_the_list_of_declared_metrics_is_what_is_served(traffic):
    for metric, (names, family) in metrics.declared().items():
        assert family or set(names) <= metrics.served(traffic), metric
    every = {name for names, _ in metrics.declared().values() for name in names}
    assert metrics.served(traffic) <= every


def empty(prometheus, dashboard, text):
    """Panels whose expression is wrong, or shows nothing though its metrics are there."""
    found = []
    for title, expr in expressions(dashboard):
        for variable, value in {"$__rate_interval": "30s", "$job": "steam", "$instance": ".+"}.items():
            expr = expr.replace(variable, value)
        result = prometheus(expr)
        # Alerts are shown where there are some.
        if isinstance(result, str) or (not result and "> 0" not in expr and metrics.named(expr) <= metrics.served(text)):
            found.append((title, result))
    return found


def test_prometheus_evaluates_every_panel(prometheus, traffic):
    assert [sample["metric"]["job"] for sample in prometheus("up == 1")] == ["steam"]
    assert empty(prometheus, DASHBOARD, traffic) == []
    broken = DASHBOARD.replace("sum by (status) (rate(", "sum by (status) (rated(", 1)
    assert [title for title, _ in empty(prometheus, broken, traffic)] == ["Requests by status"]
    elsewhere = DASHBOARD.replace('steam_in_flight{job=', 'steam_in_flight{jobs=')
    assert [title for title, _ in empty(prometheus, elsewhere, traffic)] == ["Requests under way"]


def test_prometheus_evaluates_every_rule(prometheus):
    def evaluated():
        groups = json.loads(get(f"{prometheus.api}/rules")[1])["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else None

    rules = wait("each rule was evaluated", evaluated, 20)
    assert len(rules) == RULES.count("- alert:")
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert firing == set(), "a relayer that is well raises no alert"


def test_promtool_takes_rules_and_configuration(folder):
    assert run("promtool", "check", "rules", DEPLOY / "prometheus/alerts.yml").returncode == 0
    assert run("promtool", "check", "config", DEPLOY / "prometheus/prometheus.yml").returncode == 0
    (folder / "broken.yml").write_text(RULES.replace("increase(", "increase((", 1))
    assert run("promtool", "check", "rules", folder / "broken.yml").returncode != 0


def judged(folder, rules):
    """What alerts.test.yml says of other rules."""
    cases = folder / "cases"
    cases.mkdir(exist_ok=True)
    (cases / "alerts.yml").write_text(rules)
    (cases / "alerts.test.yml").write_text((ROOT / "tests/deploy/alerts.test.yml").read_text())
    return run("promtool", "test", "rules", "alerts.test.yml", cwd=cases)


def test_each_rule_fires_when_it_should_and_only_then(folder):
    told = judged(folder, RULES)
    assert told.returncode == 0, told.stdout + told.stderr
    rules = set(re.findall(r"- alert: (\w+)", RULES))
    for other in ("vector(0) > 1", "vector(1)"):
        broken = judged(folder, re.sub(r"expr: .*", f"expr: {other}", RULES))
        noticed = set(re.findall(r"alertname: (\w+),", broken.stdout + broken.stderr))
        assert broken.returncode != 0 and rules - noticed == set(), f"no case notices these as `{other}`"


def unheard(metrics_text, rules):
    """Reasons of `steam_alert` for which no rule fires."""
    reasons = set(re.findall(r'^steam_alert\{reason="(\w+)"\}', metrics_text, re.M))
    selectors = re.findall(r'steam_alert\{reason=~?"([\w|]+)"\}', rules)
    assert len(reasons) >= 8
    return reasons - {reason for selector in selectors for reason in selector.split("|")}


def test_each_reason_of_the_relayer_has_a_rule(traffic):
    assert unheard(traffic, RULES) == set()
    assert unheard(traffic, RULES.replace("unsettled_age|backlog", "unsettled_age")) == {"backlog"}


def test_each_rule_says_what_is_wrong_and_where_that_is_explained():
    runbook = (ROOT / "docs/OPERATIONS.md").read_text()
    for group in yaml.safe_load(RULES)["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
            assert rule["annotations"]["summary"].endswith((".", ").")), rule["alert"]
            assert rule["annotations"]["runbook"] == f"docs/OPERATIONS.md#{rule['alert'].lower()}"
            assert f"\n## {rule['alert']}\n" in runbook, rule["alert"]


def test_the_dashboard_is_one_that_grafana_provisions():
    dashboard = json.loads(DASHBOARD)
    panels = dashboard["panels"]
    identities = [panel["id"] for panel in panels]
    assert len(set(identities)) == len(identities) and dashboard["uid"]
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and at["x"] + at["w"] <= 24, f"{panel['title']} lies on another panel"
        taken |= cells
        assert panel["type"] == "row" or (panel["description"] and panel["datasource"]["uid"] == "${datasource}"), panel["title"]
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert [source["type"] for source in sources] == ["prometheus"]
    folder = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/steam.yml").read_text())["providers"][0]["options"]["path"]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert f"./grafana/dashboards:{folder}:ro" in compose["services"]["grafana"]["volumes"]
