"""The image and compose.yaml. No container engine is needed: neither is built or run here."""

import fnmatch
import json
import os
import pathlib
import re
import shutil
import sys
import tomllib

import pytest
import yaml

from lab import DEPLOY, ROOT, run

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
REPLICAS = yaml.safe_load((DEPLOY / "compose.replicas.yaml").read_text())
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def hadolint(folder, text):
    file = folder / "Dockerfile"
    file.write_text(text)
    return run(pathlib.Path(sys.executable).parent / "hadolint", "--failure-threshold", "info", file)


def test_hadolint_has_nothing_to_say(folder):
    told = hadolint(folder, DOCKERFILE)
    assert told.returncode == 0, told.stdout
    broken = hadolint(folder, DOCKERFILE.replace("# hadolint ignore=DL3008\n", ""))
    assert broken.returncode != 0 and "DL3008" in broken.stdout


def health_check(text, port):
    command = json.loads(re.search(r"HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", text, re.M)[1])
    return run(*[part.replace("8787", str(port)) for part in command]).returncode


def test_the_health_check_tells_a_relayer_that_answers_from_one_that_does_not(relayer):
    assert health_check(DOCKERFILE, relayer.port) == 0
    assert health_check(DOCKERFILE, 1) != 0
    assert health_check(DOCKERFILE.replace("/health", "/nothing"), relayer.port) != 0


def test_the_image_is_built_as_the_workspace_says():
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())
    assert "production" in workspace["profile"] and "--profile production" in DOCKERFILE and "target/production/steam" in DOCKERFILE
    package = tomllib.loads((ROOT / "relayer/Cargo.toml").read_text())
    assert package["features"]["default"] == ["localnet"] and "--no-default-features" in DOCKERFILE
    channel = tomllib.loads((ROOT / "rust-toolchain.toml").read_text())["toolchain"]["channel"]
    assert f"ARG BUILDER=rust:{channel}-" in DOCKERFILE
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.M)


@pytest.fixture(scope="session")
def context(folder):
    """What the build is sent: every file of the repository that Dockerfile.dockerignore does not leave out."""
    patterns = [line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line and not line.startswith("#")]

    def left_out(path):
        parts = path.split("/")
        heads = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        out = False
        # As Docker has it, the last line that fits decides.
        for line in patterns:
            p = line.removeprefix("!")
            if any(fnmatch.fnmatchcase(head, p) or fnmatch.fnmatchcase("/" + head, p.replace("**/", "*/")) for head in heads):
                out = not line.startswith("!")
        return out

    context = folder / "context"
    files = run("git", "-C", ROOT, "ls-files", check=True).stdout.split("\n")
    for file in filter(None, files):
        if not left_out(file) and (ROOT / file).is_file():
            (context / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, context / file)
    return context


def lacking(context):
    """Files that code outside tests includes and that the build is not sent."""
    found = []
    for package in ("relayer/src", "relayer/client/src", "programs/protocol/src", "programs/steam-router/src"):
        for file in sorted((context / package).rglob("*.rs")):
            source = file.read_text().split("#[cfg(test)]\nmod ")[0]
            for included in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source):
                if "tests" not in file.parts and not (file.parent / included).resolve().is_file():
                    found.append(f"{file.name}: {included}")
    return found


def test_the_build_is_sent_what_it_reads(context):
    # Keypairs lie in `deploy` beside compose.yaml.
    assert not (context / "docs").exists() and {file.name for file in (context / "deploy").iterdir()} == {"steam.minimal.toml", "steam.maximal.toml"}
    told = run("cargo", "metadata", "--no-deps", "--offline", "--format-version", "1", cwd=context)
    assert told.returncode == 0, told.stderr
    assert lacking(context) == []
    (context / "relayer/page/dist/index.html").unlink()
    assert lacking(context) == ["page.rs: ../../page/dist/index.html"]


