"""nginx and Caddy in front of a running relayer, with the configurations of deploy/: streams pass as they come, bodies are bounded,
/metrics stays inside, and nginx limits by address."""

import concurrent.futures
import json
import os
import re
import socket
import ssl
import subprocess
import time
import urllib.request

import pytest

from lab import DEPLOY, get, run, wait

NGINX = (DEPLOY / "nginx/steam.conf").read_text()
CADDY = (DEPLOY / "caddy/Caddyfile").read_text()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def answers(url, context=None):
    try:
        return get(f"{url}/health", timeout=5, context=context)[0] == 200
    except OSError:
        return False


class Nginx:
    """nginx with another upstream, other ports and a certificate of its own."""

    bounds = True

    def __init__(self, folder, relayer, text=NGINX):
        self.folder = folder
        folder.mkdir()
        self.plain, self.tls = free_port(), free_port()
        certificate = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", *certificate, check=True)
        changed = {
            "127.0.0.1:8787": f"127.0.0.1:{relayer.port}",
            "listen 80;": f"listen 127.0.0.1:{self.plain};",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{self.tls} ssl http2;",
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl http2;\n": "",
            "/etc/letsencrypt/live/api.example.com/fullchain.pem": str(folder / "cert.pem"),
            "/etc/letsencrypt/live/api.example.com/privkey.pem": str(folder / "key.pem"),
            "server_name api.example.com": "server_name localhost",
        }
        for old, new in changed.items():
            assert old in text, old
            text = text.replace(old, new)
        temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        user = "user root;" if os.geteuid() == 0 else ""
        whole = f"{user} pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ access_log off; {temporary}\n{text}\n}}"
        self.config = folder / "nginx.conf"
        self.config.write_text(whole)
        self.context = ssl.create_default_context(cafile=folder / "cert.pem")
        self.url = f"https://localhost:{self.tls}"

    def check(self):
        return run("nginx", "-t", "-p", self.folder, "-c", self.config)

    def __enter__(self):
        told = self.check()
        assert told.returncode == 0, told.stderr
        self.process = subprocess.Popen(["nginx", "-p", self.folder, "-c", self.config, "-g", "daemon off;"], stderr=subprocess.DEVNULL)
        wait("nginx answers", lambda: answers(self.url, self.context), 20)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=20)


class Caddy:
    """Caddy without TLS: nothing outside this machine gives a certificate to a test."""

    # It leaves the size of bodies to the relayer: Debian's Caddy would answer 502 to one that is too large.
    bounds = False

    def __init__(self, folder, relayer, text=CADDY):
        folder.mkdir()
        port = free_port()
        self.url, self.context = f"http://localhost:{port}", None
        self.config = folder / "Caddyfile"
        # Its address for administration is taken away, so that it meets no other Caddy.
        self.config.write_text(text.replace("{\n", "{\n\tadmin off\n", 1))
        home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        self.environment = {**os.environ, **home, "STEAM_DOMAIN": self.url, "STEAM_UPSTREAM": f"127.0.0.1:{relayer.port}"}
        self.log = folder / "log"

    def check(self):
        return run("caddy", "validate", "--adapter", "caddyfile", "--config", self.config, env=self.environment)

    def __enter__(self):
        told = self.check()
        assert told.returncode == 0, told.stderr
        with open(self.log, "w") as log:
            command = ["caddy", "run", "--adapter", "caddyfile", "--config", self.config]
            self.process = subprocess.Popen(command, stderr=log, env=self.environment)
        wait("Caddy answers", lambda: answers(self.url), 20)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=20)


def post(proxy, relayer, body):
    headers = {"Authorization": f"Bearer {relayer.info['api_key']}"}
    return get(f"{proxy.url}/v1/chat/completions", body, headers, context=proxy.context)


def question(**more):
    return {"model": "demo/large", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 32, **more}


def spread(proxy, relayer):
    """Seconds between the first and the last piece of a stream."""
    request = urllib.request.Request(
        f"{proxy.url}/v1/chat/completions", json.dumps(question(stream=True, max_tokens=400)).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {relayer.info['api_key']}"},
    )
    with urllib.request.urlopen(request, timeout=30, context=proxy.context) as answer:
        times = [time.monotonic() for line in answer if line.startswith(b"data:")]
    return times[-1] - times[0]


def faults(proxy, relayer):
    """What a client meets that it should not."""
    found = []
    status, text = post(proxy, relayer, question())
    if status != 200 or not json.loads(text)["choices"]:
        found.append("an answer does not pass")
    if spread(proxy, relayer) < 0.1:
        found.append("a stream comes all at once")
    if get(f"{proxy.url}/metrics", context=proxy.context)[0] != 404:
        found.append("/metrics is open")
    before = too_large(relayer)
    try:
        status = post(proxy, relayer, question(user="x" * (9 << 20)))[0]
    except OSError:
        status = "closed"  # while the body was still being sent
    print("a body of 9 MB:", status)
    if status not in (413, "closed"):
        found.append("a body of 9 MB is not refused as one")
    if proxy.bounds and too_large(relayer) != before:
        found.append("a body of 9 MB passes")
    return found


def too_large(relayer):
    """Bodies that were too large and that the relayer itself had to refuse."""
    return re.findall(r'^steam_requests_total.*status="413".*', relayer.metrics(), re.M)


@pytest.mark.parametrize("proxy", [Nginx, Caddy])
def test_a_proxy_passes_what_it_should(proxy, relayer, folder):
    with proxy(folder / proxy.__name__, relayer) as running:
        assert faults(running, relayer) == []


def test_what_a_proxy_lacks_is_noticed(relayer, folder):
    lax = NGINX.replace("location /metrics { return 404; }", "").replace("client_max_body_size 8m", "client_max_body_size 80m")
    lax = lax.replace("proxy_buffering off;", "gzip on; gzip_types *; gzip_proxied any;")
    with Nginx(folder / "lax", relayer, lax) as running:
        assert faults(running, relayer) == ["/metrics is open", "a body of 9 MB passes"]
    assert Nginx(folder / "broken", relayer, NGINX.replace("limit_req_status", "limit_request_status")).check().returncode != 0
    assert Caddy(folder / "wrong", relayer, CADDY.replace("flush_interval", "flush_intervals")).check().returncode != 0


def refused(proxy, times):
    """Statuses of requests sent at once from one address."""
    with concurrent.futures.ThreadPoolExecutor(16) as many:
        return list(many.map(lambda _: get(f"{proxy.url}/health", context=proxy.context)[0], range(times)))


def test_nginx_limits_an_address(relayer, folder):
    with Nginx(folder / "limited", relayer, NGINX.replace("burst=100", "burst=10").replace("rate=20r/s", "rate=1r/s")) as running:
        statuses = refused(running, 40)
        assert set(statuses) == {200, 429} and statuses.count(200) <= 16, statuses
    with Nginx(folder / "unlimited", relayer, re.sub(r"limit_req zone=.*\n", "\n", NGINX)) as running:
        assert set(refused(running, 40)) == {200}
