# SPDX-License-Identifier: Apache-2.0
"""run_blocks PAGE.md: follows a page of docs/ as a reader would. ```LANGUAGE path=FILE blocks are written to FILE, ```sh blocks
run in order in one shell (bash -euo pipefail) in a scratch folder that is also HOME and has configs/ as the checkout does;
`sh in=source` starts in the source tree, `sh not-run` is only shown. Says which block failed."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FENCE = re.compile(r"^```(\S+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HANG_S = 600


class Block:
    def __init__(self, page, match):
        self.line = page.count("\n", 0, match.start()) + 1
        self.language, self.text = match[1], match[3]
        words = match[2].split()
        self.options = dict(word.partition("=")[::2] for word in words)
        known = {"path"} if self.language != "sh" else {"in", "not-run"}
        if wrong := set(self.options) - known:
            sys.exit(f"line {self.line}: {', '.join(sorted(wrong))} is no option of a {self.language} block, "
                     f"expected {' or '.join(sorted(known))}")


def script(blocks, scratch):
    """bash that follows the blocks and leaves the line of the one under way in .at"""
    out = ["set -euo pipefail"]
    for number, block in enumerate(blocks):
        out.append(f"echo {block.line} >{scratch}/.at")
        if "path" in block.options:
            source = scratch / f".block-{number}"
            source.write_text(block.text)
            out.append(f"install -D -m 644 {source} {scratch / block.options['path']}")
        elif block.language == "sh" and "not-run" not in block.options:
            into = f"pushd {ROOT} >/dev/null\n", "popd >/dev/null\n"
            before, after = into if block.options.get("in") == "source" else ("", "")
            out.append(f"printf '\\n== line {block.line}\\n'\n{before}{block.text}{after}")
    return "\n".join(out) + "\n"


def main(page):
    text = page.read_text()
    blocks = [Block(text, match) for match in FENCE.finditer(text)]
    if not any(block.language == "sh" and "not-run" not in block.options for block in blocks):
        sys.exit(f"{page}: has no sh block to run")
    with tempfile.TemporaryDirectory(prefix="ringmaster-docs-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        (scratch / "configs").symlink_to(ROOT / "configs")
        commands = scratch / ".commands"
        commands.write_text(script(blocks, scratch))
        environment = {**os.environ, "HOME": folder}
        shell = subprocess.Popen(["bash", commands], cwd=scratch, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            status = shell.wait(HANG_S)
        except subprocess.TimeoutExpired:
            status = f"no end after {HANG_S} s"
        finally:
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if status != 0:
            sys.exit(f"{page.name}:{(scratch / '.at').read_text().strip()}: this block failed ({status})")
    print(f"{page.name}: {len(blocks)} blocks")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: run_blocks.py PAGE.md")
    main(Path(sys.argv[1]))
