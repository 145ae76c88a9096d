# Shared set-up of run_all.sh and tests/run.sh: finds or makes the environment that holds exactly the
# packages of requirements.lock, and leaves its interpreter in $study_python. Sourced, not run.
#
#   study_setup venv|conda
#
# Order of the venv route: STUDY_VENV if set; else an active environment that satisfies the lock;
# else .venv. Variables: STUDY_VENV (place of the environment), STUDY_PYTHON (interpreter it is made
# from), TORCH_INDEX_URL (package index for torch alone, for GPU builds).
# A stamp inside the environment says that its installation was completed, for which lock, so that a
# later run does no work, and a run after an interrupted one goes on.

study_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
study_python=

# Packages are installed uncompiled, and a process compiles what it imports once and for all. Where the
# caller has switched that off, torch, transformers and peft take each process 30 s instead of 10.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*" >&2; }

# fail EXPECTED FOUND FIX: the same three-part message as lib.errors, then exit.
fail() { say "Expected $1. Found $2. What to do: $3."; exit 1; }

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

# The stamp's text: interpreter, place of the repository, lock and metadata. Any change of them reruns pip.
stamp_text() {
  "$1" -c 'import sys; print(sys.version)' && echo "checkout: $study_root" && echo "torch from: ${TORCH_INDEX_URL:-}" &&
    cat "$study_root/requirements.lock" "$study_root/pyproject.toml" | cksum
}

is_complete() {
  [ -x "$1/bin/python" ] && [ -f "$1/study-stamp" ] &&
    [ "$(stamp_text "$1/bin/python" 2>/dev/null)" = "$(cat "$1/study-stamp")" ]
}

