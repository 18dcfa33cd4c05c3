#!/bin/sh
# Measure what a graphics card is worth, beside the processor of the same machine, in some ten minutes:
#   DEVICE=cuda benchmarks/card.sh CASE.json BONES_CASE.json FOLDER
# CASE.json has one body and a truth, BONES_CASE.json bones (seven vertebrae). FOLDER gets card.md.
# PYTHON, MVREG, REPEATS (5), STEPS of training (1300), and SPEED=no, which leaves out nanodrr and images a second.
set -eu
case_file=$1
bones_file=$2
out=$3
device=${DEVICE:-cuda}
python=${PYTHON:-.venv/bin/python}
mvreg=${MVREG:-.venv/bin/mvreg}
repeats=${REPEATS:-5}
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
        "$@" > "$out/last.log" 2>&1 || { cat "$out/last.log" >&2; exit 1; }
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

export TRITON_CACHE_DIR="$out/triton"  # so that the first time ever is one
rm -rf "$TRITON_CACHE_DIR"
row "import torch" "$repeats" "$python" -c "import torch"
row "mvreg register, processor" "$repeats" "$mvreg" register "$case_file" --device cpu --out "$out/cpu"
row "mvreg register, $device, first time ever" 1 "$mvreg" register "$case_file" --device "$device" --out "$out/card"
row "mvreg register, $device, later" "$repeats" "$mvreg" register "$case_file" --device "$device" --out "$out/card"
inside "one image, and its gradient by the pose" '
if where not in globals():
    globals()[where] = mvreg.DifferentiableRenderer(case.ct, where)
    start = case.world_from_ct
    start = mvreg.register(case).world_from_ct if start is None else start
pose = torch.from_numpy(start).clone().requires_grad_()
globals()[where](case.views[0].pooled(4).camera, pose).sum().backward()'
inside "api.register with verdict" 'mvreg.register(case, device=where)'
inside "api.register of the bones with verdicts" 'mvreg.register(bones, device=where)'
rm -rf "$out/model"
row "training of ${STEPS:-1300} steps" 1 "$mvreg" train "$case_file" --steps "${STEPS:-1300}" --device "${TRAINS_ON:-$device}" --out "$out/model"
tail -3 "$out/last.log" >> "$table"
if [ "${SPEED:-yes}" = yes ]; then
    "$python" -m benchmarks speed --device "$device" --page "$out/speed.md"
fi
echo "written: $table"
