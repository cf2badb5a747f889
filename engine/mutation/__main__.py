"""Draw a sample of mutants, try it, and say what was noticed."""

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import asdict

import mutation
from mutation.mutants import Mutant, mutants_of
from mutation.outcomes import TESTS_PASSED, Kept, Outcome
from mutation.rooms import ENGINE, ROOMS
from mutation.trying import try_all

RESULT = ENGINE / "mutation.json"
GOAL = 0.9


def main() -> int:
    """Try the sample; 0 where enough of it was noticed."""
    options = _options()
    began = time.monotonic()
    rooms = [options.room] if options.room else list(ROOMS)
    print(f"seed {options.seed}: --seed {options.seed} gives the same mutants", flush=True)
    left_out: Counter[str] = Counter()
    every = [mutant for room in rooms for mutant in mutants_of(room, left_out)]
    dice = random.Random(options.seed)  # noqa: S311  a sample that can be had again
    chosen = dice.sample(every, min(options.mutants, len(every)))
    print(f"{len(chosen)} of {len(every)} mutants in {', '.join(rooms)}", flush=True)
    rules = ", ".join(f"{rule} {count}" for rule, count in left_out.most_common())
    print(f"{left_out.total()} more are not counted, by rule: {rules}", flush=True)
    kept = Kept(ENGINE / f"mutation-{options.seed}.jsonl")
    if known := sum(mutant in kept for mutant in chosen):
        print(f"{known} of them were noticed before ({kept.file.name})", flush=True)
    end = began + 60 * options.minutes if options.minutes else math.inf
    tried = try_all(chosen, kept, workers=options.workers, end=end, quick=options.quick)
    counted = [
        (mutant, outcome)
        for mutant, outcome in zip(chosen, tried.outcomes, strict=True)
        if outcome is not None and outcome.by not in tried.doubtful
    ]
    if tried.doubtful:
        doubtful = sorted(tried.doubtful)
        print(f"\nfail without a mutant, so what they noticed is not counted: {doubtful}")
    if not counted:
        raise SystemExit("Error: no mutant was tried; give it more --minutes.")
    each = options.workers * (tried.ended - began) / max(len(counted) - known, 1)
    share = _report(options.seed, left_out, counted, tried.doubtful, each)
    return 0 if share >= GOAL else 1


def _report(
    seed: int,
    left_out: Counter[str],
    counted: Sequence[tuple[Mutant, Outcome]],
    doubtful: Set[str],
    seconds: float,
) -> float:
    """Write and print the result; how much of the sample was noticed."""
    survivors = [mutant for mutant, outcome in counted if outcome.code == TESTS_PASSED]
    timeouts = [mutant for mutant, outcome in counted if outcome.code is None]
    share = 1 - len(survivors) / len(counted)
    result = {
        "seed": seed,
        "left_out": dict(left_out),
        "mutants": len(counted),
        "noticed": round(share, 3),
        "timeouts": [asdict(mutant) for mutant in timeouts],
        "not_counted": sorted(doubtful),
        "survivors": [asdict(mutant) for mutant in survivors],
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    noticed = len(counted) - len(survivors)
    print(f"\n{noticed} of {len(counted)} noticed ({share:.1%}), goal {GOAL:.0%}")
    print(
        f"seed {seed}: {noticed - len(timeouts)} killed, {len(timeouts)} took too long, "
        f"{len(survivors)} survived; {seconds:.1f} s a mutant and worker"
    )
    return share


def _options() -> argparse.Namespace:
    description = (mutation.__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser("mutation", description=description)
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--room", choices=ROOMS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="ask no test that does not run it")
    parser.add_argument("--minutes", type=float, help="begin no further mutant after these")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
