"""bench/faults: what healthy streams feel of each fault of tests/integration/faults.py."""

import importlib.util

import report
from main import with_rig
from rig import LOAD, ROOT

# The tests' file has our name.
_spec = importlib.util.spec_from_file_location("tests_faults", ROOT / "tests" / "integration" / "faults.py")
mischief = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(mischief)

def one(rig, fault):
    """The neighbours' report, or why there is none."""
    print(f"… {fault.name}", flush=True)
    try:
        result = fault.run(rig.stack, LOAD)
    except AssertionError as e:
        return None, str(e)
    finally:
        mischief.wait_for_both(rig.stack)
        mischief.wait_until_it_answers(rig.stack)
    return result, None


def run(args):
    wanted = [fault for name, fault in mischief.FAULTS.items() if not args.only or name in args.only]
    if not wanted:
        raise SystemExit(f"bench: there is no such fault; --only knows {', '.join(mischief.FAULTS)}")
    args.settings = [f"{name}={value}" for name, value in mischief.SETTINGS.items()] + args.settings

    def work(rig):
        about = rig.about()
        return about, {fault.name: one(rig, fault) for fault in wanted}

    (about, outcomes), _ = with_rig(mischief.AGENTS, args, work)
    print()
    report.say_about(about)
    rows = [[f"{mischief.N_HEALTHY} streams, a token in {mischief.GAP_MS} ms, beside", "completed", "cut off", "gap p50 ms", "p99", "longest"]]
    for name, (result, why) in outcomes.items():
        if result:
            rows.append([name.replace("_", " "), result["completed"], result["failed"], *(report.number(result["gap_ms"][p]) for p in ("p50", "p99", "max"))])
        else:
            rows.append([name.replace("_", " "), "FAILED", "-", "-", "-", "-"])
            print(f"{name}: {why[:1000]}")
    print(report.table(rows))
    good = [result for result, _ in outcomes.values() if result]
    figures = {"failed": len(outcomes) - len(good),
               "gap_p99_over_ms": max((result["gap_ms"]["p99"] for result in good), default=0) - mischief.GAP_MS if good else None}
    checks = report.check({"faults": {"figures": figures}}, ["faults"])
    fine = report.say_checks(checks)
    path = report.write_json("faults", {"about": about, "outcomes": outcomes, "figures": figures})
    print(f"JSON: {path}")
    return fine
