#!/usr/bin/env bash
# Writes docs/accuracy.md: makes the simulated cases in build/cases, then evaluates them, those of the shared data and the wrist.
# About half an hour on 2 cores. The pelvis, the cases of other simulations and the wrist need the folder shared/data beside the project.
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
    make_cases --separation 90 35-55 --count 3 --seed 60 --truncated sideways
    make_cases --separation 90 35-55 --count 3 --seed 61 --fields shutters
    make_cases --separation 90 35-55 --count 3 --seed 62 --metal
    seed=$((seed + 1))
  done
  mv "$cases.part" "$cases"
fi
shopt -s nullglob
simulated=("$data"/sim/*/)
real=("$data"/wrist/radius_*.json "$data"/wrist/ulna_0099.json "$data"/wrist/ulna_0158.json)
[[ -d $data ]] || simulated=() real=()
about='`Testing/benchmarks/accuracy.sh` makes the cases and writes this page. Chest: the CT of `make demo`. Pelvis: the Visible Human female,
1 mm. Their X-rays come from RTK'"'"'s Joseph projector, not from this program'"'"'s own, with a six-bin spectrum, water and bone apart, scatter,
noise, blur, an unknown gain, a principal point off centre, half of them mirrored, and a body that goes on beyond the CT. Groups are named
by anatomy, number of views, the angle between them in degrees, and what makes them hard: round fields, straight collimation, two wires
and a screw, a CT cut off sideways within the body, asymmetrical shutters over 25 to 45 % of each image, a hip prosthesis or rods and screws
that are not in the CT. `pelvis-lateral`, `-oblique` and `-three-views-wires` come from another simulation, whose body beyond the CT is its end slices
repeated. The wrist is real: biplane radiographs of a cadaver, one CT for each bone.'
mvreg evaluate "$cases"/*/ "${simulated[@]}" "${real[@]}" --starts 22 --about "$about" --page docs/accuracy.md "$@"
