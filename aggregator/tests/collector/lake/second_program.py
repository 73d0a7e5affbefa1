"""Reads a lake with DuckDB and prints what it counts there, as JSON. The arguments are the lake and a query on `lake`."""

import json
import os
import sys

import duckdb

LAKE, README = sys.argv[1:]
SOME = "AND epoch BETWEEN 20003 AND 20007"
COHORTS, BITS = 128, 128


def read(kind):
    return f"read_parquet('{LAKE}/{kind}/**/*.parquet', hive_partitioning = true)"


def table(rows):
    """A row for each cohort: its reports, then for each bit those that set it."""
    counts = [[0] * (1 + BITS) for _ in range(COHORTS)]
    for cohort, place, number in rows:
        counts[cohort][place] += number
    return counts


def sums(where=""):
    of_metric = f"FROM {read('counts')} WHERE metric = 'relying_party' AND version = 1 {where}"
    reports = duckdb.sql(f"SELECT cohort, 0, sum(reports)::BIGINT {of_metric} GROUP BY ALL").fetchall()
    ones = duckdb.sql(
        f"""SELECT cohort, place, sum(one)::BIGINT
            FROM (SELECT cohort, unnest(ones) AS one, generate_subscripts(ones, 1) AS place {of_metric})
            GROUP BY ALL"""
    ).fetchall()
    return table(reports + ones)


def reports(where=""):
    rows = duckdb.sql(
        f"SELECT cohort, bits, reports FROM {read('reports')} WHERE metric = 'relying_party' AND version = 1 {where}"
    ).fetchall()
    found = []
    for cohort, bits, number in rows:
        found.append((cohort, 0, number))
        found += [(cohort, 1 + bit, number) for bit in range(BITS) if bits[bit // 8] >> (bit % 8) & 1]
    return table(found)


def entries():
    rows = duckdb.sql(
        f"SELECT decode(key), decode(value) FROM parquet_kv_metadata('{LAKE}/counts/**/*.parquet')"
    ).fetchall()
    return dict(rows)


def is_sorted():
    rows = duckdb.sql(
        f"SELECT source, tags, cohort, bits FROM read_parquet('{LAKE}/reports/*/*/epoch=20003/*.parquet')"
    ).fetchall()
    return rows == sorted(rows) and len(rows) > 100


os.chdir(os.path.dirname(LAKE))
print(
    json.dumps(
        {
            "sums": sums(),
            "reports": reports(),
            "sums_of_some_epochs": sums(SOME),
            "reports_of_some_epochs": reports(SOME),
            "readme": duckdb.sql(README).fetchall(),
            "entries": entries(),
            "types": [row[1] for row in duckdb.sql(f"DESCRIBE SELECT * FROM {read('counts')}").fetchall()],
            "order": is_sorted(),
        }
    )
)
