"""The gateways of the comparison: what each needs, how it starts, and how it is asked."""

import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

PACKAGES = ["smg==1.13.0", "tensorzero==2026.6.0", "openai", "nemo-switchyard==0.3.0"]
MODEL = "mock"
CHAT = "/v1/chat/completions"
PATIENCE = 90

NGINX = """
worker_processes {workers}; daemon off; pid nginx.pid; error_log nginx.err; events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 1m; client_body_buffer_size 64k;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  upstream mock {{ server {mock}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen {address}; keepalive_requests 1000000000;  # else nginx closes a connection after 1,000 requests
    location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""

TENSORZERO = """
[gateway]
observability.enabled = false
[models.mock]
routing = ["mock"]
[models.mock.providers.mock]
type = "openai"
model_name = "mock"
api_base = "http://{mock}/v1/"
api_key_location = "none"
"""

# The package holds the gateway inside the Python client.
TENSORZERO_START = """
import sys, openai, tensorzero
client = tensorzero.patch_openai_client(
    openai.OpenAI(api_key="x"), config_file="tensorzero.toml", clickhouse_url=None, async_setup=False)
print(client.base_url, flush=True)
sys.stdin.read()
"""

SWITCHYARD = """
schema_version = 1
[llm_clients.mock]
format = "openai_chat"
base_url = "http://{mock}/v1"
api_key_env = "MOCK_KEY"
[targets.mock]
id = "mock"
llm_client = "mock"
[routes.mock]
id = "mock"
type = "passthrough"
target = "mock"
"""

SWITCHYARD_START = """
import sys
from switchyard_rust.server import Server
server = Server("switchyard.toml", 0)
print(server.base_url, flush=True)
sys.stdin.read()
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Running:
    """A gateway at work: the process that is asked, a second one of the same gateway and its database's, if there are, where it
    listens, what is asked of it, and who signs the requests of a load, if anybody."""

    def __init__(self, process, address, model=MODEL, path=CHAT, headers=(), payer=None, database=None, others=(), second=None):
        self.process, self.address, self.model, self.path = process, address, model, path
        self.headers, self.payer, self.database, self.others = list(headers), payer, database, list(others)
        self.second = second
        # Where metrics tell of settlement.
        self.settling = address

    def shape(self, words, size, streamed):
        headers = [] if self.payer else self.headers
        return {"path": self.path, "model": self.model, "words": words, "bytes": size, "streamed": streamed, "headers": headers}

    def stop(self):
        for process in filter(None, [self.process, self.second, self.database, *self.others]):
            stop(process)


def stop(process):
    """Ends a process that this program started, and everything in its group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def lowest_priority(process):
    """A process that takes only processor that nobody else wants: elsewhere it would be another machine. Both the process's own
    priority and, where the kernel shares processors between sessions first, its session's."""
    os.setpriority(os.PRIO_PGRP, process.pid, 19)
    session = pathlib.Path(f"/proc/{process.pid}/autogroup")
    if session.exists():
        session.write_text("19")


class Bench:
    """What all gateways share: the mock, the folder, the venv, the binaries and the cores."""

    def __init__(self, folder, venv, binaries, cores):
        self.folder, self.venv, self.cores, self.others = folder, venv, *cores
        self.load, self.steam, self.chain = binaries
        port = free_port()
        self.mock, self.provider = f"127.0.0.1:{port}", self.spawn([self.load, port], "mock", self.others, role="provider")

    def spawn(self, command, name, cores=None, **more):
        log = open(self.folder / f"{name}.log", "a")
        environment = {**os.environ, "RUST_LOG": "error", "MOCK_KEY": "x", "STEAM_BENCH_ROLE": more.pop("role", "")}
        return subprocess.Popen([str(part) for part in command], cwd=self.folder, env=environment, stderr=log,
                                stdout=more.pop("stdout", log), stdin=subprocess.PIPE, start_new_session=True,
                                preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None, **more)

    def write(self, name, text, **values):
        (self.folder / name).write_text(text.format(mock=self.mock, **values))

    def from_python(self, name, program, path):
        """A gateway inside a Python process, which prints its base URL."""
        process = self.spawn([self.venv / "bin/python", "-c", program], name, self.cores, stdout=subprocess.PIPE)
        for line in process.stdout:
            line = line.decode().strip()
            if line.startswith("http"):
                host, _, base = line.removeprefix("http://").partition("/")
                return process, host, f"/{base}".rstrip("/") + path
        raise RuntimeError(f"{name} did not start: see {self.folder}/{name}.log")


def ready(running):
    """Waits until the gateway answers a request in full."""
    body = {"model": running.model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}
    headers = dict(line.split(": ", 1) for line in running.headers) | {"content-type": "application/json"}
    url, deadline = f"http://{running.address}{running.path}", time.monotonic() + PATIENCE
    while True:
        try:
            request = urllib.request.Request(url, json.dumps(body).encode(), headers)
            answer = json.load(urllib.request.urlopen(request, timeout=10))
            if answer["choices"][0]["message"]["content"]:
                return running
            raise RuntimeError(f"no answer: {answer}")
        except (OSError, urllib.error.URLError) as error:
            said = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
            ended = running.process is not None and running.process.poll() is not None
            if time.monotonic() > deadline or ended:
                running.stop()
                raise RuntimeError(f"{url} does not answer: {error} {said}") from error
            time.sleep(0.3)