find_python() {
  local name found=
  # The reference run's version first. A name may exist and yet not run (version managers' shims).
  for name in ${STUDY_PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
    if new_enough "$name"; then command -v "$name"; return; fi
    command -v "$name" >/dev/null 2>&1 && found="$found${found:+, }$("$name" -V 2>&1 | head -n 1)"
  done
  fail "Python 3.11 or newer on the PATH" "${found:-no Python}" \
    "install one, name one in STUDY_PYTHON=/path/to/python3.11, or use --conda where conda is available"
}

# explain LOG ACTION: what a failed installation most likely means; the log's last lines first.
explain() {
  local fix="read the lines above; the whole log is $1"
  say "--- last lines of $1"; grep -v '^WARNING: Location' "$1" | tail -n 12 >&2; say "---"
  if grep -qi 'no space left' "$1"; then fix="free some disk space (the environment needs about 2 GB) and run again; it continues"
  elif grep -qiE 'read-only file system|permission denied' "$1"; then fix="make the folder writable, or set STUDY_VENV=/another/folder"
  elif grep -qiE 'ensurepip|python3[0-9.]*-venv|no module named .?(venv|pip)' "$1"; then
    fix="this Python comes without venv: install your system's package for it (on Debian and Ubuntu python3-venv, with this Python's version, such as python3.11-venv), name another Python in STUDY_PYTHON, or use --conda"
  elif grep -qiE 'requires a different python|requires-python' "$1"; then fix="use Python 3.11, named in STUDY_PYTHON, or --conda"
  elif grep -qiE 'name resolution|connection|timed out|max retries|no matching distribution|network|offline' "$1"; then
    fix="check the network and pip's index settings, then run again; it continues"
  fi
  fail "$2 to succeed" "an error" "$fix"
}

# logged LOG ACTION COMMAND...: runs the command quietly with one moving line of progress.
logged() {
  local log=$1 action=$2 started=$SECONDS last=-1 collected note pid; shift 2
  "$@" > "$log" 2>&1 & pid=$!
  trap 'kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; rm -f "$log"; say; say "Interrupted; run again to continue."; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.1
    collected=$(grep -c '^Collecting' "$log" || true)
    note="$action: $((SECONDS - started)) s"
    if grep -q '^Installing collected' "$log"; then note="$note, writing files"
    elif [ "$collected" -gt 0 ]; then note="$note, $collected found"; fi
    if [ -t 2 ]; then printf '\r\033[K%s' "$note" >&2
    elif [ $((SECONDS / 15)) -ne "$last" ]; then last=$((SECONDS / 15)); say "$note"; fi
  done
  [ -t 2 ] && printf '\r\033[K' >&2
  trap - INT TERM
  wait "$pid" || explain "$log" "$action"
}

# One set-up at a time in a checkout: a second one waits, then finds the work done. pip inherits the
# lock, so it also waits for the pip of a script that was killed. Where there is no flock, no lock.
take_turn() {
  command -v flock >/dev/null 2>&1 || return 0
  exec 9< "$study_root/requirements.lock"
  flock -n 9 && return
  [ $? -ne 1 ] || say "Another set-up of this checkout is running: waiting until it ends."
  flock 9 || true
}

# An environment holds links to one checkout's code; it is not turned to another one's behind its back.
require_own() {
  local other
  other=$(sed -n 's/^checkout: //p' "$1/study-stamp" 2>/dev/null) || return 0
  case $1/ in "$study_root"/*) return 0 ;; esac  # its own, or copied along with the checkout
  [ -z "$other" ] || [ "$other" = "$study_root" ] || [ ! -f "$other/requirements.lock" ] ||
    fail "an environment of this checkout, or a new folder, at $1" "the environment of the checkout $other" \
      "name another folder in STUDY_VENV, or leave it unset to use $study_root/.venv"
}

# A folder that is not an environment is never cleared, whatever STUDY_VENV says.
require_place() {
  local env=$1 marker=$2
  mkdir -p "$env" 2>/dev/null && [ -w "$env" ] || fail "a folder that can be written at $env" \
    "a read-only place or a file" "copy the repository to a place of yours, or set STUDY_VENV=/another/folder"
  [ -z "$(ls -A "$env")" ] || [ -e "$env/$marker" ] || fail "an environment or an empty folder at $env" \
    "other files" "name another folder in STUDY_VENV, or remove this one if nothing in it is needed"
}

install_packages() {
  local env=$1 log=$2 lock=$study_root/requirements.lock pip
  pip=(env -u PYTHONPATH "$env/bin/python" -m pip install --no-input --disable-pip-version-check
       --progress-bar off --no-compile)
  "$env/bin/python" -m tools.environment --resume
  if [ -n "${TORCH_INDEX_URL:-}" ] && [ -f "$env/pyvenv.cfg" ]; then
    logged "$log" "Installing torch from TORCH_INDEX_URL" \
      "${pip[@]}" --index-url "$TORCH_INDEX_URL" --force-reinstall --no-deps "$(grep '^torch==' "$lock")"
  fi
  logged "$log" "Installing $(grep -c == "$lock") packages" "${pip[@]}" -r "$lock"
  logged "$log" "Installing the study's own package" "${pip[@]}" --no-deps --no-build-isolation -e "$study_root"
  stamp_text "$env/bin/python" > "$env/study-stamp.part" && mv "$env/study-stamp.part" "$env/study-stamp"
}

# set_up ENV MAKER: runs the maker of one route, then installs, unless the environment is complete.
set_up() {
  local env=$1 maker=$2 started=$SECONDS log
  study_python=$env/bin/python
  is_complete "$env" && return
  require_own "$env"
  take_turn
  if ! is_complete "$env"; then
    log=$(mktemp) || fail "room for a log in the temporary folder (TMPDIR)" "a full or read-only disk" "free some disk space"
    "$maker" "$env" "$log"
    install_packages "$env" "$log"
    rm -f "$log"
    say "Set up in $((SECONDS - started)) s"
  fi
  exec 9<&-
}

make_venv() {
  local env=$1 log=$2 base
  base=$(find_python) || exit 1
  require_place "$env" pyvenv.cfg
  say "Setting up $env with $("$base" -V) (once; an interrupted set-up continues)"
  # An environment of another Python, or one without a working pip, is made anew.
  if ! new_enough "$env/bin/python" || ! "$env/bin/python" -m pip --version >/dev/null 2>&1; then
    logged "$log" "Making the environment" "$base" -m venv --clear "$env"
  fi
}

make_conda() {
  local env=$1 log=$2 tool="" name
  for name in mamba conda micromamba; do command -v "$name" >/dev/null 2>&1 && { tool=$name; break; }; done
  [ -n "$tool" ] || fail "conda, mamba or micromamba on the PATH for --conda" "none of them" \
    "install one, or leave --conda out to use Python's own venv"
  require_place "$env" conda-meta
  say "Setting up $env with $tool from environment.yml (once; an interrupted set-up continues)"
  # Exact pins decide every version, so a second index can only offer other builds of torch.
  [ -z "${TORCH_INDEX_URL:-}" ] || export PIP_EXTRA_INDEX_URL="$TORCH_INDEX_URL ${PIP_EXTRA_INDEX_URL:-}"
  if ! "$env/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$env"
    logged "$log" "Making the conda environment" create_conda "$tool" "$env"
  fi
  echo '*' > "$env/.gitignore"
}

create_conda() {
  case $1 in
    micromamba) micromamba create --yes --prefix "$2" --file "$study_root/environment.yml" ;;
    *) "$1" env create --prefix "$2" --file "$study_root/environment.yml" ;;
  esac
}

# Sets study_python to the active environment's interpreter if that satisfies the lock.
use_active() {
  local active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}} report
  [ -n "$active" ] && [ "$active" != "$study_root/.venv" ] && new_enough "$active/bin/python" || return 1
  if report=$("$active/bin/python" -m tools.environment); then
    study_python=$active/bin/python
  else
    is_complete "$study_root/.venv" || say "The active environment lacks what the study needs, so .venv is used. $report"
    return 1
  fi
}

study_setup() {
  # So that kernels and workers import this checkout's lib, whatever else is installed, while the
  # user's working directory, from which paths on the command line are meant, stays.
  export PYTHONPATH="$study_root${PYTHONPATH:+:$PYTHONPATH}"
  case ${STUDY_VENV:-/} in /*) ;; *) STUDY_VENV=$PWD/$STUDY_VENV ;; esac
  if [ "$1" = conda ]; then set_up "${STUDY_VENV:-$study_root/.conda}" make_conda
  elif [ -n "${STUDY_VENV:-}" ]; then set_up "$STUDY_VENV" make_venv
  elif ! use_active; then set_up "$study_root/.venv" make_venv; fi
  # The environment's programs (jupyter) first, so that the kernel is this interpreter.
  PATH="$(dirname "$study_python"):$PATH"; export PATH
}
