"""Figures for people: tables, and what they are held against (bench/limits)."""

import fnmatch
import json
import operator
import os
import pathlib
import time

LIMITS = pathlib.Path(__file__).resolve().parent / "limits"
COMPARISONS = {"<=": operator.le, ">=": operator.ge}


def read_limits():
    """[(figure, comparison, limit, remark)]"""
    limits = []
    for line in LIMITS.read_text(encoding="utf-8").splitlines():
        words = line.split(None, 3)
        if words and not words[0].startswith("#"):
            limits.append((words[0], words[1], float(words[2]), words[3] if len(words) > 3 else ""))
    return limits


def check(results, asked):
    """[(figure, value or None, comparison, limit, remark, good)] for the scenarios that were asked for."""
    rows = []
    for figure, comparison, limit, remark in read_limits():
        pattern, name = figure.split(".", 1)
        for scenario in (asked if pattern == "*" else [s for s in asked if fnmatch.fnmatch(s, pattern)]):
            value = results.get(scenario, {}).get("figures", {}).get(name)
            if pattern == "*" and name not in results.get(scenario, {}).get("figures", {}):
                continue
            rows.append((f"{scenario}.{name}", value, comparison, limit, remark, value is not None and COMPARISONS[comparison](value, limit)))
    return rows


def number(value, digits=1):
    return "-" if value is None else f"{value:.{digits}f}"


def table(rows, n_text=1):
    """Columns as wide as they need to be; the first ones are text."""
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  " + "  ".join(str(cell).ljust(width) if i < n_text else str(cell).rjust(width)
                                      for i, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows)


NAMES = {"provider": "provider alone", "floor": "floor (proxy_pass)", "ours": "LLMChat"}


def say_about(about):
    pg = about["postgresql"]
    print(f"{about['time']}, commit {about['commit']}, {about['cores']} cores ({about['cpu']}), Linux {about['kernel']}, {about['nginx']}, "
          f"PostgreSQL {pg['server_version']}")
    print(f"PostgreSQL: synchronous_commit {pg['synchronous_commit']}, fsync {pg['fsync']}; DB_MAX_CONNECTIONS {about['db_max_connections']}; "
          f"{about['responders']} responders")
    print("Raised for this: " + ", ".join(f"{name}={value}" for name, value in about["raised"].items()) + f", {about['descriptors']} descriptors")
    if about["load_before"] > 0.5 * about["cores"]:
        print(f"NOTE: the machine was busy before this began (load {about['load_before']:.1f}): these figures say little.")


def say_streams(result):
    print(f"\n{result['title']}" + (f" (the last of {len(result['runs'])} rounds; figures below are medians)" if len(result["runs"]) > 1 else ""))
    rows = [["", "completed", "failed", "first p50", "p90", "p99", "max", "gap p50", "p99", "max", "| µs a token: responder", "nginx", "postgres",
             "provider", "load"]]
    for system, run in result["runs"][-1].items():
        cpu = run["us_a_token"]
        rows.append([NAMES[system], run["completed"], run["n"] - run["completed"], *(number(run["first_ms"][p]) for p in ("p50", "p90", "p99", "max")),
                     *(number(run["gap_ms"][p]) for p in ("p50", "p99", "max")), number(cpu["responder"]) if system == "ours" else "-",
                     number(cpu["floor"] if system == "floor" else cpu["nginx"]) if system != "provider" else "-",
                     number(cpu["postgres"]) if system == "ours" else "-", number(cpu["sim"]), number(cpu["load"])])
    print(table(rows))
    figures = result["figures"]
    over = f"; over the floor's p50 {figures['over_floor_p50_ms']:+.1f}, p99 {figures['over_floor_p99_ms']:+.1f}" if "over_floor_p50_ms" in figures else ""
    print(f"  first token over the ideal of {result['ideal_first_ms']} ms: p50 {figures['added_first_p50_ms']:+.1f}, "
          f"p99 {figures['added_first_p99_ms']:+.1f} ms{over}")
    if len(result["runs"]) > 1:  # the first one may be another: connections to the database are opened in it
        print("  p99 of the rounds, in order: " + ", ".join(f"{value:+.1f}" for value in figures["added_first_p99_ms_of_rounds"]) + " ms")
    print(f"  a token: {figures['responder_us_a_token']:.1f} µs of responders, {figures['stack_us_a_token']:.1f} µs of the whole stack" +
          (f" = {figures['stack_against_floor']:.1f} × the floor's {figures['floor_us_a_token']:.1f}" if "stack_against_floor" in figures else ""))
    if figures.get("kb_a_stream") is not None:
        print(f"  memory: {figures['kb_a_stream']:.1f} KB of responders' PSS a stream, looked at with {figures['open_when_looked']:.0f} open; "
              f"an idle responder {figures['idle_pss_mb']:.1f} MB; nginx {figures['nginx_pss_mb']:.1f} MB")
    say_responders(figures)
    say_samples(result)


