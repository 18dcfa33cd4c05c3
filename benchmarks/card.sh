#!/bin/sh
# Measure what a graphics card is worth, beside the processor of the same machine, in some ten minutes:
#   DEVICE=cuda benchmarks/card.sh CASE.json BONES_CASE.json FOLDER
# CASE.json has one body and a truth, BONES_CASE.json bones (seven vertebrae). FOLDER gets tables alone: card.md, and speed-NAME.md.
# PYTHON, REPEATS (5), STEPS of training (1300), and SPEED, cases with a truth whose images a second are measured
# beside nanodrr's (CASE.json; a chest beside a pelvis; "" leaves them out). Nothing is fetched.
set -eu
case_file=$1
bones_file=$2
out=$3
device=${DEVICE:-cuda}
python=${PYTHON:-.venv/bin/python}
mvreg="$python -m MultiViewRegistrationLib.cli.main"
repeats=${REPEATS:-5}
work=$(mktemp -d)
mkdir -p "$out"
table=$out/card.md
printf '| | seconds, each time |\n| --- | --- |\n' > "$table"

row() {  # NAME TIMES COMMAND...: the wall time of each run
    name=$1
    times=$2
    shift 2
    seconds=""
    for _ in $(seq "$times"); do
        began=$(date +%s.%N)
        "$@" > "$work/last.log" 2>&1 || { cat "$work/last.log" >&2; seconds="$seconds failed"; break; }
        seconds="$seconds $(echo "$(date +%s.%N) $began" | awk '{printf "%.2f", $1 - $2}')"
    done
    echo "| $name |$seconds |" | tee -a "$table"
}

inside() {  # NAME CODE: times of CODE in one process, of which the first is apart
    "$python" - "$1" "$device" "$case_file" "$bones_file" "$repeats" "$2" <<'PYTHON' | tee -a "$table"
import sys
from time import perf_counter

name, device, case_file, bones_file, repeats, code = sys.argv[1:]
began = perf_counter()
import torch

import mvreg

imported = perf_counter() - began
cases = {path: mvreg.Case.load(path) for path in {case_file, bones_file}}
case, bones = cases[case_file], cases[bones_file]
work = compile(code, "code", "exec")
for where in ("cpu", device):
    times = []
    for _ in range(int(repeats) + 1):
        began = perf_counter()
        exec(work)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(perf_counter() - began)
    told = " ".join(f"{each:.4f}" for each in times[1:])
    print(f"| {name}, {where}; first {times[0]:.2f} (imports {imported:.2f}) | {told} |")
PYTHON
}

export TRITON_CACHE_DIR="$work/triton"  # so that the first time ever is one
row "import torch" "$repeats" "$python" -c "import torch"
row "mvreg register, processor" "$repeats" $mvreg register "$case_file" --device cpu --out "$work/cpu"
row "mvreg register, $device, first time ever" 1 $mvreg register "$case_file" --device "$device" --out "$work/card"
row "mvreg register, $device, later" "$repeats" $mvreg register "$case_file" --device "$device" --out "$work/card"
inside "one image, and its gradient by the pose" '
if where not in globals():
    globals()[where] = mvreg.DifferentiableRenderer(case.ct, where)
    start = case.world_from_ct
    start = mvreg.register(case).world_from_ct if start is None else start
pose = torch.from_numpy(start).clone().requires_grad_()
globals()[where](case.views[0].pooled(4).camera, pose).sum().backward()'
refining='
if "refine" not in globals():
    from MultiViewRegistrationLib.registration.optimizer import Range
    from MultiViewRegistrationLib.registration.pipeline import refine
    anatomy = mvreg.PreparedCT(case.ct)
    start = case.world_from_ct
    start = mvreg.register(case).world_from_ct if start is None else start
there = anatomy if where == "cpu" else anatomy.on_device(where)
refine(there, case.views, start'
inside "registration from a start, without a verdict" "$refining)"
inside "registration with a search, without a verdict" "$refining, reach=Range(**case.search_range))"
inside "api.register with verdict" 'mvreg.register(case, device=where)'
inside "api.register of the bones with verdicts" 'mvreg.register(bones, device=where)'
row "training of ${STEPS:-1300} steps" 1 $mvreg train "$case_file" --steps "${STEPS:-1300}" --device "${TRAINS_ON:-$device}" --out "$work/model"
tail -3 "$work/last.log" >> "$table"
for each in ${SPEED-$case_file}; do
    name=$(basename "$(dirname "$each")")
    "$python" -m benchmarks speed --device "$device" --case "$each" --only "${ONLY:-render}" --page "$work/speed-$name.md" || true
    cp "$work/speed-$name.md" "$out" || true
done
rm -rf "$work"
echo "written: $table"
