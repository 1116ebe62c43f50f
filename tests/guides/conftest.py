"""A network with a relayer, and a provider for each gate of the guide: nginx with TLS, the gate, an engine."""

import datetime
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from guide import GATES, block

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LAMPORTS = 1_000_000_000


def pytest_addoption(parser):
    parser.addoption("--steam", required=True, help="the binary")


def base58(key):
    number, text = int.from_bytes(key, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return "1" * (len(key) - len(key.lstrip(b"\0"))) + text


def wait(what, done, within=60):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if answer := done():
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {within} s: {what}")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def accepts(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def certificates(folder):
    """An authority of its own, and a certificate for localhost."""
    now = datetime.datetime.now(datetime.timezone.utc)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("test authority", "localhost")]

    def signed(which, extensions):
        builder = x509.CertificateBuilder(names[0], names[which], keys[which].public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=2))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    (folder / "ca.pem").write_bytes(signed(0, [x509.BasicConstraints(True, None)]))
    server = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
    leaf = [x509.BasicConstraints(False, None), x509.SubjectAlternativeName([x509.DNSName("localhost")]), server]
    (folder / "cert.pem").write_bytes(signed(1, leaf))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(keys[1].private_bytes(*form))


class Engine(BaseHTTPRequestHandler):
    """Answers every request, and counts them. It speaks chat completions, streamed and not."""

    calls = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.calls.append((self.path, body))
        try:
            request = json.loads(body)
        except ValueError:
            request = {}
        text, usage = "Served by the engine.", {"prompt_tokens": 8, "completion_tokens": 5, "total_tokens": 13}
        head = {"id": "1", "created": 1, "model": request.get("model")}
        self.send_response(200)
        if request.get("stream"):
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for piece in text.split(" "):
                self.event(head | {"choices": [{"index": 0, "delta": {"content": piece + " "}, "finish_reason": None}]})
                time.sleep(0.1)
            self.event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            self.event(head | {"choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
            return
        message = {"role": "assistant", "content": text}
        answer = head | {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def event(self, data):
        self.wfile.write(f"data: {json.dumps(data | {'object': 'chat.completion.chunk'})}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_):
        pass


class Provider:
    """What is registered: the authority's keypair, and the ports of nginx and gate."""

    def __init__(self, name, world):
        self.name, self.model, self.world = name, f"guide/{name}", world
        self.tls, self.port = free_port(), free_port()
        self.url = f"https://localhost:{self.tls}/v1"
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        self.keypair = world.folder / f"{name}.json"
        self.keypair.write_text(json.dumps(list(key.private_bytes_raw() + public)))
        self.airdrop(base58(public))
        self.address = self.steam("provider", "register", "--name", name, "--endpoint", self.url)["address"]

    def airdrop(self, address):
        call = {"jsonrpc": "2.0", "id": 1, "method": "requestAirdrop", "params": [address, LAMPORTS]}
        request = urllib.request.Request(self.world.info["rpc_url"], json.dumps(call).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert "result" in json.load(answer)

    def steam(self, *words):
        command = [self.world.steam, "--output", "json", *words, "-u", self.world.info["rpc_url"], "-k", self.keypair]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def offer(self):
        prices = ["--price-input", "1", "--price-output", "2", "--context", "8192", "--capability", "streaming"]
        self.offer_address = self.steam("provider", "offer", "--model", self.model, *prices)["offer"]

    def server(self, folder):
        """The guide's server for nginx, with this provider's address and ports."""
        text = block("nginx", "nginx")
        for old, new in {
            "listen 443 ssl http2": f"listen 127.0.0.1:{self.tls} ssl http2",
            "server_name api.example.com": "server_name localhost",
            "/etc/letsencrypt/live/api.example.com/fullchain.pem": str(folder / "cert.pem"),
            "/etc/letsencrypt/live/api.example.com/privkey.pem": str(folder / "key.pem"),
            '"address": "ADDRESS"': f'"address": "{self.address}"',
            "127.0.0.1:9000": f"127.0.0.1:{self.port}",
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        return text

    def environment(self):
        """What the guide says that a gate reads."""
        relayers = {self.world.info["relayer"]: self.world.info["receipt_key"]}
        own = {"ENDPOINT": self.url, "PROVIDER": self.address, "OFFERS": self.offer_address, "PORT": str(self.port)}
        return {**os.environ, **own, "RELAYERS": json.dumps(relayers), "ENGINE": self.world.engine}


class World:
    def __init__(self, steam, folder):
        self.steam, self.folder, self.processes = steam, folder, []
        certificates(folder)
        info = folder / "info.json"
        command = [steam, "dev", "--port", "0", "--info", info, "--dir", folder / "dev"]
        self.dev = self.start(command, {**os.environ, "SSL_CERT_FILE": str(folder / "ca.pem")}, "dev.log")
        wait("steam dev is ready", lambda: info.exists() or self.alive(self.dev, "dev.log"), 120)
        self.info = json.loads(info.read_text())
        engine = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
        threading.Thread(target=engine.serve_forever, daemon=True).start()
        self.engine = f"http://127.0.0.1:{engine.server_port}"
        self.providers = {name: Provider(name, self) for name in GATES}
        self.nginx()
        self.opened = set()

    def open(self, name):
        """The provider behind the gate in a language: built, started and offering from the first time on."""
        provider = self.providers[name]
        if name not in self.opened:
            self.opened.add(name)
            provider.offer()
            home = self.folder / f"gate-{name}"
            home.mkdir()
            gate = self.start(GATES[name](home), provider.environment(), f"{name}.log")
            wait(f"the gate in {name} listens", lambda: accepts(provider.port) or self.alive(gate, f"{name}.log"))
        return provider

    def start(self, command, environment, log):
        with open(self.folder / log, "w") as out:
            process = subprocess.Popen([str(part) for part in command], env=environment, stdout=out, stderr=out)
        self.processes.append(process)
        return process

    def alive(self, process, log):
        assert process.poll() is None, (self.folder / log).read_text()

    def nginx(self):
        temporary = "".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        servers = "\n".join(provider.server(self.folder) for provider in self.providers.values())
        user = "user root;" if os.geteuid() == 0 else ""
        config = self.folder / "nginx.conf"
        config.write_text(f"{user} pid {self.folder}/pid; events {{}} http {{ access_log off; {temporary}\n{servers}\n}}")
        command = ["nginx", "-p", self.folder, "-c", config, "-e", self.folder / "nginx.error", "-g", "daemon off;"]
        process = self.start(command, os.environ, "nginx.log")
        ports = [provider.tls for provider in self.providers.values()]
        wait("nginx listens", lambda: all(map(accepts, ports)) or self.alive(process, "nginx.log"))

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)


@pytest.fixture(scope="session")
def world(request):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="steam-guides-"))
    world = World.__new__(World)
    try:
        world.__init__(pathlib.Path(request.config.getoption("--steam")).resolve(), folder)
        yield world
    finally:
        world.stop()
        shutil.rmtree(folder)
