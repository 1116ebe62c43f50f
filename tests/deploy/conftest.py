import os
import pathlib
import shutil
import tempfile

import pytest

from lab import DEPLOY, Lab, calls_allowed, run


def pytest_addoption(parser):
    parser.addoption("--steam", required=True, help="the binary")


@pytest.fixture(scope="session")
def steam(request, folder):
    binary = pathlib.Path(request.config.getoption("--steam")).resolve()
    reachable = os.geteuid() != 0 or run("setpriv", "--reuid=65534", "--clear-groups", "test", "-x", binary).returncode == 0
    return binary if reachable else pathlib.Path(shutil.copy(binary, folder / "steam"))


@pytest.fixture(scope="session")
def folder():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="steam-deploy-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def relayer(steam, folder):
    lab = Lab(steam, folder)
    try:
        lab.start(calls_allowed((DEPLOY / "systemd/steam.service").read_text()))
        yield lab
    finally:
        served = lab.stop(lab.serve)
        developed = lab.stop(lab.dev)
    assert served == 0, f"steam serve ended with {served} at SIGTERM: {lab.log.read_text()[-2000:]}"
    assert developed == 0, f"steam dev ended with {developed}"
    assert lab.forbidden.read_text() == "", "the relayer made system calls that the unit forbids"
