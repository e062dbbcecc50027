# SPDX-License-Identifier: Apache-2.0
"""runner: runs the tests that ctest lists for a build folder, counts the cases inside gtest executables and parity scripts, and
closes with "N passed, N failed, N skipped". A crash, a hang, or a skip that tests/allowed_skips does not name is a failure."""

import argparse
import fnmatch
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUDGET_S = {"unit": 215, "conformance": 85, "comm": 180, "parity": 480}  # on 2 cores; printed, never a verdict
DETAILED_FAILURES = 20  # of one executable
HANG_S = 900  # far above what any test needs, on any machine


class Case:
    """One counted test: state is passed, failed or skipped; detail says why."""

    def __init__(self, name, state, detail=""):
        self.name, self.state, self.detail = name, state, detail


class Test:
    """One entry of ctest: a gtest executable with many cases, a script of many cases (tests/parity/cases.py), or a script that is
    its own only case."""

    def __init__(self, entry):
        properties = {p["name"]: p["value"] for p in entry["properties"]}
        labels = properties.get("LABELS", [])
        self.name = entry["name"]
        self.command = entry.get("command", [])
        self.folder = properties.get("WORKING_DIRECTORY", str(ROOT))
        self.environment = dict(e.split("=", 1) for e in properties.get("ENVIRONMENT", []))
        self.is_gtest, self.has_cases = "gtest" in labels, "cases" in labels
        self.built = bool(self.command) and shutil.which(self.command[0]) is not None
        self.group = next(label for label in labels if label in BUDGET_S)

    def list_cases(self):
        if self.has_cases:
            names = subprocess.run([*self.command, "--list"], cwd=self.folder, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True, check=True).stdout.split()
            return [f"{self.name}.{name}" for name in names]
        if not self.is_gtest or not self.built:
            return [self.name]
        with tempfile.NamedTemporaryFile(suffix=".json") as report:
            subprocess.run([*self.command, "--gtest_list_tests", f"--gtest_output=json:{report.name}"], cwd=self.folder,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
            suites = json.load(report)["testsuites"]
        return [f"{self.name}.{suite['name']}.{case['name']}" for suite in suites for case in suite["testsuite"]]

    def run(self, selected, log):
        """selected: the names of the cases to run, or None for all. The test's TMPDIR is its own and goes with it."""
        with tempfile.TemporaryDirectory(prefix="ringmaster-test-", ignore_cleanup_errors=True) as folder:
            return self.run_in(Path(folder), selected, log)

    def run_in(self, scratch, selected, log):
        if not self.built:
            return [Case(self.name, "failed", "was not built")]
        command, report = list(self.command), scratch / "report.json"
        if self.is_gtest:
            command.append(f"--gtest_output=json:{report}")
            if selected is not None:  # by file: a long list is no argument
                flags = scratch / "flags"
                flags.write_text("--gtest_filter=" + ":".join(name[len(self.name) + 1:] for name in selected) + "\n")
                command.append(f"--gtest_flagfile={flags}")
        elif self.has_cases:
            command += [name[len(self.name) + 1:] for name in selected or []]
        status = run_process(command, self.folder, {**os.environ, **self.environment, "TMPDIR": str(scratch)}, log)
        if self.has_cases:
            return self.read_lines(status, log)
        if not self.is_gtest:
            last = last_lines(log, 1)
            return [Case(self.name, {0: "passed", 77: "skipped"}.get(status, "failed"),
                         last if status == 77 else last_lines(log, 40))]
        if status not in (0, 1) or not report.exists():
            return [Case(self.name, "failed", f"{ending(status)} in {running_case(log)}\n{last_lines(log, 40)}")]
        return [self.read_case(suite, case, log) for suite in json.loads(report.read_text())["testsuites"]
                for case in suite["testsuite"]]

    def read_lines(self, status, log):
        """the lines "case NAME STATE"; what stands before one is its detail"""
        found, detail = [], []
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("case "):
                _case, name, state = line.split()
                found.append(Case(f"{self.name}.{name}", state, "\n".join(detail[-40:])))
                detail = []
            else:
                detail.append(line)
        if not found or (status != 0) != any(case.state == "failed" for case in found):
            found.append(Case(self.name, "failed", f"{ending(status)}\n{last_lines(log, 40)}"))
        return found

    def read_case(self, suite, case, log):
        name = f"{suite['name']}.{case['name']}"
        full_name = f"{self.name}.{name}"
        if case.get("failures"):
            return Case(full_name, "failed", "\n".join(failure["failure"].strip() for failure in case["failures"]))
        if case["result"] == "COMPLETED":
            return Case(full_name, "passed")
        return Case(full_name, "skipped", "is disabled" if case["status"] == "NOTRUN" else skip_reason(log, name))


def run_process(command, folder, environment, log):
    """The exit status, negative for a signal, None for a hang. Nothing of the test's process group survives it."""
    with open(log, "wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            return process.wait(HANG_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


def ending(status):
    if status is None:
        return f"killed after {HANG_S} s"
    return f"crashed with {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"


def last_lines(log, count):
    return "\n".join(log.read_text(errors="replace").rstrip().splitlines()[-count:])


def running_case(log):
    started = re.findall(r"^\[ RUN      \] (.*)$", log.read_text(errors="replace"), re.MULTILINE)
    return started[-1] if started else "no test"


def skip_reason(log, name):
    """what a case printed: gtest 1.12 leaves the reason out of its report"""
    printed = re.search(rf"^\[ RUN      \] {re.escape(name)}\n(.*?)^\[  SKIPPED \]", log.read_text(errors="replace"),
                        re.MULTILINE | re.DOTALL)
    return " ".join(re.sub(r"^.*: Skipped$", "", printed[1], flags=re.MULTILINE).split()) if printed else ""


class AllowedSkips:
    def __init__(self, path):
        self.rows = [line.split(None, 2) for line in path.read_text().splitlines() if line and line[0] != "#"]
        shared = Path(os.environ.get("RINGMASTER_SHARED", ROOT.parent / "shared")).is_dir()
        self.holds = {"gpu": True, "isa": True, "no-shared": not shared, "not-root": os.geteuid() != 0}

    def allows(self, name):
        return any(fnmatch.fnmatchcase(name, pattern) and self.holds[condition]
                   for pattern, condition, _reason in self.rows)


def tests_of(build):
    listing = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], check=True, capture_output=True)
    return [Test(entry) for entry in json.loads(listing.stdout)["tests"]]


