#!/usr/bin/env python3
"""The tests that ship in the source packages of `openai` and `anthropic` for Python, unchanged, through `steam proxy` and a relayer.

    python3 tests/sdk/shipped.py path/to/steam

They were written for a mock of the whole API. What cannot pass at a relayer is listed in shipped.toml with the reason. A test that
fails and is not listed is a failure, and so is one that is listed and passes.
"""

import fnmatch
import http.client
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import tomllib
import urllib.parse
import urllib.request
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
LEFT_OUT = HERE / "shipped.toml"
WITHIN = 120
ABLE = ["streaming", "tools", "vision", "json-mode", "json-schema", "logprobs", "seed", "reasoning", "file-input", "audio-input"]
# Those of the simulated providers; responses are translated.
DIALECTS = ["chat", "messages", "completions", "embeddings"]
MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')


def steam(binary, info, keypair, *args):
    command = [binary, *args, "--output", "json", "--url", info["rpc_url"], "--keypair", keypair]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return json.loads(done.stdout)


def get(url, key):
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    return json.load(urllib.request.urlopen(request, timeout=20))


def wait_for(what, seen):
    deadline = time.monotonic() + WITHIN
    while True:
        try:
            if found := seen():
                return found
        except OSError:
            pass
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not happen within {WITHIN} seconds")
        time.sleep(0.3)


class Renamed(http.server.BaseHTTPRequestHandler):
    """A provider of every model that the suites name: a simulated one, asked for the model that it has."""

    protocol_version = "HTTP/1.1"
    upstream, model = None, None

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = MODEL.sub(b'"model":' + json.dumps(self.model).encode(), body, count=1)
        upstream = http.client.HTTPConnection(self.upstream.netloc, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")}
        upstream.request("POST", self.path, body, headers)
        answer = upstream.getresponse()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while piece := answer.read1(65536):
                self.wfile.write(piece)
                self.wfile.flush()
        # The client left, and so the relayer did.
        except (BrokenPipeError, ConnectionResetError):
            upstream.close()

    def log_message(self, *_):
        pass


def offer(binary, info, models, folder):
    """One of the simulated providers becomes the one that has them all."""
    first, second = info["providers"][:2]
    Renamed.upstream, Renamed.model = urllib.parse.urlparse(second["url"]), info["models"][0]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Renamed)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    keypair = first["keypair"]
    wallet = subprocess.run(
        [binary, "provider", "status", "--output", "json", "--url", info["rpc_url"], "--keypair", keypair], capture_output=True, text=True
    )
    authority = json.loads(wallet.stdout)["authority"]
    body = json.dumps({"wallet": authority}).encode()
    gift = urllib.request.Request(info["base_url"] + "/chain/faucet", body, {"Content-Type": "application/json"})
    urllib.request.urlopen(gift, timeout=20).close()
    wait_for("the faucet's gift", lambda: get(f"{info['base_url']}/chain/accounts/{authority}", info["api_key"])["lamports"] > 0)
    steam(binary, info, keypair, "provider", "update", "--endpoint", f"http://127.0.0.1:{server.server_address[1]}/v1")
    entry = '[[offer]]\nmodel = {}\nprice_input = 0.1\nprice_output = 0.4\ncontext = 262144\nmax_output = 65536\ncapability = {}\n'
    offers = folder / "offers.toml"
    offers.write_text("\n".join(entry.format(json.dumps(model), json.dumps(ABLE + DIALECTS)) for model in models))
    steam(binary, info, keypair, "provider", "offer", "--from", offers)
    listed = lambda: {one["id"] for one in get(info["base_url"] + "/models", info["api_key"])["data"]}
    wait_for("the offers' listing", lambda: set(models) <= listed())


def proxy(binary, info, folder):
    key = folder / "key"
    common = ["--relayer", info["relayer"]]
    made = steam(binary, info, info["owner_keypair"], "key", "create", "--limit", "20", "--out", key, *common)
    common = ["--url", info["rpc_url"], "--vault", made["vault"], "--key-file", key, "--endpoint", info["base_url"]]
    asks = lambda: subprocess.run([binary, "usage", *common], capture_output=True).returncode == 0
    wait_for("the relayer's sight of a new key", asks)
    command = [binary, "proxy", *common, "--listen", "127.0.0.1:0", "--state", folder / "state.json", "--output", "json"]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    said = ""
    while not said.rstrip().endswith("}"):
        line = process.stdout.readline()
        if not line:
            sys.exit("steam proxy did not start")
        said += line
    return process, json.loads(said)


def source(suite, folder):
    """The unpacked source package, with what its tests import beside it."""
    python = folder / f"{suite['package']}-venv"
    subprocess.run([sys.executable, "-m", "venv", python], check=True)
    pip, package = python / "bin/pip", f"{suite['package']}=={suite['version']}"
    subprocess.run([pip, "-q", "install", package, *suite["needs"]], check=True)
    subprocess.run([pip, "-q", "download", "--no-deps", "--no-binary", ":all:", "-d", folder, package], check=True)
    with tarfile.open(folder / f"{suite['package']}-{suite['version']}.tar.gz") as packed:
        packed.extractall(folder, filter="data")
    return python / "bin/python", folder / f"{suite['package']}-{suite['version']}"


def run(suite, url, folder):
    """The tests by their names, and whether each passed."""
    python, root = source(suite, folder)
    report = folder / f"{suite['package']}.xml"
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", f"--junitxml={report}", *suite["files"]]
    environment = {**os.environ, "TEST_API_BASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, cwd=root, env=environment, stdout=subprocess.DEVNULL)
    results = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name = case.get("classname").removeprefix("tests.api_resources.") + "." + case.get("name")
        problem = next((child for child in case if child.tag in ("failure", "error")), None)
        skipped = any(child.tag == "skipped" for child in case)
        results[name] = "skipped" if skipped else None if problem is None else (problem.get("message") or "failed")
    return results


def judge(suite, results):
    """What is wrong, in one line each."""
    used = set()
    for name, problem in sorted(results.items()):
        reasons = [place for place, entry in enumerate(suite["left_out"]) if any(fnmatch.fnmatchcase(name, glob) for glob in entry["tests"])]
        if problem == "skipped":
            continue
        if problem and not reasons:
            yield f"{name} failed: {problem.splitlines()[0][:300]}"
        if not problem and reasons:
            yield f"{name} passed and is listed: {suite['left_out'][reasons[0]]['reason']}"
        used.update(reasons)
    for place, entry in enumerate(suite["left_out"]):
        if place not in used:
            yield f"nothing is left out because: {entry['reason']}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    suites = tomllib.loads(LEFT_OUT.read_text())["suite"]
    wrong = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        info_file = folder / "info.json"
        dev = subprocess.Popen([binary, "dev", "--port", "0", "--info", info_file], stdout=subprocess.DEVNULL)
        local = None
        try:
            wait_for("the start of steam dev", lambda: info_file.exists() or dev.poll() is not None)
            info = json.loads(info_file.read_text())
            offer(binary, info, sorted({model for suite in suites for model in suite["models"]}), folder)
            local, listening = proxy(binary, info, folder)
            for suite in suites:
                results = run(suite, listening[suite["base_url"]], folder)
                problems = list(judge(suite, results))
                passed = sum(problem is None for problem in results.values())
                skipped = sum(problem == "skipped" for problem in results.values())
                print(f"{suite['package']} {suite['version']}: {passed} of {len(results)} pass, {skipped} skip themselves", flush=True)
                for problem in problems:
                    print("    " + problem, flush=True)
                wrong |= bool(problems) or passed == 0
        finally:
            for process in filter(None, (local, dev)):
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
