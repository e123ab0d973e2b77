"""The scenarios: each gives the reports of its runs and flat figures, {name: value}, that bench/limits can name."""

import concurrent.futures
import contextlib
import http.client
import json
import random
import re
import shutil
import statistics
import subprocess
import time
import urllib.parse

import rig as rigs
from rig import HERE, DatabaseSampler, pss_kb

# id: (model of the stand-in provider, fields). What a scenario needs under the name it uses.
AGENTS = {
    "warm": ("sim-n5-d20", {}),
    "instant": ("sim-n20-d0", {}),
}


def stream_model(tokens, gap_ms):
    """The provider's script, and when its first token comes at best."""
    return f"sim-n{tokens}-d{gap_ms}", gap_ms


def add_agent(name, model):
    AGENTS[name] = (model, {})


def add_stream_agent(name, tokens, gap_ms):
    add_agent(name, stream_model(tokens, gap_ms)[0])


class Streams:
    """N streams, opened over ramp_ms (0: at once), beside the provider alone and the floor. past: each goes on in a session of its own."""

    def __init__(self, name, n, ramp_ms, tokens, gap_ms, rounds=1, systems=("provider", "floor", "ours"), memory=False, past=False):
        self.name, self.n, self.ramp_ms, self.tokens, self.gap_ms = name, n, ramp_ms, tokens, gap_ms
        self.rounds, self.systems, self.memory, self.past = rounds, systems, memory, past
        self.model, self.ideal_ms = stream_model(tokens, gap_ms)
        add_stream_agent(name, tokens, gap_ms)

    @property
    def title(self):
        opened = f"opened over {self.ramp_ms / 1000:g} s" if self.ramp_ms else "opened in one burst"
        return f"{self.n} streams of {self.tokens} tokens, {self.gap_ms} ms apart, {opened}" + (", in sessions that have a past" if self.past else "")

    def measure(self, rig):
        rig.renew_pool()
        rig.warm_up()
        responders = rig.stack.responders()
        idle_kb = {pid: pss_kb(pid) for pid in responders.values()}
        if self.past:
            self.one_run(rig, "ours", idle_kb)
        rounds = [self.one_round(rig, idle_kb) for _ in range(self.rounds)]
        figures = median_figures([figures for _, figures in rounds])
        figures["added_first_p99_ms_of_rounds"] = [of_round["added_first_p99_ms"] for _, of_round in rounds]
        figures["idle_pss_mb"] = max(idle_kb.values()) / 1024
        return {"title": self.title, "ideal_first_ms": self.ideal_ms, "responders": responders, "runs": [reports for reports, _ in rounds],
                "figures": figures}

    def one_round(self, rig, idle_kb):
        reports = {system: self.one_run(rig, system, idle_kb) for system in self.systems}
        ours, floor = reports["ours"], reports.get("floor")
        first = ours["first_ms"]
        figures = {"failed": sum(report["n"] - report["completed"] for report in reports.values()),
                   "added_first_p50_ms": first["p50"] - self.ideal_ms, "added_first_p99_ms": first["p99"] - self.ideal_ms,
                   "gap_p99_ms": ours["gap_ms"]["p99"], "gap_max_ms": ours["gap_ms"]["max"]}
        if floor:
            figures["over_floor_p50_ms"] = first["p50"] - floor["first_ms"]["p50"]
            figures["over_floor_p99_ms"] = first["p99"] - floor["first_ms"]["p99"]
            figures["floor_us_a_token"] = floor["us_a_token"]["floor"]
        for part in ("responder", "nginx", "postgres"):
            figures[f"{part}_us_a_token"] = ours["us_a_token"][part]
        figures["stack_us_a_token"] = sum(ours["us_a_token"][part] for part in ("responder", "nginx", "postgres"))
        if floor and figures["floor_us_a_token"]:
            figures["stack_against_floor"] = figures["stack_us_a_token"] / figures["floor_us_a_token"]
        figures.update(ours["responders"])
        return reports, figures

    def one_run(self, rig, system, idle_kb):
        """One system's report, with the CPU that each part took for a token."""
        port = {"provider": rig.sim_port, "floor": rig.floor_port, "ours": rig.stack.port}[system]
        whom = ["--agent", self.name, *rig.as_users] if system == "ours" else ["--kind", "openai", "--agent", self.model]
        if system == "ours" and self.past:
            question = {"agentId": "@a@", "stream": True, "chatId": f"{self.name}-@i@", "messages": [{"role": "user", "content": "Question @i@"}]}
            whom += ["--body", json.dumps(question)]
        lasts_s = (self.ramp_ms + self.tokens * self.gap_ms) / 1000
        sampler = DatabaseSampler(rig) if system == "ours" else None
        pids = rig.pids()
        before, position = rig.cpu(pids), rig.log_position()
        began = time.monotonic()
        load = rig.start_load("streams", "--port", port, *whom, "--n", self.n, "--ramp-ms", self.ramp_ms, "--tokens", self.tokens,
                              "--timeout-s", int(lasts_s + 60))
        memory = self.look_at_memory(rig, idle_kb, pids, began) if system == "ours" and self.memory else {}
        report = rig.finish_load(load, lasts_s + 120)
        rig.wait_for_quiet()
        used = rig.cpu_used(before, rig.cpu())
        report["us_a_token"] = {part: seconds * 1e6 / max(report["tokens"], 1) for part, seconds in used.items()}
        report["us_a_token"]["load"] = report["own"]["cpu_s"] * 1e6 / max(report["tokens"], 1)
        if system == "ours":
            report["responders"] = {**look_at_responders(rig, position, sampler), **memory}
        return report

    def look_at_memory(self, rig, idle_kb, pids, began):
        """In the middle of the time when all are open: the last one has had its first token, the first one has not had its last."""
        from_s, to_s = (self.ramp_ms + self.ideal_ms) / 1000, self.tokens * self.gap_ms / 1000
        time.sleep(max(0.0, began + (from_s + to_s) / 2 - time.monotonic()))
        open_now = rig.stack.stats()["open"]
        grown = sum(pss_kb(pid) - idle_kb[pid] for pid in pids["responder"])
        return {"open_when_looked": open_now, "kb_a_stream": grown / open_now if open_now else None,
                "nginx_pss_mb": sum(pss_kb(pid) for pid in pids["nginx"]) / 1024}


