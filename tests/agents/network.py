"""A local network with a provider of the test's own: what the tests of agents and of translations have in common."""

import json
import pathlib
import subprocess
import sys
import time
import urllib.request

"""What the offers of each dialect can do besides."""
ABLE = ["streaming", "tools", "json-mode", "json-schema", "reasoning"]


def steam(binary, info, keypair, *words):
    command = [binary, *words, "--output", "json", "--url", info["rpc_url"], "--keypair", keypair]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return json.loads(done.stdout)


def get(info, path, key):
    request = urllib.request.Request(info["base_url"] + path, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


def address(keypair):
    """The address of a keypair file, in base58."""
    number, text = int.from_bytes(bytes(json.loads(pathlib.Path(keypair).read_text())[32:]), "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[digit] + text
    return text


def fund(info, wallet):
    """Asks the local network's faucet, and waits for what it gives."""
    data = json.dumps({"wallet": wallet}).encode()
    request = urllib.request.Request(info["base_url"] + "/chain/faucet", data, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=20).close()
    wait_for("the faucet's gift", lambda: get(info, f"/chain/accounts/{wallet}", info["api_key"])["lamports"] > 0)


def wait_for(what, seen):
    deadline = time.monotonic() + 120
    while True:
        try:
            if seen():
                return
        except OSError:
            pass
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not happen within two minutes")
        time.sleep(0.3)


def offer(binary, info, port, models, folder, able=ABLE):
    """One of the simulated providers becomes the one at `port`; the last part of a model's name is its dialect."""
    keypair = info["providers"][0]["keypair"]
    fund(info, address(keypair))
    steam(binary, info, keypair, "provider", "update", "--endpoint", f"http://127.0.0.1:{port}/v1")
    offers = folder / "offers.toml"
    entries = [
        f'[[offer]]\nmodel = "{model}"\nprice_input = 0.1\nprice_output = 0.4\ncontext = 262144\nmax_output = 65536\n'
        f"capability = {json.dumps([*able, model.split('/')[-1]])}\n"
        for model in models
    ]
    offers.write_text("\n".join(entries))
    steam(binary, info, keypair, "provider", "offer", "--from", offers)
    listed = lambda: {one["id"] for one in get(info, "/models", info["api_key"])["data"]}
    wait_for("the offers' listing", lambda: set(models) <= listed())
