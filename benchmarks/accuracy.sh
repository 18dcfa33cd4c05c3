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

rm -f docs/tables/accuracy/*.csv $page
mkdir -p build/accuracy
heading() { printf '\n# %s\n\n%s\n\n' "$1" "$2" >> $page; }
# Evaluates cases under a heading: the summary goes into the page, each registration into a table of build/accuracy.
evaluate() { # NAME HEADING TEXT WORDS...
  heading "$2" "$3"
  mvreg evaluate "${@:4}" --csv "build/accuracy/$1.csv" > /dev/null
  benchmarks summary "build/accuracy/$1.csv" >> $page
}
heading "Accuracy" "Written by \`benchmarks/accuracy.sh\`; do not edit by hand. $(date -I), $(mvreg --version), $(uname -m) with $(nproc) threads.
Success: final mTRE under 1 mm, with its 95 % Wilson interval. Capture range: the start mTRE up to which every interval of 2 mm succeeds in at least 95 %.
A group is the cases whose names differ by a running number only. Seconds: median."
evaluate given "Accuracy from a given start" "$about" "$cases"/*/ "${simulated[@]}" "${real[@]}" --starts 11
evaluate search "Accuracy of a search, 18 degrees and 55 mm" "" "${several[@]}" --search 18 55 --starts 4
evaluate wide "Accuracy of a search, 35 degrees and 100 mm" "" "$cases"/*-[23]view-*0[01]/ "${simulated[@]}" --search 35 100 --starts 4
if ((${#real[@]})); then
  evaluate wrist "Search of the wrist" "" "${real[@]}" --search 16 16 --starts 12 --perturb 16 16
fi
# The papers' refinements, minutes each: one start for each of a few cases, and the program's own from the same starts.
for refinement in joint xvr diffpose cui2025; do
  evaluate $refinement "Baselines: $refinement" "" "$cases"/chest-2view-90-00/ "${simulated[@]:1:1}" --starts 1 --max-start-error 20 --refine $refinement
done
heading "Protocol" 'CTs: that of `make demo` (chest), the Visible Human female (pelvis), `torso_3mm`, `thorax_stent` and the head of the shared data.'
benchmarks protocol 0 --rows build/protocol.jsonl --page $page > /dev/null
