# SPDX-License-Identifier: Apache-2.0
"""check: the rules of the house that need no compiler, each a test of its own: check.py includes|sizes|headers|..."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CPP = {".h", ".cpp", ".c", ".cu"}
SCRIPTS = {".py", ".sh", ".awk"}
SOURCE_LINES, HEADER_LINES, WISHED_LINES = 600, 200, 400
SLOW_HEADERS = {"yaml-cpp": r"yaml-cpp/", "CLI11": r"CLI/", "Beast": r"boost/beast"}


def files(*folders, suffixes):
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*"))
             if path.is_file() and path.suffix in suffixes]
    return [path for path in found if "__pycache__" not in path.parts]


def place(path, line=None):
    return f"{path.relative_to(ROOT)}" + (f":{line}" if line else "")


def dependency_table():
    """folder -> every folder that it may include, out of src/CMakeLists.txt"""
    text = (ROOT / "src/CMakeLists.txt").read_text()
    direct = {}
    for arguments in re.findall(r"^ringmaster_folder\(([^)]*)\)", text, re.MULTILINE):
        name, *rest = re.split(r"\s+LIBRARIES\b", arguments)[0].split()
        direct[name] = [word for word in rest if word != "USES"]
    direct["launcher"] = ["train"]

    def closure(name):
        return {name}.union(*(closure(used) for used in direct[name]))

    return direct, {name: closure(name) for name in direct}


def includes():
    direct, allowed = dependency_table()
    for folder, may_use in allowed.items():
        for path in files(folder if folder == "launcher" else f"src/{folder}", suffixes=CPP):
            quoted = re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE)
            for name in quoted:
                used = name.split("/")[0]
                if used not in may_use:
                    yield f"{place(path)}: includes {name}, but {folder} may use only {', '.join(sorted(may_use))}"
                elif not (ROOT / "src" / name).exists() and not (ROOT / name).exists():
                    yield f"{place(path)}: includes {name}, which does not exist; paths start at src/"
            own = path.with_suffix(".h")
            if path.suffix == ".cpp" and own.exists() and quoted and quoted[0] != include_name(own):
                yield f"{place(path)}: the first include is {quoted[0]}, expected its own header {include_name(own)}"
    for path in sorted((ROOT / "src").glob("*/")):
        if path.is_dir() and path.name not in direct:
            yield f"{place(path)}: is not in src/CMakeLists.txt"
    for folder in sorted(set(direct) - {"launcher"}):
        if not (ROOT / "src" / folder).is_dir():
            yield f"src/CMakeLists.txt: there is no folder src/{folder}"
    yield from documented_table(direct)


def include_name(path):
    return str(path.relative_to(ROOT / "src" if ROOT / "src" in path.parents else ROOT))


def documented_table(direct):
    page = ROOT / "docs/architecture.md"
    if not page.exists():
        return
    rows = dict(re.findall(r"^\| `src/(\w+)` \|.*\|([^|]*)\|$", page.read_text(), re.MULTILINE))
    for folder in sorted(set(direct) - {"launcher"} | set(rows)):
        ours, theirs = set(direct.get(folder, [])), set(re.findall(r"\w+", rows.get(folder, "")))
        if folder not in rows:
            yield f"{place(page)}: the table has no row for src/{folder}"
        elif theirs != ours:
            yield f"{place(page)}: src/{folder} may include {sorted(theirs)}, src/CMakeLists.txt says {sorted(ours)}"


def sizes():
    total = 0
    for path in files("src", "launcher", "tests", "bench", suffixes=CPP | SCRIPTS):
        lines = path.read_text().count("\n")
        total += lines
        limit = HEADER_LINES if path.suffix == ".h" else SOURCE_LINES
        if lines > limit:
            yield f"{place(path)}: {lines} lines, expected at most {limit}: which idea wants a file of its own?"
        elif lines > WISHED_LINES:
            print(f"note: {place(path)}: {lines} lines, more than the {WISHED_LINES} that we aim at")
    print(f"{total} lines in all")


def headers():
    for path in files("src", "launcher", "tests", "bench/python", "cluster", ".ci", suffixes=CPP | SCRIPTS):
        lines = path.read_text().splitlines()
        first = 1 if lines and lines[0].startswith("#!") else 0
        mark = "//" if path.suffix in CPP else "#"
        if lines[first:first + 1] != [f"{mark} SPDX-License-Identifier: Apache-2.0"]:
            yield f"{place(path, first + 1)}: expected the line {mark} SPDX-License-Identifier: Apache-2.0"
        elif not explained(path) and not "".join(lines[first + 1:first + 2]).startswith((mark, '"""')):
            yield f"{place(path, first + 2)}: expected a comment that says what this file is"
        if path.suffix == ".h" and "#pragma once" not in lines:
            yield f"{place(path)}: expected #pragma once"


