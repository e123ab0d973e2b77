"""What is measured and what measures: a private stack, the floor beside it, the load generator, and counters of processes.

The stack is that of the integration tests (tests/integration/stack.py over dev/stack), with an optimised build and a database that
keeps what it is told (fsync on). Everything started here is ended by close(), by its pid.
"""

import json
import os
import pathlib
import pwd
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from stack import Stack, free_port, wait_for  # noqa: E402

LOAD = os.environ["BENCH_LOAD"]
DIR = pathlib.Path(os.environ["BENCH_DIR"])
USER = os.environ["STACK_USER"]

# Away from the defaults, because the test is about something else than these limits. Printed with the figures.
RAISED = {"MAX_CONCURRENT_REQUESTS": 20000, "RATE_LIMIT_POINTS": 1000000, "RATE_LIMIT_MAX_REQUESTS": 1000000}


def as_user():
    """For subprocess: who runs servers if we are root."""
    if os.getuid() != 0:
        return {}
    entry = pwd.getpwnam(USER)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def raise_descriptor_limit():
    """Of this process, and so of all it starts. Returns what it is now."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (max(hard, 65536), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
        except (ValueError, OSError):
            continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


# ---- counters of processes ----

def children(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def cpu_seconds(pid):
    """On-CPU time of all threads. From schedstat, in nanoseconds; the ticks of stat are too coarse for a run of a second."""
    total = 0
    try:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9
    except OSError:
        pass
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def pss_kb(pid):
    """Proportional set size: a page that several share counts in parts."""
    try:
        match = re.search(r"^Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
        return int(match.group(1)) if match else 0
    except OSError:
        return 0


def major_faults():
    """Of the whole machine since it started: pages that had to be read from the disk while somebody waited for them."""
    return int(re.search(r"^pgmajfault (\d+)$", pathlib.Path("/proc/vmstat").read_text(), re.M).group(1))


def heap_kb(pid):
    """The part of it that is malloc's heap: blocks of 128 KiB and more, such as long answers, are mapped apart from it."""
    try:
        match = re.search(r"\[heap\]\n(?:\w+: .*\n)*?Pss:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/smaps").read_text())
        return int(match.group(1)) if match else 0
    except OSError:
        return 0


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


class BenchStack(Stack):
    """The integration tests turn fsync off; figures are worth nothing without it. Calls are tried again here, as everywhere."""

    PROVIDERS = {}

    def run(self, *args, **kwargs):
        return super().run(*args, **{"STACK_FSYNC": "on", **kwargs})


N_USERS = 5000


class DatabaseSampler:
    """Counts the responders' connections five times a second, in one psql that stays."""

    QUERY = ("SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity"
             " WHERE usename = 'llmchat' AND backend_type = 'client backend' \\watch 0.2\n")

    def __init__(self, rig):
        run_dir = rig.stack.setting("DB_HOST")
        environment = {**os.environ, "PGPASSWORD": (rig.stack.dir / "pg-superuser").read_text().strip()}
        self.output = rig.dir / "connections.txt"
        with open(self.output, "w", encoding="ascii") as out:
            self.psql = rig.spawn(["psql", "-X", "-q", "-A", "-t", "-h", run_dir, "-U", "postgres", "-d", "llmchat"], env=environment,
                                  stdin=subprocess.PIPE, stdout=out, stderr=subprocess.DEVNULL)
        self.psql.stdin.write(self.QUERY.encode())
        self.psql.stdin.close()

    def stop(self, rig):
        """(most there were, most that worked at once)"""
        rig.end(self.psql)
        rows = re.findall(r"^(\d+)\|(\d+)$", self.output.read_text(encoding="ascii"), re.M)
        return (max((int(a) for a, _ in rows), default=0), max((int(b) for _, b in rows), default=0))