def look_at_responders(rig, position, sampler):
    """From their log: how they shared the turns; from PostgreSQL: connections."""
    most, busy = sampler.stop(rig)
    turns = {slot: 0 for slot in rig.stack.responders()}
    slow = 0
    for entry in rig.log_since(position):
        if entry.get("event") == "turn_ended":
            turns[entry.get("slot")] = turns.get(entry.get("slot"), 0) + 1
        elif entry.get("event") == "loop_slow":
            slow += 1
    allowed = int(rig.stack.setting("DB_MAX_CONNECTIONS") or 50)
    total = sum(turns.values())
    return {"turns": turns, "share_min": min(turns.values()) / total if total else None, "loop_slow": slow,
            "db_connections": most, "db_busy": busy, "db_connections_over": max(0, most - allowed)}


def median_figures(rounds):
    """The median round of each figure, but the worst of what must not happen at all."""
    worst = {"failed", "db_connections", "db_busy", "db_connections_over", "loop_slow", "gap_max_ms"}
    figures = {}
    for name in rounds[0]:
        values = [figures_of[name] for figures_of in rounds if figures_of.get(name) is not None]
        if name == "turns":
            figures[name] = {slot: sum(value.get(slot, 0) for value in values) for slot in values[0]}
        elif values:
            figures[name] = max(values) if name in worst else statistics.median(values)
    return figures