def explained(path):
    """whether its header or its tests' names say what a file is"""
    return path.suffix == ".cpp" and (path.with_suffix(".h").exists() or path.stem.endswith("_test"))


def format():
    sources = files("src", "launcher", "tests", "bench", suffixes=CPP)
    if not sources:
        return
    done = subprocess.run(["clang-format", "--dry-run", *sources], capture_output=True, text=True, check=False)
    seen = set()
    for name, line in re.findall(r"^(.*?):(\d+):\d+: warning", done.stderr, re.MULTILINE):
        if name not in seen:
            seen.add(name)
            yield f"{place(Path(name), line)}: not as clang-format writes it; run clang-format -i on the file"
    if done.returncode and not seen:
        yield done.stderr.strip()


def slow_headers():
    for name, pattern in SLOW_HEADERS.items():
        users = [place(path) for path in files("src", "launcher", suffixes=CPP)
                 if re.search(rf"^\s*#\s*include\s+[<\"]{pattern}", path.read_text(), re.MULTILINE)]
        if len(users) > 2:
            yield f"{name} takes seconds to compile and is included in {len(users)} files, expected at most 2: {' '.join(users)}"


def words():
    unfinished = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK|not implem" r"ented|place" r"holder|for n" r"ow)\b", re.IGNORECASE)
    home = re.compile(r"(?<![\w.])/(?:ho" r"me|ro" r"ot|Use" r"rs)/\w")
    everything = CPP | SCRIPTS | {".md", ".txt", ".yaml", ".cmake", ".json", ""}
    for path in files("src", "launcher", "tests", "bench", "cluster", "configs", "docs", "cmake", ".ci", suffixes=everything):
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if path.parts[len(ROOT.parts)] in ("src", "launcher") and (found := unfinished.search(line)):
                yield f"{place(path, number)}: {found[0]!r} marks something unfinished"
            if found := home.search(line):
                yield f"{place(path, number)}: {found[0]!r} is a path of one machine"


def peers():
    originals = ROOT.parent / "shared/peers"
    if not originals.is_dir():
        print("the original peer scripts are absent")
        sys.exit(77)
    names = {path.name for folder in (originals, ROOT / "bench/peers") for path in folder.glob("*.py")}
    for name in sorted(names):
        ours, theirs = ROOT / "bench/peers" / name, originals / name
        if not ours.exists() or not theirs.exists() or ours.read_bytes() != theirs.read_bytes():
            yield f"bench/peers/{name}: differs from the script that peers are measured with"


CHECKS = {check.__name__: check for check in (includes, sizes, headers, format, slow_headers, words, peers)}

if __name__ == "__main__":
    if sys.argv[1:2] == [] or sys.argv[1] not in CHECKS:
        sys.exit(f"check.py: expected one of {', '.join(CHECKS)}")
    findings = list(CHECKS[sys.argv[1]]())
    for finding in findings:
        print(finding)
    sys.exit(1 if findings else 0)
