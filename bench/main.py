"""The commands behind bench/run, bench/streams, bench/completions, bench/faults and bench/soak; bench/run sets the environment up."""

import argparse
import sys


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run", description="Measures LLMChat on this machine beside its floor; see bench/README.md.")
    parser.add_argument("--keep", action="store_true", help="keep the stack's directory with its logs and database")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], dest="settings", help="a configuration variable of the responders")
    commands = parser.add_subparsers(dest="command", required=True, metavar="streams|completions|faults|soak")
    everything = commands.add_parser("all", help="every figure of bench/limits (this is what bench/run does without a word)")
    everything.add_argument("--quick", action="store_true", help="smaller loads, about a minute; figures then are a hint only")
    everything.add_argument("--only", metavar="SCENARIO", action="append", help="memory, ramp, burst, past, crowd, plain, token, agents, outage or pages; may be repeated")
    streams = commands.add_parser("streams", help="streams of one shape")
    streams.add_argument("--n", type=int, default=1000)
    streams.add_argument("--ramp-ms", type=int, default=1000, help="0: one burst")
    streams.add_argument("--tokens", type=int, default=20)
    streams.add_argument("--gap-ms", type=int, default=50)
    streams.add_argument("--rounds", type=int, default=1)
    completions = commands.add_parser("completions", help="plain completions beside pgbench")
    completions.add_argument("--connections", type=int, default=64)
    completions.add_argument("--seconds", type=float, default=10)
    soak = commands.add_parser("soak", help="a mixture for a long time")
    soak.add_argument("--minutes", type=float, default=30)
    soak.add_argument("--scale", type=float, default=1, help="of the load")
    faults = commands.add_parser("faults", help="healthy streams beside each fault of the tests")
    faults.add_argument("--only", metavar="FAULT", action="append", help="one of them; may be repeated")
    for command in (everything, streams, completions, faults, soak):
        command.add_argument("--keep", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        command.add_argument("--set", action="append", default=argparse.SUPPRESS, dest="settings", help=argparse.SUPPRESS)
    args = parser.parse_args()
    for setting in args.settings:
        if "=" not in setting:
            parser.error(f"--set takes NAME=VALUE, not {setting}")
    return args


def with_rig(agents, args, work):
    """Starts a rig, works with it, ends it; what work returns is given the rig's last words."""
    from rig import Rig, end_on_signals

    end_on_signals()
    rig = Rig(agents, dict(setting.split("=", 1) for setting in args.settings))
    good = False
    try:
        print(f"Starting a private stack in {rig.dir}", flush=True)
        rig.start()
        result = work(rig)
        good = True
    finally:
        try:
            if not good:
                print(rig.stack.log_tail(15), f"\nbench: the logs are kept in {rig.dir}", file=sys.stderr)
        finally:
            rig.stop()
    lag = rig.loop_lag()
    if args.keep:
        print(f"The logs are kept in {rig.dir}")
    else:
        rig.remove()
    return result, lag


def measure(args):
    import measure as m
    import report
    from rig import major_faults

    if args.command == "streams":
        # Memory is looked at where they are all open for long enough to do so.
        together_ms = (args.tokens - 1) * args.gap_ms - args.ramp_ms
        rounds = [m.Streams("streams", args.n, args.ramp_ms, args.tokens, args.gap_ms, args.rounds, memory=together_ms >= 1500)]
    elif args.command == "completions":
        rounds = [m.Completions(args.connections, args.seconds)]
    else:
        rounds = [s for s in m.everything(args.quick) if not args.only or s.name in args.only]
        if not rounds:
            raise SystemExit("bench: there is no such scenario; --only knows memory, ramp, burst, past, crowd, plain, token, agents, outage and pages")

    def work(rig):
        about, results = rig.about(), {}
        for scenario in rounds:
            print(f"… {scenario.title}", flush=True)
            before = major_faults()
            results[scenario.name] = scenario.measure(rig)
            results[scenario.name]["figures"]["major_faults"] = major_faults() - before
        return about, results

    (about, results), lag = with_rig(m.AGENTS, args, work)
    for result in results.values():
        of_these = [lag[pid] for pid in result["responders"].values() if pid in lag]
        complete = len(of_these) == len(result["responders"])
        result["figures"]["loop_lag_p99_ms"] = max(entry["loop_p99_us"] for entry in of_these) / 1000 if complete else None
        result["figures"]["loop_lag_max_ms"] = max(entry["loop_max_us"] for entry in of_these) / 1000 if complete else None
    print()
    report.say_about(about)
    for result in results.values():
        if "pgbench" in result:
            report.say_completions(result)
        elif "rates" in result:
            report.say_rates(result)
        elif "runs" in result:
            report.say_streams(result)
        report.say_faults(result)
    checks = report.check(results, list(results))
    good = report.say_checks(checks)
    if getattr(args, "quick", False):
        print("--quick: smaller loads than the limits are meant for.")
    path = report.write_json(args.command, {"about": about, "command": vars(args), "results": results,
                                            "checks": [dict(zip(("figure", "value", "comparison", "limit", "remark", "good"), row)) for row in checks]})
    print(f"JSON: {path}")
    return good


def main():
    args = arguments()
    if args.command == "soak":
        import soak

        good = soak.run(args)
    elif args.command == "faults":
        import faults

        good = faults.run(args)
    else:
        good = measure(args)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
