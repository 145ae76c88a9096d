#!/usr/bin/env bash
# Command 1: sets up what is missing, then runs the whole study. A thin door to `side-effects run`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() {
  cat <<'TEXT'
Usage: ./run_all.sh [--conda] [options]

Sets up what is missing (an environment with exactly the packages of requirements.lock), then runs
the study's notebooks in order. Finished work is kept: run it again and it continues.

  --profile NAME    settings of the run: a file in profiles/ (default: sandbox)
  --only 03         run this notebook alone; --only 01,03 runs two
  --from 02         run from this notebook on
  --fresh           delete this profile's results and start over
  -p, --parameter NAME=VALUE
                    change one setting of the profile, for example -p finetune.rank=8
  --scheduler ADDRESS
                    let the workers of a Dask cluster train and measure
  --verify          read all bytes of stored artefacts, not only their sizes and times
  --list            show profiles, notebooks and how long they took, and end
  --conda           set up with conda, mamba or micromamba from environment.yml
  -h, --help        show this text; sets nothing up

Other commands: activate the environment (source .venv/bin/activate), then side-effects --help.

Environment variables: STUDY_RUNS (folder of results, default runs/), STUDY_VENV (folder of the
environment, default .venv), STUDY_PYTHON (interpreter it is made from), TORCH_INDEX_URL (package
index for torch alone, for GPU builds).
TEXT
}

route=venv
arguments=()
for argument in "$@"; do
  case $argument in
    -h | --help) usage; exit 0 ;;
    --conda) route=conda ;;
    *) arguments+=("$argument") ;;
  esac
done

source "$here/scripts/setup.sh"
study_setup "$route"
exec "$study_python" -m tools run ${arguments[@]+"${arguments[@]}"}
