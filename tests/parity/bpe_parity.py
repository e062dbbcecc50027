# SPDX-License-Identifier: Apache-2.0
"""bpe_parity: the ids of `ringmaster data tokenize` against those of the PyPI package tokenizers, on 100 kB of mixed text and on
every code point that both know.   bpe_parity.py --program build/release/bin/ringmaster --vocabulary FOLDER   exit 0: equal

The peer is BPE over the same two files behind ByteLevel(add_prefix_space=False), with no added tokens: <|endoftext|> in a text is
ordinary characters on both sides. Characters without a class in one of the two Unicode versions are listed, not compared."""

import argparse
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

SEED, MIXED_BYTES = 20240520, 100_000


def pieces(draw):
    """one piece of text of a kind that tokenizers get wrong"""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    word = "".join(draw.choice(letters) for _ in range(draw.randint(1, 9)))
    plane = draw.choice([0, 0, 1, 1, 2, 3, 14, 15, 16])
    code_points = [plane * 0x10000 + draw.randrange(0x10000) for _ in range(4)]
    anywhere = "".join(chr(c) for c in code_points if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) != "Cn")
    return draw.choice([
        word, " " + word, word + draw.choice(["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'x", "\u2019s"]),
        " the", " and of the", ", ", ". ", "\n", "\r\n", "\n\n", "\r\n\r\n", "\t", " " * draw.randint(1, 9), "\n" + " " * draw.randint(1, 9),
        str(draw.randrange(10 ** draw.randint(1, 12))), " " + str(draw.randrange(10000)), "3.14e-10", "#!@$%^&*()_+", "-->", "'", "''", "\"",
        "\U0001F600\U0001F468\u200D\U0001F469\u200D\U0001F467", "\U0001F1E9\U0001F1EA", "\u2764\uFE0F", "\u00A0", "\u3000", "\u2028", "\u0085",
        "\x1c", "\x00", "\x7f", "na\u00EFve", "e\u0301", "\u4F60\u597D\u4E16\u754C", "\u041F\u0440\u0438\u0432\u0435\u0442",
        "\u0645\u0631\u062D\u0628\u0627", "\u0939\u093F\u0928\u094D\u0926\u0940", "\u00B2\u2167\u0663", "\uFEFF", "<|endoftext|>", anywhere])


def mixed_text():
    draw = random.Random(SEED)
    text, size = [], 0
    while size < MIXED_BYTES:
        text.append(pieces(draw))
        size += len(text[-1].encode())
    return "".join(text)


def every_code_point():
    """each between letters, digits and blanks, where its class decides the cuts; line by line"""
    return [f"a{chr(c)}b {chr(c)}1{chr(c)} {chr(c)}{chr(c)}." for c in range(0x110000) if not 0xD800 <= c < 0xE000 and c not in (10, 13)]


def ours(program, vocabulary, text, folder, threads):
    source, out = folder / "text.txt", folder / "ids.bin"
    source.write_bytes(text.encode())
    subprocess.run([program, "data", "tokenize", source, "--out", out, "--tokenizer-dir", vocabulary, "--threads", str(threads)],
                   check=True, stdout=subprocess.DEVNULL)
    data = out.read_bytes()
    magic, version, count = struct.unpack("<3i", data[:12])
    assert (magic, version, len(data)) == (20240520, 1, 1024 + 2 * count), "the header"
    return list(struct.unpack(f"<{count}H", data[1024:]))


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--vocabulary", required=True, type=Path, help="folder of encoder.json and vocab.bpe")
    options = parser.parse_args()
    peer = Tokenizer(models.BPE.from_file(str(options.vocabulary / "encoder.json"), str(options.vocabulary / "vocab.bpe")))
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)

    def theirs(text):
        return peer.encode(text, add_special_tokens=False).ids

    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = mixed_text()
        expected = theirs(text)
        for threads in (1, 2, 7):
            found = ours(options.program, options.vocabulary, text, folder, threads)
            if found != expected:
                at = first_difference(found, expected)
                print(f"FAILED mixed text, {threads} threads: id {at} is {found[at:at + 5]}, expected {expected[at:at + 5]}: "
                      f"{peer.decode(expected[max(0, at - 5):at + 5])!r}")
                failed += 1
        print(f"{len(text.encode())} bytes of mixed text: {len(expected)} ids, {len(set(expected))} of them different")

        # A line begins with "a" after a line feed, so that ids of the whole are the ids of the lines with 198 between them.
        lines = every_code_point()
        found = ours(options.program, options.vocabulary, "\n".join(lines), folder, 2)
        other, at = [], 0
        for line in lines:
            want = theirs(line)
            end = at + len(want)
            if found[at:end] != want:
                other.append(line[1])
                end = found.index(198, at) if 198 in found[at:] else len(found)
            at = end + 1
        known = [c for c in other if unicodedata.category(c) != "Cn"]
        print(f"{len(lines)} code points: {len(other)} differ, {len(known)} of them assigned in Unicode {unicodedata.unidata_version}"
              + "".join(f" U+{ord(c):04X}" for c in other[:20]))
        failed += bool(known)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