class Completions:
    """Plain calls over kept connections, the provider answering at once, beside pgbench running a turn's two statements."""

    name = "plain"

    def __init__(self, connections, seconds):
        self.connections, self.seconds = connections, seconds

    @property
    def title(self):
        return f"plain completions, {self.connections} connections, {self.seconds:g} s; the provider says 20 tokens at once"

    def measure(self, rig):
        rig.renew_pool()
        rig.warm_up()
        responders = rig.stack.responders()
        runs = {system: self.one_run(rig, system) for system in ("provider", "floor", "ours")}
        ours = runs["ours"]
        allowed = int(rig.stack.setting("DB_MAX_CONNECTIONS") or 50)
        # As many as the responders had, and as many as they might have had (two are kept for others): the better one counts.
        sizes = sorted({min(ours["responders"]["db_connections"], allowed - 2) or 1, allowed - 2})
        rig.wait_for_quiet()
        pgbench = {size: self.pgbench(rig, size) for size in sizes}
        figures = {"failed": sum(run["failed"] + run["unfinished"] for run in runs.values()), "per_second": ours["per_second"],
                   "p50_ms": ours["whole_ms"]["p50"], "p99_ms": ours["whole_ms"]["p99"], "pgbench_per_second": max(pgbench.values()),
                   "against_pgbench": ours["per_second"] / max(pgbench.values()),
                   "responder_us_a_call": ours["us_a_call"]["responder"], **ours["responders"]}
        return {"title": self.title, "responders": responders, "runs": [runs], "pgbench": pgbench, "figures": figures}

    def one_run(self, rig, system):
        port = {"provider": rig.sim_port, "floor": rig.floor_port, "ours": rig.stack.port}[system]
        whom = ["--agent", "instant", *rig.as_users] if system == "ours" else ["--kind", "openai", "--agent", "sim-n20-d0"]
        seconds = self.seconds if system == "ours" else min(self.seconds, 3)
        sampler = DatabaseSampler(rig) if system == "ours" else None
        before, position = rig.cpu(), rig.log_position()
        load = rig.start_load("plain", "--port", port, *whom, "--n", self.connections, "--tokens", 20, "--warmup-s", 1,
                              "--duration-s", seconds + 1, "--timeout-s", 30)
        report = rig.finish_load(load, seconds + 60)
        used = rig.cpu_used(before, rig.cpu())
        report["us_a_call"] = {part: s * 1e6 / max(report["completed"], 1) for part, s in used.items()}
        report["us_a_call"]["load"] = report["own"]["cpu_s"] * 1e6 / max(report["completed"], 1)
        if system == "ours":
            report["responders"] = look_at_responders(rig, position, sampler)
        return report

    def pgbench(self, rig, connections):
        """Turns a second."""
        program = shutil.which("pgbench") or max((str(p) for p in rigs.pathlib.Path("/usr/lib/postgresql").glob("*/bin/pgbench")), default=None)
        if not program:
            raise SystemExit("bench: there is no pgbench; it comes with Debian's package postgresql")
        command = [program, "-n", "-M", "prepared", "-f", str(HERE / "turn.sql"), "-c", str(connections), "-j", "2", "-T", str(int(self.seconds) or 1),
                   "-D", "turn=0", "-D", f"base={int(time.time()) * 10 ** 9}", "-h", rig.stack.setting("DB_HOST"), "-U", "llmchat", "llmchat"]
        process = rig.spawn(command, env={**rigs.os.environ, "PGPASSWORD": rig.stack.setting("DB_PASSWORD")}, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            out, _ = process.communicate(timeout=self.seconds + 60)
        finally:
            rig.end(process)
        found = re.search(r"^tps = ([0-9.]+)", out, re.M)
        if process.returncode != 0 or not found:
            raise SystemExit(f"bench: pgbench failed; does bench/turn.sql still fit the schema?\n{out}")
        return float(found.group(1))


class TokenCheck:
    """What it takes to see that a token is good, once the process knows its holder: our own time for a call that does nothing else,
    less that of one which asks for nobody (both are counted in Redis)."""

    name = "token"
    title = "checking an access token"

    def __init__(self, calls):
        self.calls = calls

    def measure(self, rig):
        rig.renew_pool()
        responders = rig.stack.responders()
        statements = "SELECT coalesce(sum(xact_commit), 0) FROM pg_stat_database WHERE datname = 'llmchat'"
        took = {path: self.overhead_us(rig, path) for path in ("/api/auth/options", "/api/auth/verify")}
        before = int(rig.stack.sql_one(statements))
        again = self.overhead_us(rig, "/api/auth/verify")
        figures = {"check_us": min(took["/api/auth/verify"], again) - took["/api/auth/options"],
                   "statements_a_call": max(0, int(rig.stack.sql_one(statements)) - before) / self.calls}
        return {"title": self.title, "responders": responders, "figures": figures}

    def overhead_us(self, rig, path):
        """The median of X-LLMChat-Overhead-Us."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", rig.stack.port, timeout=10)) as connection:
            values = []
            for _ in range(self.calls):
                connection.request("GET", path, headers={"Authorization": f"Bearer {rig.token}"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    raise SystemExit(f"bench: {path} answered {answer.status}")
                values.append(int(answer.headers["X-LLMChat-Overhead-Us"]))
        return statistics.median(values)


def get_for_a_while(rig, connections, seconds, *what):
    """GETs over kept connections that ask without a pause: the report, with the CPU that each part took for a call, the warm-up included."""
    before = rig.cpu()
    load = rig.start_load("get", "--port", rig.stack.port, *what, "--n", connections, "--warmup-s", 1, "--duration-s", seconds + 1, "--timeout-s", 30)
    report = rig.finish_load(load, seconds + 60)
    calls = max(report["completed"], 1) * (seconds + 1) / seconds
    report["us_a_call"] = {part: s * 1e6 / calls for part, s in rig.cpu_used(before, rig.cpu()).items()}
    report["us_a_call"]["load"] = report["own"]["cpu_s"] * 1e6 / calls
    return report


class CachedList:
    """GET /api/agents of logged-in users over kept connections, beside answers through the same nginx and responders that are always the same:
    one that is not counted for anybody, and one that is, in Redis, as the list is."""

    name = "agents"
    PATHS = {"constant": ("/health", '"status":"ok"'), "counted": ("/api/auth/options", '"SUCCESS"'), "list": ("/api/agents", '"id":"warm"')}

    def __init__(self, connections, seconds, rounds=3):
        self.connections, self.seconds, self.rounds = connections, seconds, rounds
        self.tokens = None

    @property
    def title(self):
        return f"GET /api/agents, {self.connections} connections, {self.rounds} rounds of {self.seconds:g} s"

    def measure(self, rig):
        rig.renew_pool()
        responders = rig.stack.responders()
        # One user a connection, whom the responders know after the warm-up: for each new one they ask PostgreSQL.
        self.tokens = rig.dir / "tokens-of-few"
        self.tokens.touch(mode=0o600)
        self.tokens.write_text("\n".join((rig.dir / "tokens").read_text().split()[:self.connections]))
        before = self.counts(rig)
        rounds = [{what: self.one_run(rig, *of_what) for what, of_what in self.PATHS.items()} for _ in range(self.rounds)]
        after = self.counts(rig)
        asked = after["hits"] - before["hits"] + after["misses"] - before["misses"]
        figures = {f"{what}_per_second": statistics.median(one[what]["per_second"] for one in rounds) for what in self.PATHS}
        figures.update({"failed": sum(run["failed"] + run["unfinished"] for one in rounds for run in one.values()),
                        "against_constant": statistics.median(one["list"]["per_second"] / one["constant"]["per_second"] for one in rounds),
                        "against_counted": statistics.median(one["list"]["per_second"] / one["counted"]["per_second"] for one in rounds),
                        "hit_rate": (after["hits"] - before["hits"]) / asked if asked else 0})
        return {"title": self.title, "responders": responders, "rates": rounds, "figures": figures}

    def one_run(self, rig, path, expected):
        return get_for_a_while(rig, self.connections, self.seconds, "--path", path, "--expect", expected, "--bearer-file", self.tokens)

    @staticmethod
    def counts(rig):
        """Of all responders: what the siblings of the one that answers say is up to a second old."""
        time.sleep(1.2)
        return rig.stack.get("/health/detailed").json()["components"]["cache"]["agents"]


class Pages:
    """Lists, pages and searches of a user with 10,000 sessions and 100,000 messages, beside ten others with as many together."""

    name = "pages"
    OWNER = "bench-0"

    def __init__(self, connections, seconds, rounds=3):
        self.connections, self.seconds, self.rounds = connections, seconds, rounds
        add_agent("bench", "sim-n5-d20")

    @property
    def title(self):
        return f"a user with 10,000 sessions and 100,000 messages: {self.connections} connections that ask without a pause, {self.rounds} rounds of {self.seconds:g} s each"

    def measure(self, rig):
        self.fill(rig)
        rig.renew_pool()
        responders = rig.stack.responders()
        files = {what: self.paths(rig, what, paths) for what, paths in self.questions(rig).items()}
        rounds = [{what: get_for_a_while(rig, self.connections, self.seconds, "--path-file", file, "--bearer-file", self.token(rig))
                   for what, file in files.items()} for _ in range(self.rounds)]
        figures = {"failed": sum(run["failed"] + run["unfinished"] for one in rounds for run in one.values())}
        for what in files:
            for p in ("p50", "p99"):
                figures[f"{what}_{p}_ms"] = statistics.median(one[what]["whole_ms"][p] for one in rounds)
        figures["worst_p99_ms"] = max(figures[f"{what}_p99_ms"] for what in files)
        return {"title": self.title, "responders": responders, "rates": rounds, "figures": figures}

    @staticmethod
    def fill(rig):
        """Straight into PostgreSQL; the search index by its own function, as the responders' job does it a little at a time."""
        rig.stack.pool("stop")
        rig.stack.sql((HERE / "search.sql").read_text(encoding="utf-8"), superuser=True)
        alike = int(rig.stack.sql_one("SELECT count(*) - count(DISTINCT content) FROM (SELECT substr(content, 1, strpos(content, ' rare')) AS content"
                                      " FROM chat_messages WHERE agent_id = 'bench' AND role = 'assistant') m", superuser=True))
        if alike:
            raise SystemExit(f"bench: {alike} of the messages to be searched say the same as others")
        rig.stack.sql("UPDATE search_state SET upto = '-infinity'", superuser=True)  # what is there now is older than what was indexed before
        while int(rig.stack.sql_one("SELECT search_index(5000)", superuser=True)) > 0:
            pass
        rig.stack.sql("VACUUM ANALYZE", superuser=True)
        rig.stack.sql("CHECKPOINT", superuser=True)
        rig.stack.pool("start")
        rig.stack.wait_until_ready()

    @staticmethod
    def questions(rig):
        """{what: [address]}"""
        mine = f"FROM chat_messages m JOIN chat_sessions s ON s.id = m.session_id JOIN users u ON u.id = s.user_id WHERE u.username = '{Pages.OWNER}'"
        chats = [name for name, in rig.stack.sql(f"SELECT DISTINCT s.name {mine} ORDER BY 1 LIMIT 500", superuser=True)]
        # Words as people write them, and so ask for them: what stands in thousands of messages is asked for more often than what stands in few.
        texts = [text for text, in rig.stack.sql(f"SELECT m.content {mine} ORDER BY m.id LIMIT 3000", superuser=True)]
        picked = random.Random(1)
        words = [picked.choice(re.findall(r"[a-z]+|[\u4e00-\u9fff]{2}", text)) for text in texts]
        rare = [re.search(r"rare\w+", text).group() for text in texts]
        return {"list": ["/api/chat-sessions"], "list_of_agent": ["/api/chat-sessions?agentId=bench"], "history": ["/api/chat/history"],
                "session": [f"/api/chat-sessions/{name}" for name in chats], "messages": [f"/api/chat/sessions/{name}/messages" for name in chats],
                "search_any": ["/api/chat-sessions/search?q=" + urllib.parse.quote(word) for word in words],
                "search_rare": ["/api/chat-sessions/search?q=" + word for word in rare]}

    @staticmethod
    def paths(rig, what, paths):
        path = rig.dir / f"paths-{what}"
        path.write_text("\n".join(paths) + "\n", encoding="ascii")
        return path

    @staticmethod
    def token(rig):
        path = rig.dir / "token-of-owner"
        path.touch(mode=0o600)
        path.write_text(rig.stack.ctl("token", "issue", "--user", Pages.OWNER).stdout)
        return path


class Outage:
    """Streams of one agent beside fifty questions a second to another: first its provider answers at once, then another's always fails."""

    name = "outage"
    RATE = 50

    def __init__(self, seconds):
        self.seconds = seconds
        add_stream_agent("outage", 20, 50)
        add_agent("fails", "sim-err500")

    @property
    def title(self):
        return f"{20 * self.seconds} streams over {self.seconds} s beside {self.RATE} questions a second to an agent whose provider always fails"

    def measure(self, rig):
        rig.renew_pool()
        rig.warm_up()
        responders = rig.stack.responders()
        well, _ = self.streams_beside(rig, "instant")
        before = rig.stack.stats()["errors"]
        beside, statuses = self.streams_beside(rig, "fails")
        calls = rig.stack.stats()["errors"] - before
        figures = {"failed": sum(run["n"] - run["completed"] for run in (well, beside)), "questions": len(statuses),
                   "refused_by_breaker": statuses.count(503), "other_statuses": sum(status not in (502, 503) for status in statuses),
                   "calls": calls, "calls_over_budget": max(0, calls - 1.2 * len(statuses) - 10),
                   "first_p99_ms": beside["first_ms"]["p99"], "first_p99_ratio": beside["first_ms"]["p99"] / well["first_ms"]["p99"]}
        return {"title": self.title, "responders": responders, "figures": figures}

    def streams_beside(self, rig, agent):
        with concurrent.futures.ThreadPoolExecutor(32) as crowd:
            asking = crowd.submit(self.ask_all, rig, crowd, agent)
            return self.streams(rig), asking.result()

    def streams(self, rig):
        return rig.finish_load(rig.start_load("streams", "--port", rig.stack.port, "--agent", "outage", *rig.as_users, "--n", 20 * self.seconds,
                                              "--ramp-ms", 1000 * self.seconds, "--tokens", 20, "--timeout-s", self.seconds + 60), self.seconds + 90)

    def ask_all(self, rig, crowd, agent):
        """The statuses of as many questions, each asked in its time."""
        body = {"agentId": agent, "messages": [{"role": "user", "content": "Hello"}]}
        waiting, began = [], time.monotonic()
        for i in range(self.RATE * self.seconds):
            time.sleep(max(0.0, began + i / self.RATE - time.monotonic()))
            waiting.append(crowd.submit(lambda: rig.stack.post("/api/chat/completions", json=body, token=rig.token).status))
        return [answer.result() for answer in waiting]


def everything(quick):
    """The scenarios of bench/run."""
    if quick:
        return [Streams("memory", 200, 500, 4, 1000, systems=("ours",), memory=True), Streams("ramp", 200, 200, 20, 50),
                Streams("burst", 200, 0, 20, 50), Streams("past", 200, 200, 20, 50, past=True),
                Streams("crowd", 1000, 1000, 5, 1000, systems=("floor", "ours"), memory=True), Completions(64, 3), TokenCheck(500),
                CachedList(64, 2, rounds=1), Outage(5)]
    return [Streams("memory", 1000, 2000, 10, 1000, systems=("ours",), memory=True), Streams("ramp", 1000, 1000, 20, 50, rounds=3),
            Streams("burst", 1000, 0, 20, 50, rounds=3), Streams("past", 1000, 1000, 20, 50, rounds=3, past=True),
            Streams("crowd", 5000, 4000, 15, 1000, systems=("floor", "ours"), memory=True), Completions(64, 10), TokenCheck(2000), CachedList(64, 5),
            Outage(60), Pages(16, 5)]
