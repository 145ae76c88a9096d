#!/usr/bin/env bash
# Resolves the exact direct pins of pyproject.toml in a fresh environment outside the repository and
# writes every package that this brings, with its version, to requirements.lock.
# Usage: scripts/lock.sh        (STUDY_PYTHON names the interpreter; python3.11 by default)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${STUDY_PYTHON:-python3.11}" -m venv "$folder/env"
python=$folder/env/bin/python
direct() { "$python" - "$root/pyproject.toml" "$1" <<'PY'
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    table = tomllib.load(file)
pins = table["build-system"]["requires"] + table["project"]["dependencies"]
for extra in table["project"]["optional-dependencies"].values():
    pins += extra
first = [pin for pin in pins if pin.startswith("torch==")]
print("\n".join(first if sys.argv[2] == "torch" else pins))
PY
}
# torch goes first and alone: a resolver that sees the pin only late may fetch a second build.
direct torch > "$folder/torch.txt"
direct all > "$folder/all.txt"
"$python" -m pip install --quiet --no-compile -r "$folder/torch.txt"
"$python" -m pip install --quiet --no-compile -r "$folder/all.txt"
# A local suffix such as +cpu names a build, not a version: the lock must fit every build.
{
  echo "# Exact direct and transitive pins; written by scripts/lock.sh from pyproject.toml."
  "$python" -m pip freeze --all --exclude-editable --exclude pip --exclude wheel |
    sed 's/+[A-Za-z0-9.]*$//' | LC_ALL=C sort -f
} > "$folder/requirements.lock"
mv "$folder/requirements.lock" "$root/requirements.lock"
echo "requirements.lock: $(grep -c '==' "$root/requirements.lock") packages"
