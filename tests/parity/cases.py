# SPDX-License-Identifier: Apache-2.0
"""cases: a parity script is a list of functions, each one counted test. The runner reads the lines "case NAME STATE" and the
lines before them as the reason; --list prints the names, and names as arguments are the ones to run."""

import subprocess
import sys
import tempfile
import traceback
from os import environ
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(environ.get("RINGMASTER_BUILD", "build/release"))
_FOLDER = tempfile.TemporaryDirectory(prefix="ringmaster-parity-")  # gone when the script ends
SCRATCH = Path(_FOLDER.name)
CASES = {}


class Skip(Exception):
    """what a case needs is not on this machine; tests/allowed_skips must know its name"""


def case(function):
    CASES[function.__name__] = function
    return function


def main():
    chosen = [name for name in sys.argv[1:] if name != "--list"]
    if "--list" in sys.argv[1:]:
        print("\n".join(CASES))
        return 0
    failed = 0
    for name in chosen or CASES:
        try:
            CASES[name]()
            state = "passed"
        except Skip as reason:
            print(reason)
            state = "skipped"
        except Exception:  # a wrong number is an AssertionError; anything else fails the case as well
            traceback.print_exc(file=sys.stdout)
            state, failed = "failed", failed + 1
        print(f"case {name} {state}", flush=True)
    return 1 if failed else 0


def run(*command, expect=0):
    """A program of ours; what it printed."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == expect, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout if expect == 0 else done.stdout + done.stderr


def ringmaster(*arguments, expect=0):
    return run(BUILD / "bin/ringmaster", *arguments, expect=expect)


def difference(ours, theirs):
    """max|d| / max|reference|"""
    assert ours.shape == theirs.shape, f"{tuple(ours.shape)} for {tuple(theirs.shape)}"
    return ((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max()).item()


def close(what, ours, theirs, limit):
    found = difference(ours, theirs)
    assert found <= limit, f"{what}: max|d|/max|ref| is {found:.2e}, expected at most {limit:.0e}"
    return found
