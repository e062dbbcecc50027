# SPDX-License-Identifier: Apache-2.0
"""bpe_parity: the ids of `ringmaster data tokenize` against those of the PyPI package tokenizers.

<|endoftext|> in a text is ordinary characters on both sides. Characters without a class in one of the two Unicode versions are
listed, not compared."""

import random
import struct
import unicodedata
from os import environ
from pathlib import Path

from bpe import own_vocabulary, peer
from cases import ROOT, SCRATCH, Skip, case, main, ringmaster

SEED, MIXED_BYTES = 20240520, 100_000
LLMC_HEADER_BYTES, LLMC_MAGIC = 1024, 20240520


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


def published_vocabulary():
    """the folder of GPT-2's own two files"""
    folder = Path(environ.get("RINGMASTER_SHARED", ROOT.parent / "shared")) / "data/bpe"
    if not (folder / "encoder.json").exists():
        raise Skip("GPT-2's published encoder.json and vocab.bpe are not here, and are no part of the project")
    return folder


def ours(vocabulary, text, threads):
    source, out = SCRATCH / "text.txt", SCRATCH / "ids.bin"
    source.write_bytes(text.encode())
    ringmaster("data", "tokenize", source, "--out", out, "--tokenizer-dir", vocabulary, "--threads", threads)
    data = out.read_bytes()
    magic, version, count = struct.unpack("<3i", data[:12])
    assert (magic, version, len(data)) == (LLMC_MAGIC, 1, LLMC_HEADER_BYTES + 2 * count), "the header"
    return list(struct.unpack(f"<{count}H", data[LLMC_HEADER_BYTES:]))


def same(found, expected):
    if found != expected:
        at = next((i for i, (x, y) in enumerate(zip(found, expected)) if x != y), min(len(found), len(expected)))
        raise AssertionError(f"id {at} is {found[at:at + 5]}, expected {expected[at:at + 5]}")


@case
def mixed_text_on_any_number_of_threads():
    vocabulary, text = published_vocabulary(), mixed_text()
    expected = peer(vocabulary, "encoder.json", "vocab.bpe")(text)
    for threads in (1, 2, 7):
        same(ours(vocabulary, text, threads), expected)
    print(f"{len(text.encode())} bytes of mixed text: {len(expected)} ids, {len(set(expected))} of them different")


@case
def mixed_text_in_a_vocabulary_of_its_own():
    vocabulary, text = own_vocabulary(), mixed_text()
    same(ours(vocabulary, text, 2), peer(vocabulary, "vocab.json", "merges.txt")(text))


@case
def every_code_point_that_both_know():
    vocabulary, lines = published_vocabulary(), every_code_point()
    theirs = peer(vocabulary, "encoder.json", "vocab.bpe")
    # A line begins with "a" after a line feed, so that ids of the whole are the ids of the lines with 198 between them.
    found = ours(vocabulary, "\n".join(lines), 2)
    other, at = [], 0
    for line in lines:
        want = theirs(line)
        end = at + len(want)
        if found[at:end] != want:
            other.append(line[1])
            end = found.index(198, at) if 198 in found[at:] else len(found)
        at = end + 1
    known = [c for c in other if unicodedata.category(c) != "Cn"]
    print(f"{len(lines)} code points: {len(other)} differ, {len(known)} of them assigned in Unicode "
          f"{unicodedata.unidata_version}:" + "".join(f" U+{ord(c):04X}" for c in other[:20]))
    assert not known, "characters that both know are cut in another way"


@case
def bytes_that_are_not_utf8_are_refused():
    vocabulary = own_vocabulary()
    for broken in (b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe4\xbd"):
        source, out = SCRATCH / "broken.txt", SCRATCH / "none.bin"
        source.write_bytes("caf\u00e9 ".encode() + broken + b" after")
        said = ringmaster("data", "tokenize", source, "--out", out, "--tokenizer-dir", vocabulary, expect=2)
        assert "UTF-8" in said and "6" in said and not out.exists(), f"{broken!r}: {said}"


if __name__ == "__main__":
    raise SystemExit(main())
