#!/usr/bin/env bash
# Writes docs/tables/accuracy.md: makes the simulated cases in build/cases, then evaluates them, those of the shared data and the wrist.
# About an hour on 2 cores, most of it the baselines, and before that the protocol, which takes hours: Ctrl-C, and it goes on another time. The pelvis, the cases of other simulations and the wrist need the folder shared/data beside the project: docs/datasets.md says how to make it.
# What it does not write, of real X-rays with a bone added and by gVirtualXray, was measured once: put it back by hand.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-.venv/bin/python}
mvreg() { "$python" -c 'import sys; from MultiViewRegistrationLib.cli.main import main; sys.exit(main())' "$@"; }
benchmarks() { "$python" -m benchmarks "$@"; }
export PYTHONPATH=MultiViewRegistration${PYTHONPATH:+:$PYTHONPATH}

data=../shared/data cases=build/cases anatomies=(chest)
[[ -d $data ]] && anatomies+=(pelvis)
if [[ ! -d $cases ]]; then
  seed=1
  for anatomy in "${anatomies[@]}"; do
    make_cases() { benchmarks make_cases "$cases.part" --anatomy "$anatomy" "$@"; }
    make_cases --separation 90 35-55 --count 8 --seed $seed
    make_cases --separation 90 35-55 --count 6 --seed $((seed + 30)) --with round wires
    make_cases --separation 35-55 --count 4 --seed $((seed + 40)) --with straight
    make_cases --separation 35-55 --count 6 --seed $((seed + 10)) --views 3 --with round wires
    make_cases --count 4 --seed $((seed + 20)) --views 1
    make_cases --separation 90 35-55 --count 3 --seed 60 --truncated
    make_cases --separation 90 35-55 --count 3 --seed 61 --with shutters
    make_cases --separation 90 35-55 --count 3 --seed 62 --with metal
    seed=$((seed + 1))
  done
  mv "$cases.part" "$cases"
fi
shopt -s nullglob
simulated=("$data"/sim/*/)
real=("$data"/wrist/radius_*.json "$data"/wrist/ulna_0099.json "$data"/wrist/ulna_0158.json)
[[ -d $data ]] || simulated=() real=()
several=("$cases"/*-[23]view-*/ "${simulated[@]}")
page=docs/tables/accuracy.md
about='`benchmarks/accuracy.sh` makes the cases and writes this page. Chest: the CT of `make demo`. Pelvis: the Visible Human female,
1 mm. Their X-rays come from RTK'"'"'s Joseph projector, not from this program'"'"'s own, with a six-bin spectrum, water and bone apart, scatter,
noise, blur, an unknown gain, a principal point off centre, half of them mirrored, and a body that goes on beyond the CT. Groups are named
by anatomy, number of views, the angle between them in degrees, and what makes them hard: round fields, straight collimation, two wires
and a screw, a CT cut off sideways within the body, asymmetrical shutters over 25 to 45 % of each image, a hip prosthesis or rods and screws
that are not in the CT. `pelvis-lateral`, `-oblique` and `-three-views-wires` come from another simulation, whose body beyond the CT is its end slices
repeated. The wrist is real: biplane radiographs of a cadaver, one CT for each bone.'

chest=$("$python" -c 'from MultiViewRegistrationLib.io.datasets.chest import chest_ct; print(chest_ct())')
mkdir -p build/cts
cp "$chest" build/cts/chest.nii.gz
protocol=(build/cts/chest.nii.gz)
if [[ -d $data ]]; then
  "$python" - "$data/scout/ct" build/cts/head.nii.gz <<'END'
import sys
import SimpleITK as sitk
reader = sitk.ImageSeriesReader()
reader.SetFileNames(reader.GetGDCMSeriesFileNames(sys.argv[1]))
image = sitk.Cast(reader.Execute(), sitk.sitkInt16)
for key in image.GetMetaDataKeys():
    image.EraseMetaData(key)
sitk.WriteImage(image, sys.argv[2], True)
END
  protocol+=("$data"/pelvis/pelvis.nii.gz "$data"/ct/torso_3mm.nii.gz "$data"/ct/thorax_stent.nii.gz build/cts/head.nii.gz)
fi
benchmarks protocol 10000 --cts "${protocol[@]}" --seed 6 --rows build/protocol.jsonl > /dev/null

rm -f docs/tables/accuracy/{chest,pelvis,radius,ulna}*.jpg docs/tables/accuracy/*.csv
mvreg evaluate "$cases"/*/ "${simulated[@]}" "${real[@]}" --starts 11 --title "Accuracy from a given start" --description "$about" --page $page
mvreg evaluate "${several[@]}" --search 18 55 --starts 4 --title "Accuracy of a search, 18 degrees and 55 mm" --page $page --append
mvreg evaluate "$cases"/*-[23]view-*0[01]/ "${simulated[@]}" --search 35 100 --starts 4 \
  --title "Accuracy of a search, 35 degrees and 100 mm" --page $page --append
if ((${#real[@]})); then
  mvreg evaluate "${real[@]}" --search 16 16 --starts 12 --perturb 16 16 --title "Search of the wrist" --page $page --append
fi
# The papers' refinements, minutes each: one start for each of a few cases, and the program's own from the same starts.
for refinement in joint xvr diffpose cui2025; do
  mvreg evaluate "$cases"/chest-2view-90-00/ "${simulated[@]:1:1}" --starts 1 --max-start-error 20 --refine $refinement \
    --title "Baselines: $refinement" --page $page --append
done
heading() { printf '\n# %s\n\n%s\n' "$1" "$2" >> $page; }
heading "Protocol" 'CTs: that of `make demo` (chest), the Visible Human female (pelvis), `torso_3mm`, `thorax_stent` and the head of the shared data.'
benchmarks protocol 0 --rows build/protocol.jsonl --page $page > /dev/null
