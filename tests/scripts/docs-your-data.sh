# SPDX-License-Identifier: Apache-2.0
# docs-your-data: the blocks of docs/your-data.md work as written.
set -euo pipefail
export PATH="$RINGMASTER_BUILD/bin:$PATH"
exec python3 tests/docs/run_blocks.py docs/your-data.md
