#!/usr/bin/env python3
"""Starts `steam dev` and runs the tests with stock SDKs, and with this project's client, against it.

    python3 tests/sdk/run.py path/to/steam
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
CLIENT = HERE.parent.parent / "app-idl/client"
REQUESTS_PER_MINUTE = "120"


def need(program, install):
    if not shutil.which(program):
        sys.exit(f"`{program}` is missing: {install}")


def wait_for(info, process):
    deadline = time.monotonic() + 120
    while not info.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("steam dev did not get ready")
        time.sleep(0.2)


def install_client(folder, node):
    """Installs this project's client as it would be published."""
    client = folder / "client"
    shutil.copytree(CLIENT, client, ignore=shutil.ignore_patterns("node_modules", "dist", "out"))
    subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=client, check=True)
    subprocess.run(["npm", "pack", "--silent", "--pack-destination", folder], cwd=client, check=True, stdout=subprocess.DEVNULL)
    [packed] = folder.glob("steam-router-client-*.tgz")
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", packed]
    subprocess.run(command, cwd=node, check=True)


def main():
    steam = str(pathlib.Path(sys.argv[1]).resolve())
    need("node", "install Node.js 20 or later")
    need("npm", "install npm")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        venv, node, info = folder / "venv", folder / "node", folder / "info.json"
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "-q", "install", "-r", HERE / "python/requirements.txt"], check=True)
        shutil.copytree(HERE / "node", node)
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=node, check=True)
        install_client(folder, node)

        command = [steam, "dev", "--port", "0", "--info", info, "--requests-per-minute", REQUESTS_PER_MINUTE]
        dev = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            wait_for(info, dev)
            print("steam dev at", json.loads(info.read_text())["base_url"], flush=True)
            variables = {"STEAM_INFO": info, "STEAM_BIN": steam, "STEAM_REQUESTS_PER_MINUTE": REQUESTS_PER_MINUTE}
            environment = {**os.environ, **variables}
            python = [venv / "bin/python", "-m", "pytest", "-q", "--disable-warnings", "-p", "no:cacheprovider", HERE / "python"]
            failed = subprocess.run(python, env=environment).returncode
            failed |= subprocess.run(["npm", "test", "--silent"], cwd=node, env=environment).returncode
        finally:
            dev.send_signal(signal.SIGTERM)
            stopped = dev.wait(timeout=60)
    if stopped != 0:
        sys.exit(f"steam dev ended with exit code {stopped}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