def indented(text):
    return "".join("\n    " + line for line in text.splitlines()) + "\n"


def show(text):
    print(text, flush=True)


def usage_error(text):
    print(f"run: error: {text}", file=sys.stderr)
    return 2


def run_group(group, tests, logs, allowed):
    """tests: (test, selected names or None) pairs; returns the number of passed, failed, skipped cases"""
    totals, began = {"passed": 0, "failed": 0, "skipped": 0}, time.monotonic()
    for test, selected in tests:
        test_began = time.monotonic()
        cases = test.run(selected, logs / (test.name.replace("/", "-") + ".log"))
        for case in cases:
            if case.state == "skipped" and not allowed.allows(case.name):
                case.state, case.detail = "failed", f"skipped without leave of tests/allowed_skips: {case.detail}"
            totals[case.state] += 1
        counts = {state: sum(case.state == state for case in cases) for state in totals}
        text = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no case"
        show(f"  {test.name:<28} {text:<36} {time.monotonic() - test_began:7.1f} s")
        told = 0
        for case in cases:
            if case.state == "failed":
                told += 1  # where everything fails, the first few say why
                show(f"\n  FAILED {case.name}" + (indented(case.detail) if told <= DETAILED_FAILURES else ""))
            elif case.state == "skipped":
                show(f"    skipped {case.name}: {case.detail}")
    spent = time.monotonic() - began
    show(f"{group:<12} {totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped"
         f" in {spent:.0f} of {BUDGET_S[group]} s" + (" (over budget)" if spent > BUDGET_S[group] else "") + "\n")
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="build folder")
    parser.add_argument("--filter", default="", metavar="RE", help="only the tests whose name holds RE")
    parser.add_argument("--parity", action="store_true", help="the tests against PyTorch too; needs RINGMASTER_PYTHON")
    parser.add_argument("--list", action="store_true", help="print the names instead of running")
    arguments = parser.parse_args()
    try:
        pattern = re.compile(arguments.filter)
    except re.error as error:
        return usage_error(f"--filter {arguments.filter} is not a regular expression: {error}")

    os.chdir(ROOT)
    logs = Path(arguments.build) / "test-logs"
    logs.mkdir(exist_ok=True)
    totals = {"passed": 0, "failed": 0, "skipped": 0}
    chosen = {group: [] for group in BUDGET_S}
    for test in tests_of(arguments.build):
        if test.group == "parity" and not arguments.parity:
            continue
        selected = None
        if arguments.filter or arguments.list:
            selected = [name for name in test.list_cases() if pattern.search(name)]
        if selected is None or selected:
            chosen[test.group].append((test, selected))
    if arguments.list:
        show("\n".join(name for tests in chosen.values() for _test, names in tests for name in names))
        return 0
    allowed = AllowedSkips(ROOT / "tests" / "allowed_skips")
    for group, tests in chosen.items():
        if tests:
            for state, count in run_group(group, tests, logs, allowed).items():
                totals[state] += count
    if not sum(totals.values()):
        return usage_error(f"no test's name holds {arguments.filter!r}; tests/run --list prints them")
    show(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
