"""bench/soak: healthy streams, plain calls, leavers, slow readers and wrong input at once, for a long time. It looks for growth:
of memory, of descriptors, of what is left open when everybody has gone."""

import random
import statistics
import time

import report
from main import with_rig
from rig import children, descriptors, heap_kb, pss_kb, wait_for

AGENTS = {
    "warm": ("sim-n5-d20", {}),
    "instant": ("sim-n20-d0", {}),
    "healthy": ("sim-n40-d50", {}),
    "stays": ("sim-n40-d25", {"onDisconnect": "finish"}),
    "stops": ("sim-n400-d25", {"onDisconnect": "cancel"}),
    "huge": ("sim-n64-d0-size16384", {}),
}


def loads(scale, seconds):
    """{name: arguments of the load generator}. Each goes on for so long and checks every answer."""
    def n(count):
        return max(1, round(count * scale))

    return {
        "healthy streams": ["streams", "--agent", "healthy", "--n", n(100), "--ramp-ms", 2000, "--tokens", 40, "--duration-s", seconds],
        "plain calls": ["plain", "--agent", "instant", "--n", n(8), "--think-ms", 40, "--tokens", 20, "--duration-s", seconds],
        "leavers (finish)": ["streams", "--agent", "stays", "--n", n(10), "--think-ms", 100, "--leave-up-to", 30, "--duration-s", seconds],
        "leavers (cancel)": ["streams", "--agent", "stops", "--n", n(10), "--think-ms", 100, "--leave-up-to", 30, "--duration-s", seconds],
        "readers that stop": ["streams", "--agent", "huge", "--n", n(8), "--tokens", 64, "--token-bytes", 16384, "--stop-after-bytes", 1024,
                              "--stop-s", 5, "--duration-s", seconds],
        "slow readers": ["streams", "--agent", "huge", "--n", n(4), "--tokens", 64, "--token-bytes", 16384, "--bytes-per-s", 100000,
                         "--duration-s", seconds],
        "wrong input": ["wrong", "--agent", "instant", "--n", n(4), "--think-ms", 50, "--duration-s", seconds],
    }


def sample(rig, responders, began):
    nginx = rig.pids()["nginx"]
    postgres = rig.pids()["postgres"]
    return {"at_s": time.monotonic() - began, "pss_kb": sum(pss_kb(pid) for pid in responders), "heap_kb": sum(heap_kb(pid) for pid in responders),
            "descriptors": sum(descriptors(pid) for pid in responders),
            "nginx_pss_kb": sum(pss_kb(pid) for pid in nginx), "nginx_descriptors": sum(descriptors(pid) for pid in nginx),
            "postgres_processes": len(postgres), "open_calls": rig.stack.stats()["open"]}


def trend(samples, name):
    """(at the first sample, at the last) of the straight line that fits all of them best. A dozen answers of a megabyte come and go all
    the time: two short windows would compare their accidents."""
    at_s = [entry["at_s"] for entry in samples]
    slope, start = statistics.linear_regression(at_s, [entry[name] for entry in samples])
    return start + slope * at_s[0], start + slope * at_s[-1]


def say(entry):
    print(f"  {entry['at_s'] / 60:6.1f} min  responders {entry['pss_kb'] / 1024:8.2f} MB {entry['descriptors']:5d} descriptors   "
          f"nginx {entry['nginx_pss_kb'] / 1024:7.2f} MB {entry['nginx_descriptors']:5d}   {entry['postgres_processes']:3d} PostgreSQL processes   "
          f"{entry['open_calls']:4d} provider calls", flush=True)


def watch(rig, processes, seconds):
    """Samples until the loads have ended."""
    responders = list(rig.stack.responders().values())
    every_s = min(10.0, max(1.0, seconds / 100))
    say_every_s = max(every_s, seconds / 30)
    samples, began, said = [], time.monotonic(), 0.0
    while any(process.poll() is None for process in processes.values()):
        if time.monotonic() - began > seconds + 120:
            raise SystemExit("bench: the soak did not come to its end")
        time.sleep(every_s * random.uniform(0.5, 1.5))  # in step with a reader of ten seconds it would see the same of him every time
        samples.append(sample(rig, responders, began))
        if samples[-1]["at_s"] >= said:
            say(samples[-1])
            said = samples[-1]["at_s"] + say_every_s
    return samples