def say_responders(figures):
    total = sum(figures["turns"].values()) or 1
    shares = ", ".join(f"{slot}: {n * 100 / total:.0f} %" for slot, n in sorted(figures["turns"].items()))
    lag = f"p99 {figures['loop_lag_p99_ms']:.2f} ms, longest {figures['loop_lag_max_ms']:.1f} ms" if figures.get("loop_lag_p99_ms") is not None else "not known"
    print(f"  turns by responder {shares}; database connections at most {figures['db_connections']}, working {figures['db_busy']}; "
          f"loop lag {lag}, {figures['loop_slow']} turns over 50 ms")


def say_samples(result):
    for runs in result["runs"]:
        for system, run in runs.items():
            if run["failed"] or run["unfinished"]:
                print(f"  {NAMES.get(system, system)}: {run['failed']} failed {run['faults']}, {run['unfinished']} unfinished; first ones:")
                for sample in run["samples"][:3]:
                    print(f"    {sample}")


def say_rates(result):
    print(f"\n{result['title']}" + (" (the last round; figures below are medians)" if len(result["rates"]) > 1 else ""))
    rows = [["", "a second", "failed", "p50 ms", "p99", "max", "| µs a call: responder", "nginx", "postgres", "load"]]
    for what, run in result["rates"][-1].items():
        cpu = run["us_a_call"]
        rows.append([what, number(run["per_second"], 0), run["failed"], *(number(run["whole_ms"][p], 2) for p in ("p50", "p99", "max")),
                     *(number(cpu[part]) for part in ("responder", "nginx", "postgres", "load"))])
    print(table(rows))
    figures = result["figures"]
    if "search_any_p99_ms" in figures:
        p99s = {what: [number(one[what]["whole_ms"]["p99"]) for one in result["rates"]] for what in ("search_any", "search_rare")}
        print("  p99 of the rounds, in order, PostgreSQL's buffers filling in the first: " + "; ".join(f"{what} {', '.join(of)} ms" for what, of in p99s.items()))
    if "against_constant" in figures:
        print(f"  the list reaches {figures['against_constant'] * 100:.0f} % of a constant answer, {figures['against_counted'] * 100:.0f} % of one that is "
              f"counted in Redis, too; {figures['hit_rate'] * 100:.2f} % of its answers were copies")
    say_samples({"runs": result["rates"]})


def say_faults(result):
    """Stalls that are none of ours: a kernel that puts out what is not used for a while (DAMON's pageout, a small cgroup) reads it again when it is."""
    if result["figures"]["major_faults"] > 20:
        print(f"  NOTE: {result['figures']['major_faults']} pages were read from the disk while somebody waited; its longest times are the kernel's as well as ours.")


def say_completions(result):
    print(f"\n{result['title']}")
    rows = [["", "a second", "failed", "p50 ms", "p90", "p99", "max", "| µs a call: responder", "nginx", "postgres", "provider", "load"]]
    for system, run in result["runs"][0].items():
        cpu = run["us_a_call"]
        rows.append([NAMES[system], number(run["per_second"], 0), run["failed"], *(number(run["whole_ms"][p], 2) for p in ("p50", "p90", "p99", "max")),
                     number(cpu["responder"]) if system == "ours" else "-",
                     number(cpu["floor"] if system == "floor" else cpu["nginx"]) if system != "provider" else "-",
                     number(cpu["postgres"]) if system == "ours" else "-", number(cpu["sim"]), number(cpu["load"])])
    print(table(rows))
    figures = result["figures"]
    print("  pgbench, the same statements: " + ", ".join(f"{tps:.0f} turns a second over {size} connections" for size, tps in result["pgbench"].items()) +
          f"; LLMChat reaches {figures['against_pgbench'] * 100:.0f} % of the better one")
    say_responders(figures)
    say_samples(result)


def say_checks(rows):
    """Prints each figure beside its limit; True if none was missed."""
    print()
    print(table([["", "figure", "", "limit"]] + [["ok" if good else "MISSED", figure, number(value, 2), f"{comparison} {limit:g}"]
                                                 for figure, value, comparison, limit, _, good in rows], n_text=2))
    for figure, value, _, _, remark, good in rows:
        if not good:
            print(f"MISSED: {figure}" + (f", {remark}" if remark else "") + ("" if value is not None else " (there is no figure)"))
    return all(row[-1] for row in rows)


def write_json(command, contents):
    """Into build/bench, under a name with the time; returns the path."""
    directory = pathlib.Path(os.environ["BENCH_RESULTS"])
    path = directory / f"{command}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    path.write_text(json.dumps(contents, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