def direct(bench):
    return Running(None, bench.mock)


def nginx(bench):
    address = f"127.0.0.1:{free_port()}"
    bench.write("nginx.conf", NGINX, address=address, workers=len(bench.cores or os.sched_getaffinity(0)))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    return Running(bench.spawn([program, "-p", bench.folder, "-c", "nginx.conf"], "nginx", bench.cores), address)


def smg(bench):
    port, metrics = free_port(), free_port()
    command = [bench.venv / "bin/smg", "launch", "--backend", "openai", "--worker-urls", f"http://{bench.mock}", "--host",
               "127.0.0.1", "--port", port, "--prometheus-port", metrics]
    process = bench.spawn(command, "smg", bench.cores)
    return Running(process, f"127.0.0.1:{port}", headers=["authorization: Bearer x"])


def tensorzero(bench):
    bench.write("tensorzero.toml", TENSORZERO)
    process, address, path = bench.from_python("tensorzero", TENSORZERO_START, "/chat/completions")
    return Running(process, address, "tensorzero::model_name::mock", path)


def switchyard(bench):
    bench.write("switchyard.toml", SWITCHYARD)
    process, address, path = bench.from_python("switchyard", SWITCHYARD_START, CHAT)
    return Running(process, address, path=path)


def postgres(bench):
    """A PostgreSQL server that syncs its commits, as unprivileged as it wants to be, and its database's URL."""
    script = pathlib.Path(__file__).resolve().parents[2] / "tests/support/postgres.sh"
    named = os.environ.get("STEAM_POSTGRES_BIN")
    found = [named] if named else sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if not found:
        raise RuntimeError("PostgreSQL is missing: apt-get install postgresql, or name the folder of initdb in STEAM_POSTGRES_BIN")
    folder = tempfile.mkdtemp(prefix="steam-pg-")
    drop = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        drop = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    server = bench.spawn([*drop, "sh", "-c", script.read_text(), "postgres.sh", found[0], folder],
                         "postgres", bench.cores, stdout=subprocess.PIPE)
    if server.stdout.readline().strip() != b"started":
        raise RuntimeError(f"PostgreSQL did not start: see {folder}/log")
    return server, f"postgres:///postgres?host={folder}&user=steam"


def steam(bench, signed=False, on_a_server=False, forwarded=False):
    """`steam serve` as it is by default, on a local chain that it reads and settles on. `forwarded`: two processes share the ledger, and the
    one that is asked sends every request on to the other, which has all vaults."""
    folder = bench.folder / f"steam-{time.monotonic_ns()}"
    folder.mkdir()
    listen = f"127.0.0.1:{free_port()}"
    command = [bench.chain, f"http://{bench.mock}/v1", folder, listen]
    chain = bench.spawn(command, "chain", bench.others, stdout=subprocess.PIPE)
    line = chain.stdout.readline()
    if not line:
        raise RuntimeError(f"the local chain did not start: see {bench.folder}/chain.log")
    payer = json.loads(line)
    database, config = None, folder / "steam.toml"
    if on_a_server:
        database, url = postgres(bench)
        text = config.read_text()
        config.write_text(re.sub(r'^path = ".*"$', f'url = "{url}"', text, flags=re.MULTILINE))
    lowest_priority(chain)
    bearer = [f"authorization: Bearer {payer['key']}"]
    holder = behind = None
    if forwarded:
        text, behind = config.read_text(), f"127.0.0.1:{free_port()}"
        (folder / "replicas.secret").write_text("0123456789abcdef" * 2)
        (folder / "holder.toml").write_text(text.replace(f'"{listen}"', f'"{behind}"') + replicas(folder))
        config.write_text(text + replicas(folder))
        holder = bench.spawn([bench.steam, "serve", folder / "holder.toml"], "steam-holder", bench.cores)
        ready(Running(holder, behind, headers=bearer, database=database, others=[chain]))
    process = bench.spawn([bench.steam, "serve", config], "steam", bench.cores)
    running = Running(process, listen, headers=bearer, payer=payer if signed else None, database=database, others=[chain], second=holder)
    running.settling = behind or listen
    return running


def replicas(folder):
    """What one of several processes has in its configuration."""
    return f'[replicas]\nsecret_file = "{folder}/replicas.secret"\nlisten = "127.0.0.1:{free_port()}"\n'


def steam_signed(bench):
    return steam(bench, signed=True)


def steam_postgres(bench):
    return steam(bench, on_a_server=True)


def steam_forwarded(bench):
    return steam(bench, on_a_server=True, forwarded=True)


def settled_groups(running):
    """Groups of charges that the relayer knows to be settled on chain."""
    metrics = urllib.request.urlopen(f"http://{running.settling}/metrics", timeout=10).read().decode()
    return next(int(line.split()[1]) for line in metrics.splitlines() if line.startswith("steam_settled_groups "))


GATEWAYS = {
    "direct": direct,
    "nginx": nginx,
    "smg": smg,
    "tensorzero": tensorzero,
    "switchyard": switchyard,
    "steam": steam,
    "steam-signed": steam_signed,
    "steam-postgres": steam_postgres,
    "steam-forwarded": steam_forwarded,
}
