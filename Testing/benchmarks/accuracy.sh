#!/usr/bin/env bash
# Writes docs/accuracy.md: makes the simulated cases in build/cases, then evaluates them, those of the shared data and the wrist.
# About 25 minutes on 2 cores. The pelvis, the cases of other simulations and the wrist need the folder shared/data beside the project.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${PYTHON:-.venv/bin/python}
mvreg() { "$python" -c 'import sys; from MultiViewRegistrationLib.cli import main; sys.exit(main())' "$@"; }
export PYTHONPATH=MultiViewRegistration${PYTHONPATH:+:$PYTHONPATH}

data=../shared/data cases=build/cases anatomies=(chest)
[[ -d $data ]] && anatomies+=(pelvis)
if [[ ! -d $cases ]]; then
  seed=1
  for anatomy in "${anatomies[@]}"; do
    make_cases() { "$python" Testing/benchmarks/make_cases.py "$cases.part" --anatomy "$anatomy" "$@"; }
    make_cases --separation 90 35-55 --count 8 --seed $seed
    make_cases --separation 90 35-55 --count 6 --seed $((seed + 30)) --fields round --wires
    make_cases --separation 35-55 --count 4 --seed $((seed + 40)) --fields straight
    make_cases --separation 35-55 --count 6 --seed $((seed + 10)) --views 3 --fields round --wires
    make_cases --count 4 --seed $((seed + 20)) --views 1
    seed=$((seed + 1))
  done
  mv "$cases.part" "$cases"
fi
shopt -s nullglob
real=("$data"/wrist/radius_*.json "$data"/wrist/ulna_0099.json "$data"/wrist/ulna_0158.json)
[[ -d $data ]] || real=()
mvreg evaluate "$cases"/*/ "$data"/sim/*/ "${real[@]}" --starts 22 --page docs/accuracy.md "$@"
