"""The Helm chart, linted and rendered by Helm's own library; what it renders is held against the schemas of Kubernetes."""

import json
import os
import pathlib
import re
import shutil
import tomllib

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from lab import DEPLOY, get, run

CHART = DEPLOY / "helm/steam"
KUBERNETES = "1.34"
# A definition of the Prometheus operator, which is no part of Kubernetes.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}
NEEDED = {"image": {"repository": "registry.example/steam"}, "keys": {"secretName": "steam-keys"}}
SEVERAL = NEEDED | {
    "replicas": {"count": 3, "secretName": "steam-replicas", "ledgerUrl": "postgres://steam@db.example/steam?sslmode=verify-full"},
    "environmentSecretName": "steam-environment",
    "networkPolicy": {"enabled": True},
}
EVERYTHING = NEEDED | {
    "image": {"repository": "registry.example/steam", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "keys": {"secretName": "steam-keys", "sponsorSecretName": "steam-sponsor", "operatorSecretName": "steam-operator"},
    "environmentSecretName": "steam-environment",
    "persistence": {"storageClassName": "fast"},
    "service": {"type": "LoadBalancer", "annotations": {"a": "b"}},
    "ingress": {"enabled": True, "className": "nginx", "host": "api.example.com", "tlsSecretName": "steam-tls"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
    "dashboard": {"enabled": True},
    "networkPolicy": {"enabled": True, "ingressFrom": [{"podSelector": {}}]},
    "podAnnotations": {"a": "b"},
    "podLabels": {"c": "d"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "relayer", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}


def rendered(values, chart=CHART):
    with helm.Chart.load(str(chart)) as loaded:
        loaded.validate_schema(values)
        texts = loaded.render(values, name="demo", namespace="relayers")
    documents = [yaml.safe_load_all(text) for name, text in sorted(texts.items()) if name.endswith(".yaml")]
    return [document for some in documents for document in some if document]


def of(documents, kind, name=None):
    found = [d for d in documents if d["kind"] == kind and name in (None, d["metadata"]["name"])]
    assert len(found) == 1, [d["metadata"]["name"] for d in found]
    return found[0]


def invalid(documents):
    """What Kubernetes would not take; a name that it does not know counts."""
    found = []
    for document in documents:
        if document["kind"] in FOREIGN:
            continue
        try:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{document['kind']}: {error.message}")
    return found


@pytest.fixture
def copy(tmp_path):
    """A copy of the chart to break."""
    return pathlib.Path(shutil.copytree(CHART, tmp_path / "steam"))


def change(chart, file, old, new):
    text = (chart / file).read_text()
    assert old in text
    (chart / file).write_text(text.replace(old, new))


def test_helm_lint_has_nothing_to_mend(copy):
    def complaints(chart):
        # 1 is a remark, 2 a warning, 3 an error.
        return [m["error"] for m in helm.lint(str(chart))["messages"] if m["severity"] > 1]

    assert complaints(CHART) == []
    change(copy, "templates/pdb.yaml", "{{- end }}", "")
    assert complaints(copy) != []


@pytest.mark.parametrize("values", [NEEDED, SEVERAL, EVERYTHING], ids=["needed", "several", "everything"])
def test_what_it_renders_is_valid(values):
    assert invalid(rendered(values)) == []


def test_a_mistake_in_a_template_is_noticed(copy):
    change(copy, "templates/statefulset.yaml", "readOnlyRootFilesystem", "readonlyRootFilesystem")
    change(copy, "templates/pdb.yaml", "maxUnavailable: {{", "maxUnavailables: {{")
    found = " ".join(invalid(rendered(NEEDED, copy)))
    assert "readonlyRootFilesystem" in found and "maxUnavailables" in found


def test_every_template_is_rendered():
    kinds = {document["kind"] for document in rendered(EVERYTHING)}
    sources = "".join(file.read_text() for file in CHART.glob("templates/**/*.yaml"))
    assert kinds == set(re.findall(r"^kind: (\w+)$", sources, re.M))


def test_what_must_be_set_is_asked_for_in_words():
    for values, said in [
        ({"keys": {"secretName": "k"}}, "image.repository"),
        ({"image": {"repository": "r"}}, "keys.secretName"),
        (NEEDED | {"config": ""}, "config: put the text"),
        (NEEDED | {"ingress": {"enabled": True}}, "ingress.host"),
        (NEEDED | {"replicas": 2}, "replicas"),
        (NEEDED | {"replicas": {"count": 2}}, "replicas.secretName"),
        (NEEDED | {"replicas": {"secretName": "s"}}, "replicas.ledgerUrl"),
        (NEEDED | {"replicas": {"count": 0}}, "count"),
        (NEEDED | {"podDisruptionBudget": {"maxUnavailable": 2}}, "maxUnavailable"),
        (NEEDED | {"image": {"repository": "r", "digest": "latest"}}, "digest"),
    ]:
        with pytest.raises(helm.HelmError) as error:
            rendered(values)
        assert said in str(error.value), error.value


def test_the_pod_is_confined_and_has_time_to_drain():
    pod = of(rendered(NEEDED), "StatefulSet")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"] and not pod["enableServiceLinks"]
    container = pod["containers"][0]["securityContext"]
    assert container["readOnlyRootFilesystem"] and container["capabilities"]["drop"] == ["ALL"] and not container["allowPrivilegeEscalation"]
    drain = tomllib.loads((DEPLOY / "steam.maximal.toml").read_text())["server"]["drain_timeout_ms"]
    assert pod["terminationGracePeriodSeconds"] * 1000 >= drain + 30_000


def test_there_is_one_replica_with_a_volume_that_stays():
    spec = of(rendered(EVERYTHING), "StatefulSet")["spec"]
    assert spec["replicas"] == 1 and spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    assert spec["serviceName"] == of(rendered(EVERYTHING), "Service", "demo-steam-pods")["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["template"]["spec"]["containers"][0]["volumeMounts"]}
    variables = {v["name"]: v["value"] for v in spec["template"]["spec"]["containers"][0]["env"]}
    assert variables["STEAM_LEDGER"].startswith(mounts["ledger"] + "/")


def test_several_processes_find_each_other_and_have_no_volume(steam, folder):
    documents = rendered(SEVERAL)
    spec = of(documents, "StatefulSet")["spec"]
    assert spec["replicas"] == 3 and "volumeClaimTemplates" not in spec
    container = spec["template"]["spec"]["containers"][0]
    variables = {v["name"]: v.get("value") for v in container["env"]}
    assert variables["STEAM_LEDGER"] == SEVERAL["replicas"]["ledgerUrl"], "the image has another place, which comes before the configuration's"
    service = of(documents, "Service", "demo-steam-pods")["spec"]
    assert service["publishNotReadyAddresses"] and spec["serviceName"] == "demo-steam-pods"
    port = next(p["port"] for p in service["ports"] if p["name"] == "replicas")
    assert variables["STEAM_REPLICA_ADDRESS"] == f"$(POD_NAME).demo-steam-pods:{port}"
    assert {"name": "replicas", "containerPort": port} in container["ports"]
    behind = [rule for rule in of(documents, "NetworkPolicy")["spec"]["ingress"] if rule["ports"][0]["port"] == "replicas"]
    assert behind[0]["from"] == [{"podSelector": spec["selector"]}], "the processes alone reach that port"
    # With what the values say of it the configuration is one that the relayer takes.
    told = re.sub(r"^#   ", "", re.search(r"^# `config` has\n((?:#   .*\n)+)", (CHART / "values.yaml").read_text(), re.M)[1], flags=re.M)
    config = tomllib.loads(told)
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert config["replicas"]["secret_file"] == f"{mounts['replicas']}/replicas.secret" and "ledger" not in mounts
    assert config["replicas"]["listen"].endswith(f":{port}")
    secret = folder / "chart-replicas.secret"
    secret.write_text("0123456789abcdef" * 2)
    file = usable(folder, of(rendered(NEEDED), "Secret")["stringData"]["steam.toml"] + told.replace(config["replicas"]["secret_file"], str(secret)))
    environment = {name: value.replace("$(POD_NAME)", "demo-steam-0") for name, value in variables.items() if value}
    answer = run(steam, "config", "check", file, env={**os.environ, **environment})
    assert answer.returncode == 0, answer.stderr


def usable(folder, text):
    """A file with a configuration of the chart's, whose keypairs are there and whose relayer has an address."""
    key = folder / "chart-key.json"
    key.write_text(str([*range(32), *bytes.fromhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")]))
    file = folder / "chart.toml"
    text = re.sub(r'"/run/[^"]*"', f'"{key}"', text)
    file.write_text(text.replace('relayer = ""', 'relayer = "39TTpXkJhjWdxEr7DJSnSQqzvnuWcWoRAgTQFPB9iStr"'))
    return file


def test_the_default_configuration_is_one_that_the_relayer_takes(steam, folder):
    text = of(rendered(NEEDED), "Secret")["stringData"]["steam.toml"]
    spec = of(rendered(NEEDED), "StatefulSet")["spec"]["template"]["spec"]
    keys = next(m["mountPath"] for m in spec["containers"][0]["volumeMounts"] if m["name"] == "keys")
    chain = tomllib.loads(text)["chain"]
    assert [chain["settler_keypair"], chain["receipt_keypair"]] == [f"{keys}/settler.json", f"{keys}/receipts.json"]
    file = usable(folder, text)
    assert run(steam, "config", "check", file).returncode == 0
    file.write_text(re.sub(r'relayer = ".*"', 'relayer = ""', file.read_text()))
    told = run(steam, "config", "check", file)
    assert told.returncode == 3 and "``" in told.stderr, "only the relayer's address is missing"


def test_the_sponsor_and_the_operator_have_secrets_where_the_values_say_that_they_lie():
    def secrets(values):
        pod = of(rendered(values), "StatefulSet")["spec"]["template"]["spec"]
        mounts = {m["name"]: m for m in pod["containers"][0]["volumeMounts"]}
        volumes = {v["name"]: v["secret"] for v in pod["volumes"] if "secret" in v}
        assert all(mounts[name].get("readOnly") for name in volumes) and all(one["defaultMode"] == 0o440 for one in volumes.values())
        return {
            name: (volumes[name]["secretName"], [f"{mounts[name]['mountPath']}/{item['path']}" for item in volumes[name]["items"]])
            for name in ("sponsor", "operator") if name in volumes
        }

    assert secrets(NEEDED) == {}, "neither is there unless it is named"
    found = secrets(EVERYTHING)
    told = re.findall(r'^  #   (?:keypair|token_file) = "(.*)"$', (CHART / "values.yaml").read_text(), re.M)
    assert found == {"sponsor": ("steam-sponsor", told[:1]), "operator": ("steam-operator", told[1:])}


def test_a_change_of_the_configuration_restarts_unless_told_otherwise():
    def annotations(values):
        return of(rendered(NEEDED | values), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]

    assert annotations({}) != annotations({"config": "[chain]\n"})
    assert not annotations({"restartOnConfigChange": False})


def test_probes_ask_what_is_meant():
    probes = of(rendered(NEEDED), "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    assert [probes[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")] == ["/health", "/health", "/ready"]


def test_the_ingress_leads_everywhere_but_to_the_metrics(relayer):
    paths = of(rendered(EVERYTHING), "Ingress")["spec"]["rules"][0]["http"]["paths"]
    led = {entry["path"]: entry["pathType"] for entry in paths}
    routes = json.loads(get(f"{relayer.url}/openapi.json")[1])["paths"]
    assert len(routes) > 20
    reached = {route for route in routes if led.get(route) == "Exact" or (route.startswith("/v1/") and led["/v1"] == "Prefix")}
    assert set(routes) - reached <= {"/metrics"}


def test_monitoring_selects_the_relayer_and_has_the_rules_and_the_dashboard_of_deploy():
    documents = rendered(EVERYTHING)
    monitor = of(documents, "ServiceMonitor")["spec"]
    assert monitor["jobLabel"] == "app.kubernetes.io/name"
    label = of(documents, "Service", "demo-steam")["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= label.items() and label[monitor["jobLabel"]] == "steam"
    absent = monitor["selector"]["matchExpressions"][0]["key"]
    assert absent not in label and absent in of(documents, "Service", "demo-steam-pods")["metadata"]["labels"]
    rules = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())
    assert of(documents, "PrometheusRule")["spec"] == rules
    dashboard = (DEPLOY / "grafana/dashboards/steam.json").read_text()
    assert of(documents, "ConfigMap")["data"]["steam.json"] == dashboard