class Rig:
    def __init__(self, agents, settings):
        self.agents = agents  # {id: (model, fields)}
        self.settings = settings  # {NAME: value} that somebody wants for this run
        self.dir = DIR
        self.processes = []
        self.floor = self.floor_port = None
        self.n_descriptors = raise_descriptor_limit()
        self.stack = BenchStack(self.dir, CHAT_ANONYMOUS="true", AGENTS_CONFIG_PATH=self.dir / "bench-agents.json", **{**RAISED, **settings})

    # ---- life ----

    def start(self):
        if (self.dir / "stack").exists():  # of a run that was killed
            self.stack.run("down", check=False)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir(parents=True)
        agents = [{"id": name, "name": f"Bench: {name}", "provider": "custom", "model": model, "endpoint": "${PROVIDER_SIM_URL}/chat/completions",
                   "capabilities": ["text", "streaming"], **fields} for name, (model, fields) in self.agents.items()]
        (self.dir / "bench-agents.json").write_text(json.dumps({"agents": agents}, indent=1), encoding="utf-8")
        os.chmod(self.dir / "bench-agents.json", 0o644)
        self.stack.start()
        self.stack.wait_until_ready()
        self.sim_port = int((self.dir / "sim.port").read_text())
        self.start_floor()
        self.make_tokens()

    def start_floor(self):
        directory = self.dir / "floor"
        directory.mkdir()
        self.floor_port = free_port()
        conf = (HERE / "floor.conf.in").read_text()
        for name, value in {"DIR": directory, "PORT": self.floor_port, "SIM_PORT": self.sim_port, "NOFILE": self.n_descriptors,
                            "CONNECTIONS": min(self.n_descriptors, 32768)}.items():
            conf = conf.replace(f"@{name}@", str(value))
        (directory / "nginx.conf").write_text(conf)
        if os.getuid() == 0:
            shutil.chown(directory, USER, USER)
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.floor = self.spawn([nginx, "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", str(directory / "error.log")],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_user())
        wait_for(lambda: children(self.floor.pid) or self.floor.poll() is not None, 10, "the floor's workers")
        if self.floor.poll() is not None:
            raise SystemExit(f"bench: the floor's nginx did not start: {(directory / 'error.log').read_text()}")

    def make_tokens(self):
        """Everybody who asks LLMChat is a user of his own who has logged in: what is measured is governed."""
        tokens = self.stack.ctl("token", "issue", "--count", str(N_USERS), "--ttl", "86400").stdout
        with os.fdopen(os.open(self.dir / "tokens", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            f.write(tokens)
        self.token = tokens.split()[0]
        self.as_users = ["--bearer-file", str(self.dir / "tokens")]

    def spawn(self, command, **kwargs):
        process = subprocess.Popen(command, **kwargs)
        self.processes.append(process)
        return process

    def end(self, process, seconds=5):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.processes:
            self.processes.remove(process)

    def stop(self):
        """Ends everything; what is in the logs by then is final."""
        for process in list(self.processes):
            self.end(process)
        if (self.dir / "stack").exists():
            self.stack.stop()

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- load ----

    def start_load(self, *args):
        return self.spawn([LOAD, *(str(arg) for arg in args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def finish_load(self, process, seconds):
        """Its report. It bounds itself; so long is for when it does not."""
        try:
            out, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.end(process)
            raise SystemExit(f"bench: the load generator did not end within {seconds} s")
        if process in self.processes:
            self.processes.remove(process)
        if process.returncode not in (0, 1):
            raise SystemExit(f"bench: the load generator ended with status {process.returncode}")
        return json.loads(out)

    def wait_for_quiet(self, seconds=60):
        """Until the provider talks to nobody."""
        wait_for(lambda: self.stack.stats()["open"] == 0, seconds, "the end of all provider calls")

    def renew_pool(self):
        """A new generation of responders: memory, loop figures and the provider's connections begin anew. The old one lives as long
        as nginx keeps idle connections to it, so nginx's workers are renewed too, and nothing is asked meanwhile: a question
        would keep such a connection in use."""
        old = self.pids()["nginx"]
        self.stack.pool("restart")
        self.stack.nginx("reload")
        wait_for(lambda: not set(old) & set(self.pids()["nginx"]), 45, "the end of nginx's old workers")
        wait_for(lambda: not any(row["state"] == "draining" for row in self.stack.pool_status()), 45, "the end of the old generation")
        self.stack.wait_until_ready()

    def warm_up(self):
        """What is allocated once (statements, TLS tables, the first connections) is no stream's memory."""
        report = self.finish_load(self.start_load("streams", "--port", self.stack.port, *self.as_users, "--agent", "warm", "--n", 40, "--ramp-ms", 200), 30)
        if report["failed"]:
            raise SystemExit(f"bench: the stack does not work: {report['samples']}")
        self.wait_for_quiet()
        time.sleep(0.5)

    # ---- counters ----

    def pids(self):
        """{part: [pid]}"""
        nginx = int((self.dir / "nginx" / "nginx.pid").read_text())
        postmaster = int((self.dir / "pg" / "postmaster.pid").read_text().split()[0])
        return {"responder": list(self.stack.responders().values()), "nginx": children(nginx), "floor": children(self.floor.pid),
                "sim": [int((self.dir / "sim.pid").read_text())], "postgres": [postmaster, *children(postmaster)]}

    def cpu(self, pids=None):
        """{part: {pid: seconds}}"""
        return {part: {pid: cpu_seconds(pid) for pid in of_part} for part, of_part in (pids or self.pids()).items()}

    @staticmethod
    def cpu_used(before, after):
        """{part: seconds}; connections that PostgreSQL opened meanwhile began at nothing."""
        return {part: sum(seconds - before.get(part, {}).get(pid, 0.0) for pid, seconds in after[part].items()) for part in after}

    def log_position(self):
        path = self.dir / "log" / "responder.log"
        return path.stat().st_size if path.exists() else 0

    def log_since(self, position):
        """The log's entries from there on."""
        with open(self.dir / "log" / "responder.log", "rb") as log:
            log.seek(position)
            for line in log:
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if isinstance(entry, dict):
                    yield entry

    def loop_lag(self):
        """{pid: the figures of a responder's loop}, of every responder that has ended. THE PLACE for the metric of a responder that
        lives (llmchat_loop_lag_seconds of /metrics): today the only word on it is the log line with which one ends, so that
        the scenarios renew the pool, and each has a generation of its own."""
        return {entry.get("pid"): entry for entry in self.log_since(0) if entry.get("event") == "stopped" and "loop_p99_us" in entry}

    def about(self):
        """The machine, and what the figures depend on."""
        def first_line(*command):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            return done.stdout.splitlines()[0] if done.stdout else "?"

        cpu = re.search(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
        settings = {name: self.stack.sql_one(f"SHOW {name}", superuser=True) for name in ("synchronous_commit", "fsync", "server_version")}
        commit = first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty") if (ROOT / ".git").exists() else "?"
        return {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "cores": os.cpu_count(), "cpu": cpu.group(1) if cpu else "?",
                "kernel": os.uname().release, "nginx": first_line(shutil.which("nginx") or "/usr/sbin/nginx", "-v").rpartition(" ")[2],
                "commit": commit, "load_before": os.getloadavg()[0], "postgresql": settings, "raised": {name: value for name, value in {**RAISED, **self.settings}.items() if "PASSWORD" not in name},
                "descriptors": self.n_descriptors, "db_max_connections": int(self.stack.setting("DB_MAX_CONNECTIONS") or 50),
                "responders": len(self.stack.responders())}


def end_on_signals():
    """A bench that is told to stop takes down what it started, and does not stop doing so when told again."""
    numbers = [number for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]

    def leave(told, _):
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + told)

    for number in numbers:
        signal.signal(number, leave)