def holes(compose):
    """What is open to the world, not confined, or names a file that is not there."""
    found = []
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:") and name != "caddy":
                found.append(f"{name} is open to the world: {port}")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            # The operator's own file is not in the repository.
            if source.startswith(".") and source != "./steam.toml" and not (DEPLOY / source).exists():
                found.append(f"{name} mounts {source}, which is not there")
            if not source.startswith(".") and source not in compose["volumes"]:
                found.append(f"{name} mounts {source}, which is not declared")
    steam = compose["services"]["steam"]
    if not steam["read_only"] or steam["cap_drop"] != ["ALL"]:
        found.append("steam is not confined")
    if int(steam["stop_grace_period"].rstrip("s")) < 60:
        found.append("steam has no time to drain")
    return found


def test_compose_opens_the_proxy_alone():
    assert holes(COMPOSE) == []
    broken = yaml.safe_load((DEPLOY / "compose.yaml").read_text().replace("127.0.0.1:9090:9090", "9090:9090").replace("./caddy/", "./proxy/"))
    assert holes(broken) == ["caddy mounts ./proxy/Caddyfile, which is not there", "prometheus is open to the world: 9090:9090"]


def test_two_processes_are_one_relayer_behind_the_proxy(steam, folder):
    services, port = REPLICAS["services"], "8787"
    members = ["steam", "steam-2"]
    assert services["steam-2"]["extends"] == {"file": "compose.yaml", "service": "steam"}
    for name in members:
        variables = services[name]["environment"]
        assert variables["STEAM_REPLICA_ADDRESS"] == f"{name}:8789"
        assert variables["STEAM_LEDGER"] == services["steam"]["environment"]["STEAM_LEDGER"]
        socket = next(volume.split(":")[1] for volume in services[name]["volumes"])
        assert f"host={socket}&" in variables["STEAM_LEDGER"]
    # PostgreSQL has no address, so that whoever reaches it shares the volume of its socket.
    assert services["postgres"]["command"] == ["-c", "listen_addresses="] and "ports" not in services["postgres"]
    everywhere = [f"{name}:{port}" for name in members]
    assert services["caddy"]["environment"]["STEAM_UPSTREAM"].split() == everywhere
    one, two = ((DEPLOY / f"prometheus/prometheus{more}.yml").read_text() for more in ("", ".replicas"))
    assert yaml.safe_load(two)["scrape_configs"][0]["static_configs"][0]["targets"] == everywhere
    assert [line for line in one.splitlines() if "steam:" not in line][1:] == [line for line in two.splitlines() if "steam:" not in line][1:]
    # The configuration that the file asks for is one that the relayer takes, but for the secret that is not here.
    told = re.findall(r"^#     (\[replicas\]|\w+ = .*)$", (DEPLOY / "compose.replicas.yaml").read_text(), re.M)
    config, key = folder / "replicas.toml", folder / "replicas-key.json"
    key.write_text(str([*range(32), *bytes.fromhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")]))
    text = re.sub(r'"/run/[^"]*"', f'"{key}"', (DEPLOY / "steam.minimal.toml").read_text())
    config.write_text(text + "\n".join(told) + "\n")
    environment = {**os.environ, **services["steam"]["environment"]}
    answer = run(steam, "config", "check", config, env=environment)
    assert answer.returncode == 3 and "/run/secrets/replicas.secret" in answer.stderr, answer.stderr
    secret = folder / "replicas.secret"
    secret.write_text("0123456789abcdef" * 2)
    config.write_text(re.sub(r'"/run/secrets/[^"]*"', f'"{secret}"', config.read_text()))
    answer = run(steam, "config", "check", config, env=environment)
    assert answer.returncode == 0, answer.stderr


def test_compose_and_image_agree():
    steam = COMPOSE["services"]["steam"]
    assert (DEPLOY / steam["build"]["context"] / steam["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    variables = dict(pair.split("=", 1) for pair in re.search(r"^ENV (.*)$", DOCKERFILE, re.M)[1].split())
    targets = [volume.split(":")[1] for volume in steam["volumes"]]
    assert variables["STEAM_CONFIG"] in targets and variables["STEAM_LEDGER"].rsplit("/", 1)[0] in targets
    port = variables["STEAM_LISTEN"].split(":")[1]
    assert COMPOSE["services"]["caddy"]["environment"]["STEAM_UPSTREAM"] == f"steam:{port}"
    targets = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == [f"steam:{port}"]
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert sources[0]["url"] == "http://prometheus:9090"
