#!/usr/bin/env bash
# Item by item the same scores as lm-evaluation-harness: copies the study's environment, adds the harness
# to the copy and runs the comparison there. Outside the study's own environment because it brings
# packages that transformers would import in every process of a run.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case ${1:-} in
  -h | --help) echo "Usage: tests/harness.sh [pytest arguments]   (needs the network; three minutes)"; exit 0 ;;
esac

source "$here/../scripts/setup.sh"
study_setup venv
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp -r "$(dirname "$(dirname "$study_python")")/." "$copy"
env -u PYTHONPATH "$copy/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
  -c "$study_root/requirements.lock" lm-eval==0.4.13
"$copy/bin/python" -c "import lm_eval"  # or its tests would be skipped
STUDY_VENV=$copy "$here/run.sh" -n0 tests/measures/benchmarks/test_measures_benchmarks_harness.py \
  tests/measures/benchmarks/test_measures_benchmarks_bbq.py "$@"
