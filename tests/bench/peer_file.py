"""A JSON Lines file judged by the backtest or by DuckDB, as a process of its own.

Called with `backtest`, `duckdb` or `duckdb-filtered`, the file, the number of processes (DuckDB:
threads), and a file to write what was found into: the events alerted on, each with whether the
actor's risk is a reason.

DuckDB gets the columns that it needs declared, which spares it from guessing them; filtered, it
reads lines as text, of which it parses only those that hold one of the two words that this query
needs. What the query says: operation and result, both signals in one target, the delegated admin,
and risk rows of the same tenant and UPN (any case) within the window. What it leaves out: rows of
other forms (arrays and envelopes, bare rows, properties as text, Sentinel's columns), signals
split over targets of one name, object ids, copies and variants of an event, behaviors, Graph
activity, the policy, evidence in the answer, and dead letters: one malformed line ends it.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Final

import duckdb

from pipeline.backtest.engine import run
from pipeline.backtest.judging import Question
from pipeline.backtest.result import NamedPolicy
from pipeline.backtest.slicing import slice_of_files
from pipeline.core.policy import Policy, Reason

from .measure import own_cpu
from .result import Used, hand_over

PARSED: Final = """
WITH lines AS (
  FROM read_ndjson(?, columns = {
    time: 'VARCHAR', tenantId: 'VARCHAR', category: 'VARCHAR', operationName: 'VARCHAR',
    resultType: 'VARCHAR', identity: 'VARCHAR', properties: 'JSON'
  })
),
"""
FILTERED: Final = """
WITH documents AS (
  SELECT line::JSON AS one FROM read_csv(
    ?, columns = {line: 'VARCHAR'}, delim = '\x01', quote = '', escape = '', header = false,
    auto_detect = false, max_line_size = 4000000
  )
  WHERE contains(line, 'MobileAppAssignment') OR contains(line, 'RiskLevel')
),
lines AS (
  SELECT
    one->>'time' AS time, one->>'tenantId' AS tenantId, one->>'category' AS category,
    one->>'operationName' AS operationName, one->>'resultType' AS resultType,
    one->>'identity' AS identity, one->'properties' AS properties
  FROM documents
),
"""
QUESTION: Final = """
assignments AS (
  SELECT
    properties->>'AuditEventId' AS event, tenantId AS tenant, lower(identity) AS upn,
    time::TIMESTAMP AS at, (properties->>'$.Actor.IsDelegatedAdmin') = 'true' AS delegated
  FROM lines
  WHERE operationName IN ('Create MobileAppAssignment', 'Patch MobileAppAssignment')
    AND resultType = 'Success'
    AND len(list_filter(
      from_json(properties->'Targets', '["JSON"]'),
      lambda target: len(list_filter(
        from_json(target->'ModifiedProperties', '["JSON"]'),
        lambda one: one->>'Name' = 'Intent' AND one->>'New' = 'Required'
      )) > 0 AND len(list_filter(
        from_json(target->'ModifiedProperties', '["JSON"]'),
        lambda one: one->>'Name' = 'Target.Type' AND one->>'New' IN (
          'AllLicensedUsersAssignmentTarget', 'AllDevicesAssignmentTarget')
      )) > 0
    )) > 0
),
risks AS (
  SELECT
    tenantId AS tenant, lower(properties->>'AccountUpn') AS upn,
    (properties->>'Timestamp')::TIMESTAMP AS at
  FROM lines
  WHERE category = 'AdvancedHunting-IdentityInfo'
    AND lower(properties->>'RiskLevel') IN ('high', 'medium') AND properties->>'Type' = 'User'
)
SELECT event, bool_or(delegated), count(risks.at) > 0
FROM assignments LEFT JOIN risks
  ON risks.tenant = assignments.tenant AND risks.upn = assignments.upn
  AND risks.at BETWEEN assignments.at - INTERVAL 14 DAY AND assignments.at + INTERVAL 48 HOUR
GROUP BY event
"""


def main() -> None:
    way, path, side_by_side, answer = sys.argv[1:]
    began = Used(own_cpu(), time.perf_counter())
    records, found = _ask(way, Path(path), int(side_by_side))
    ended = Used(own_cpu() + _of_children(), time.perf_counter())
    Path(answer).write_text(json.dumps(found))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    largest_child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    children = int(side_by_side) if largest_child else 0
    sys.stderr.write(json.dumps({"peak_kib": peak + children * largest_child}) + "\n")
    hand_over(began, ended, records=records, hits=len(found))


def _ask(way: str, path: Path, side_by_side: int) -> tuple[int, list[tuple[str, bool]]]:
    if way != "backtest":
        return _ask_duckdb(path, side_by_side, PARSED if way == "duckdb" else FILTERED)
    question = Question((NamedPolicy("defaults", Policy()),))
    backtest = run(slice_of_files([path], frozenset()), question, processes=side_by_side)
    return backtest.read.values, sorted(
        (one.verdict.assignment.audit_event_id, Reason.USER_RISK in one.verdict.reasons)
        for one in backtest.answers[0].alerts
    )


def _ask_duckdb(path: Path, threads: int, lines: str) -> tuple[int, list[tuple[str, bool]]]:
    database = duckdb.connect()
    database.execute(f"SET threads = {threads}; SET TimeZone = 'UTC'")
    rows = database.execute(lines + QUESTION, [os.fspath(path)]).fetchall()
    found = sorted(
        (event, is_risky) for event, delegated, is_risky in rows if delegated or is_risky
    )
    return -1, found


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
