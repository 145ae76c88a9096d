#!/usr/bin/env bash
# Command 2: sets up what is missing, then runs the test suite. Arguments go to pytest; --conda as in run_all.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

route=venv
arguments=()
workers=(-n 2)
for argument in "$@"; do
  case $argument in
    -h | --help) echo "Usage: tests/run.sh [--conda] [pytest arguments]   (two workers unless -n is given)"; exit 0 ;;
    --conda) route=conda; continue ;;
    -n | -n?* | --numprocesses*) workers=() ;;
  esac
  arguments+=("$argument")
done

source "$here/../scripts/setup.sh"
study_setup "$route"
cd "$study_root"

# Real benchmark data and models are optional; a test that needs an absent one is skipped with its reason.
if [ -d "$study_root/../shared/data" ]; then
  shared=$(cd "$study_root/../shared" && pwd)
  export DEBIAS_DATA_MIRROR="${DEBIAS_DATA_MIRROR:-$shared/data}"
  export DEBIAS_MODEL_MIRROR="${DEBIAS_MODEL_MIRROR:-$shared/models}"
fi
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1
exec "$study_python" -m pytest ${workers[@]+"${workers[@]}"} ${arguments[@]+"${arguments[@]}"}