def soak(rig, minutes, scale):
    seconds = minutes * 60
    about = rig.about()
    rig.warm_up()
    before = rig.stack.responders()
    idle = sample(rig, before.values(), time.monotonic())
    processes = {name: rig.start_load(*args, *([] if name == "wrong input" else rig.as_users), "--port", rig.stack.port, "--timeout-s", 90) for name, args in loads(scale, int(seconds)).items()}
    samples = watch(rig, processes, seconds)
    reports = {name: rig.finish_load(process, 30) for name, process in processes.items()}
    after = rig.stack.responders()
    figures = {"failed": sum(run["failed"] + run["unfinished"] for run in reports.values()),
               "responders_died": sum(before[slot] != after.get(slot) for slot in before)}
    # Warm-up: a tenth of the time, but at least half a minute where there is as much.
    warm_s = max(seconds / 10, min(30, seconds / 3))
    warm = [entry for entry in samples if warm_s <= entry["at_s"] <= seconds]
    if len(warm) >= 10:
        for name in ("pss_kb", "heap_kb", "descriptors"):
            figures[f"{name}_first"], figures[f"{name}_last"] = trend(warm, name)
        figures["growth_percent"] = (figures["pss_kb_last"] / figures["pss_kb_first"] - 1) * 100
        figures["heap_growth_percent"] = (figures["heap_kb_last"] / figures["heap_kb_first"] - 1) * 100
        figures["descriptors_growth"] = figures["descriptors_last"] - figures["descriptors_first"]
    try:
        wait_for(lambda: rig.stack.stats()["open"] == 0, 30, "the end of all provider calls")
    except AssertionError:
        pass  # the figure says it
    figures["upstream_left_open"] = rig.stack.stats()["open"]
    time.sleep(6)  # nginx keeps idle connections for five seconds
    figures["rows_left_streaming"] = int(rig.stack.sql_one("SELECT count(*) FROM chat_messages WHERE status = 'streaming'"))
    rested = sample(rig, after.values(), time.monotonic())
    return about, {"title": f"soak of {minutes:g} min", "figures": figures, "samples": samples, "reports": reports, "idle": idle, "rested": rested}


def say_result(about, result):
    figures, idle, rested = result["figures"], result["idle"], result["rested"]
    print()
    report.say_about(about)
    rows = [["", "asked", "completed", "left", "failed", "p50 ms", "p99", "max"]]
    for name, run in result["reports"].items():
        rows.append([name, run["asked"], run["completed"], run["left"], run["failed"] + run["unfinished"],
                     *(report.number(run["whole_ms"][p]) for p in ("p50", "p99", "max"))])
    print(report.table(rows))
    for name, run in result["reports"].items():
        for text in run["samples"][:3]:
            print(f"  {name}: {text}")
    healthy = result["reports"]["healthy streams"]
    print(f"  healthy streams: first token p50 {healthy['first_ms']['p50']:.1f}, p99 {healthy['first_ms']['p99']:.1f} ms; "
          f"gaps p99 {healthy['gap_ms']['p99']:.1f}, longest {healthy['gap_ms']['max']:.1f} ms")
    if "growth_percent" in figures:
        print(f"  responders: {figures['pss_kb_first'] / 1024:.2f} MB at first, {figures['pss_kb_last'] / 1024:.2f} MB at last; of it malloc's heap "
              f"{figures['heap_kb_first'] / 1024:.2f}, {figures['heap_kb_last'] / 1024:.2f} MB; descriptors "
              f"{figures['descriptors_first']:.0f}, {figures['descriptors_last']:.0f}")
    print(f"  idle before: {idle['pss_kb'] / 1024:.2f} MB, {idle['descriptors']} descriptors; at rest after: {rested['pss_kb'] / 1024:.2f} MB, "
          f"{rested['descriptors']} descriptors (nginx {idle['nginx_descriptors']}, {rested['nginx_descriptors']})")


def run(args):
    minutes, scale = args.minutes, args.scale
    print(f"A soak of {minutes:g} minutes", flush=True)
    (about, result), lag = with_rig(AGENTS, args, lambda rig: soak(rig, minutes, scale))
    figures = result["figures"]
    if lag:
        figures["loop_lag_p99_ms"] = max(entry["loop_p99_us"] for entry in lag.values()) / 1000
        figures["loop_lag_max_ms"] = max(entry["loop_max_us"] for entry in lag.values()) / 1000
    say_result(about, result)
    checks = report.check({"soak": result}, ["soak"])
    good = report.say_checks(checks)
    if minutes < 10:
        print("Under ten minutes much of the growth is warm-up: the first large answers, the first connections.")
    path = report.write_json("soak", {"about": about, "minutes": minutes, "scale": scale, "result": result,
                                      "checks": [dict(zip(("figure", "value", "comparison", "limit", "remark", "good"), row)) for row in checks]})
    print(f"JSON: {path}")
    return good
