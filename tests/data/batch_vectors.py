#!/usr/bin/env python3
"""Writes batch_vectors.json: bodies of batches, and what a reader makes of them.

It knows the format from its description (head of sdk/src/report.rs) and shares no code with the reader. Python 3.8 or
later, no packages; the output is the same everywhere:

    python3 tests/data/batch_vectors.py > tests/data/batch_vectors.json
"""

import json
import struct

KEY = bytes(range(32, 48))
ID = bytes(range(16))
LIMIT = 1 << 20


def section(metric, version, epoch, fingerprint, bits, reports, registry=bytes(8), tags=(), **said):
    """The bytes of a section; what is `said` of a count or length may differ from what is there."""
    name = metric if isinstance(metric, bytes) else metric.encode()
    out = bytes([said.get("length", len(name))]) + name
    out += struct.pack("<II", version, epoch) + fingerprint
    out += registry + bytes([said.get("tag_count", len(tags))]) + struct.pack(f"<{len(tags)}H", *tags)
    out += struct.pack("<HI", bits, said.get("count", len(reports)))
    return out + b"".join(struct.pack("<H", cohort) + content for cohort, content in reports)


def batch(*sections, magic=b"dnbl", form=2, count=None):
    head = magic + bytes([form]) + KEY + ID + struct.pack("<H", len(sections) if count is None else count)
    return head + b"".join(sections)


