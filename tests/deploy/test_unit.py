"""The systemd unit is valid, is confined, leaves time to drain, and forbids no system call that the relayer makes."""

import re
import shlex
import tomllib

from lab import DEPLOY, calls_allowed, call_sets, run

UNIT = (DEPLOY / "systemd/steam.service").read_text()
SOCKET = (DEPLOY / "systemd/steam.socket").read_text()
BACKUP, TIMER = [(DEPLOY / f"systemd/steam-backup.{kind}").read_text() for kind in ("service", "timer")]
# Of systemd's scale from 0 (confined) to 100.
EXPOSED_AT_MOST = 20
DRAIN_MS = tomllib.loads((DEPLOY / "steam.maximal.toml").read_text())["server"]["drain_timeout_ms"]


def written(folder, text, steam, name="steam.service"):
    unit = folder / name
    unit.write_text(text.replace("/usr/local/bin/steam", str(steam)))
    return unit


def complaints(folder, steam, text, name="steam.service"):
    """What `systemd-analyze verify` says: it ends with 0 for a name that nobody knows."""
    told = run("systemd-analyze", "verify", "--man=no", written(folder, text, steam, name))
    return told.stdout + told.stderr


def test_the_unit_is_valid(folder, steam):
    assert complaints(folder, steam, UNIT) == ""
    assert "Unknown key" in complaints(folder, steam, UNIT.replace("ProtectHome=", "ProtectHomes="))
    assert "not executable" in complaints(folder, "/usr/local/bin/no-such-steam", UNIT)


def test_the_socket_is_valid_and_is_where_the_proxy_asks(folder, steam):
    written(folder, UNIT, steam)
    assert complaints(folder, steam, SOCKET, "steam.socket") == ""
    assert "Unknown key" in complaints(folder, steam, SOCKET.replace("Backlog=", "Backlogs="), "steam.socket")
    listen = tomllib.loads((DEPLOY / "steam.maximal.toml").read_text())["server"]["listen"]
    assert f"\nListenStream={listen}\n" in SOCKET


def test_the_hourly_copy_is_valid_and_makes_a_copy(folder, steam, relayer):
    assert complaints(folder, steam, BACKUP, "steam-backup.service") == ""
    assert complaints(folder, steam, TIMER, "steam-backup.timer") == ""
    assert "OnCalender" in complaints(folder, steam, TIMER.replace("OnCalendar", "OnCalender"), "steam-backup.timer")
    backups = folder / "backups"
    backups.mkdir()
    command = re.search(r"^ExecStart=(.*)$", BACKUP, re.M)[1].replace("%%", "%").replace("/usr/local/bin/steam", str(steam))
    for old, new in (("/var/lib/steam/steam.db", relayer.home / "steam.db"), ("/var/backups/steam", backups)):
        assert old in command
        command = command.replace(old, str(new))
    told = run(*shlex.split(command))
    assert told.returncode == 0, told.stderr
    assert [re.fullmatch(r"\d{8}T\d{6}Z\.db", copy.name) is not None for copy in backups.iterdir()] == [True]


def test_the_units_are_confined(folder, steam):
    def judged(text):
        unit = written(folder, text, steam)
        return run("systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={EXPOSED_AT_MOST}", unit)

    assert judged(UNIT).returncode == 0, judged(UNIT).stdout
    assert judged(BACKUP).returncode == 0, judged(BACKUP).stdout
    assert judged(re.sub(r"^(SystemCallFilter|CapabilityBoundingSet|RestrictNamespaces)=.*\n", "", UNIT, flags=re.M)).returncode != 0


def forbidden(log):
    """Names of the system calls in the tracer's log."""
    return set(re.findall(r"^\d+ +(\w+)\(", log, re.M))


def test_the_unit_forbids_nothing_that_the_relayer_does(relayer):
    assert relayer.chat()[0] == 200 and relayer.chat(stream=True)[0] == 200
    assert len(calls_allowed(UNIT)) > 200
    assert forbidden(relayer.forbidden.read_text()) == set()
    assert forbidden("81 chown(\"a\", 1, 1) = 0\n") == {"chown"}


def test_the_filter_is_read_as_systemd_reads_it():
    allowed = calls_allowed(UNIT)
    assert {"read", "epoll_wait", "futex", "accept4", "connect", "fdatasync", "pwrite64"} <= allowed
    assert not {"mount", "ptrace", "setuid", "reboot", "chown", "bpf"} & allowed
    assert "setpriority" in call_sets()["@system-service"] and "setpriority" not in allowed


def test_the_tracer_notes_a_call_that_is_not_allowed(folder):
    log = folder / "traced"
    run("strace", "-f", "--seccomp-bpf", "-qq", "-o", log, "-e", "trace=!" + ",".join(f"?{c}" for c in calls_allowed(UNIT)), "nice", "true")
    assert "setpriority" in forbidden(log.read_text())


def test_there_is_time_to_drain():
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.M)[1]) * 1000 >= DRAIN_MS + 30_000
    assert re.search(r"^KillSignal=SIGTERM$", UNIT, re.M)


def test_the_configuration_names_the_keys_where_the_unit_puts_them():
    given = re.findall(r"^LoadCredential=(.+?):", UNIT, re.M)
    for name in ("minimal", "maximal"):
        chain = tomllib.loads((DEPLOY / f"steam.{name}.toml").read_text())["chain"]
        named = [chain["settler_keypair"], chain["receipt_keypair"]]
        assert named == [f"/run/credentials/steam.service/{file}" for file in given]
