#!/usr/bin/env bash
# The replay's command line, as docs/placement.md shows it: table, dump and JSON agree, equal runs write equal bytes, and
# wrong settings are refused by name.
#   replay_test.sh BUILD_FOLDER
set -euo pipefail
build=$(cd "$1" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export PATH=$build/bin:$PATH

python3 - <<'PYTHON'
import random
random.seed(5)
rows = ["job_id,submit_time,num_gpus,duration,vc"]
for job in range(400):
    rows.append(f"{job},{job * 45},{random.choice([1, 1, 1, 2, 4, 8, 16])},{random.randint(30, 9000)},team{job % 3}")
open("trace.csv", "w").write("\n".join(rows) + "\n")
PYTHON

trainyard-sim replay --trace trace.csv --nodes 4 --policy las-r --restart-cost 60 --set aging=0 >table.txt
grep -q '^las-r ' table.txt
trainyard-sim replay --trace trace.csv --nodes 4 --policy las-r --estimates --dump jobs.csv --json figures.json >table.txt
grep -q 'estimated starts within their 80 % band' table.txt
trainyard-sim replay --trace trace.csv --nodes 4 --policy las-r --dump again.csv >/dev/null
cmp jobs.csv again.csv
python3 - <<'PYTHON'
import csv
import json
figures = json.load(open("figures.json"))
jobs = {row["job_id"]: row for row in csv.DictReader(open("jobs.csv"))}
trace = list(csv.DictReader(open("trace.csv")))
assert len(jobs) == len(trace) == 400
total = sum(int(jobs[job["job_id"]]["end"]) - int(job["submit_time"]) for job in trace)
assert abs(total / 400 - figures["averageJct"]) < 1e-6, (total / 400, figures)
assert figures["preemptions"] == sum(int(row["preemptions"]) for row in jobs.values())
assert all(int(jobs[job["job_id"]]["first_start"]) >= int(job["submit_time"]) for job in trace)
PYTHON
for policy in fifo skip easy sjf srsf las lasfifo; do
  trainyard-sim replay --trace trace.csv --nodes 4 --policy $policy --restart-cost 60 >table.txt
  grep -q "^$policy " table.txt
done
for policy in fifo skip easy; do  # the scheduler's own code gives the same schedule
  trainyard-sim replay --trace trace.csv --nodes 4 --policy $policy --dump reference.csv >/dev/null
  trainyard-sim replay --trace trace.csv --nodes 4 --policy $policy --planner --limit-factor 1 --dump planner.csv >/dev/null
  cmp reference.csv planner.csv
done
trainyard-sim replay --trace trace.csv --nodes 4 --policy easy --planner --limit-factor 2 >table.txt
trainyard-sim replay --trace trace.csv --nodes 4 --policy fair --restart-cost 60 >table.txt
grep -q '^fair ' table.txt
status=0
trainyard-sim replay --trace trace.csv --nodes 4 --policy srsf --planner 2>error.txt >/dev/null || status=$?
[[ $status == 4 ]] && grep -q 'no policy "srsf"' error.txt
status=0
trainyard-sim replay --trace trace.csv --nodes 4 --policy las-r --set agein=1 2>error.txt >/dev/null || status=$?
[[ $status == 4 ]] && grep -q 'no parameter "agein"' error.txt
status=0
trainyard-sim replay --trace trace.csv --nodes 4 --policy las-r --set aging 2>error.txt >/dev/null || status=$?
[[ $status == 2 ]]
echo "replay: all as documented"