def view(*sections):
    """What people are shown: each section's fields, and the bits of each report as a string, bit 0 first."""

    def show(metric, version, epoch, fingerprint, bits, reports, registry=bytes(8), tags=()):
        place = lambda content, i: str(content[i // 8] >> (i % 8) & 1)
        return {
            "metric": metric,
            "version": version,
            "epoch": epoch,
            "fingerprint": fingerprint.hex(),
            "registry": registry.hex(),
            "tags": list(tags),
            "bits": bits,
            "reports": [
                {"cohort": cohort, "bits": "".join(place(content, i) for i in range(bits))}
                for cohort, content in reports
            ],
        }

    return {"key": KEY.hex(), "id": ID.hex(), "sections": [show(*one) for one in sections]}


F = bytes.fromhex("ffb4494fe24fb2fa")
HOST = ("host", 2, 20000, F, 16, [(0, b"\x01\x80"), (7, b"\xff\x00")])
YES = ("yes-no", 1, 20000, bytes(8), 2, [(0, b"\x01")])
WIDE = ("wide", 4294967295, 4294967295, b"\xff" * 8, 4096, [(65535, bytes(range(256)) * 2)])
ONE = ("a", 0, 0, bytes(8), 1, [(0, b"\x00"), (0, b"\x01"), (1, b"\x01")])
LONG = ("m" + "0_-." * 15 + "xyz", 1, 1, F, 9, [(1, b"\xaa\x01")])
SPARE = ("spare", 1, 1, F, 9, [(1, b"\xff\xff")])
R = bytes.fromhex("0123456789abcdef")
ASKED = (*HOST, R)
TAGGED = (*HOST, R, (0, 3))
TAGGED_MOST = (*HOST, R, tuple(range(65520, 65536)))
OTHER = (*HOST, b"\xff" * 8, (0, 3))

good = [
    ("one section", [HOST]),
    ("one bit, cohorts in order", [ONE]),
    ("every field at its largest", [WIDE]),
    ("a name of 64 bytes", [LONG]),
    ("three sections", [HOST, ("host", 2, 20001, F, 16, [(3, b"\x00\x00")]), YES]),
    # Whether bits beyond k are set is for the collector to judge, which knows the parameters.
    ("places beyond k that are set", [SPARE]),
    # The writer sorts; a reader takes sections as they come, and the same one twice.
    ("sections out of order", [YES, HOST, YES]),
    ("a registry without tags", [ASKED]),
    ("tags", [TAGGED]),
    ("as many tags as there may be, each at its largest", [TAGGED_MOST]),
    ("sections apart by registry and tags alone", [HOST, ASKED, TAGGED, OTHER]),
]

plain = batch(section(*HOST))
after = len(plain)


def short(body, needed):
    return f"the batch is cut short: it needs at least {needed} bytes but has {len(body)}"


def name(metric):
    shown = json.dumps(metric, ensure_ascii=False)
    return (
        f"{shown} is no metric name: it must start with a lower-case letter, go on with lower-case letters, "
        "digits, '_', '-' or '.', and have at most 64 bytes"
    )


EMPTY = "a batch must hold at least one section and each section at least one report"
NO_BATCH = 'this is no batch: it does not begin with "dnbl"'


def tags(count, limit):
    return (
        f"reports with {count} tags beside them cannot be: the limit is {limit} "
        "(16 with a registry that says what they are, none without)"
    )


def other_format(found):
    return f"this batch has format {found}, but only format 2 is known here; update the older side"


def width(bits):
    return f"reports of {bits} bits cannot be: the limit is 1 to 4096"


bad = [
    ("nothing", b"", short(b"", 4)),
    ("half of the first word", b"dn", short(b"dn", 4)),
    ("another first word", batch(section(*HOST), magic=b"dnbm"), NO_BATCH),
    ("text", b'{"reports":[]}', NO_BATCH),
    ("the format before", batch(section(*HOST), form=1), other_format(1)),
    ("the format after", batch(section(*HOST), form=3), other_format(3)),
    ("no format", b"dnbl", short(b"dnbl", 5)),
    ("half a key", plain[:12], short(plain[:12], 21)),
    ("half an id", plain[:28], short(plain[:28], 37)),
    ("no section count", plain[:37], short(plain[:37], 39)),
    ("no sections", batch(), EMPTY),
    ("a section fewer than said", batch(section(*HOST), count=2), short(plain, after + 1)),
    ("a section more than said", batch(section(*HOST), section(*YES), count=1), f"the batch ends after {after} bytes, but the body has {after + len(section(*YES))}"),
    ("one byte too many", plain + b"\x00", f"the batch ends after {after} bytes, but the body has {after + 1}"),
    ("one byte too few", plain[:-1], short(plain[:-1], after)),
    ("a report fewer than said", batch(section(*HOST[:5], HOST[5], count=3)), short(plain, after + 4)),
    ("a section without reports", batch(section(*HOST[:5], [])), EMPTY),
    ("an endless section", batch(section(*HOST[:5], HOST[5], count=(1 << 32) - 1)), short(plain, after - 8 + 4 * ((1 << 32) - 1))),
    ("a tag without a registry", batch(section(*HOST, bytes(8), (1,))), tags(1, 0)),
    ("17 tags", batch(section(*HOST, R, (1,) * 17)), tags(17, 16)),
    ("a tag fewer than said", batch(section(*ONE, R, tag_count=16)), short(batch(section(*ONE, R)), 39 + 27 + 32)),
    ("no bits", batch(section("host", 1, 1, F, 0, [(0, b"")])), width(0)),
    ("too many bits", batch(section("host", 1, 1, F, 4097, [(0, bytes(513))])), width(4097)),
    ("a name without bytes", batch(section("", 1, 1, F, 8, [(0, b"\x00")])), name("")),
    ("a name in capitals", batch(section("Host", 1, 1, F, 8, [(0, b"\x00")])), name("Host")),
    ("a name that begins with a digit", batch(section("7up", 1, 1, F, 8, [(0, b"\x00")])), name("7up")),
    ("a name with a blank", batch(section("a b", 1, 1, F, 8, [(0, b"\x00")])), name("a b")),
    ("a name with a slash", batch(section("a/b", 1, 1, F, 8, [(0, b"\x00")])), name("a/b")),
    ("a name beyond ASCII", batch(section("hôte", 1, 1, F, 8, [(0, b"\x00")])), name("hôte")),
    ("a name that is no text", batch(section(b"a\xff", 1, 1, F, 8, [(0, b"\x00")])), name("\ufffd")),
    ("a name of 65 bytes", batch(section("m" * 65, 1, 1, F, 8, [(0, b"\x00")])), name("m" * 65)),
    ("a name longer than the body", batch(section("host", 1, 1, F, 8, [(0, b"\x00")], length=255)), short(batch(section("host", 1, 1, F, 8, [(0, b"\x00")])), 40 + 255)),
]

vectors = [
    {"name": title, "body": batch(*(section(*one) for one in sections)).hex(), "parsed": view(*sections)}
    for title, sections in good
] + [{"name": title, "body": body.hex(), "error": error} for title, body, error in bad]
assert all(len(vector["body"]) // 2 <= LIMIT for vector in vectors)
print(json.dumps(vectors, indent=1, ensure_ascii=False))
