#!/usr/bin/env bash
# Compiles every *.in of this folder to a hash-pinned *.txt. All of them agree with each other,
# because each is compiled under the constraint of one resolution of all of them together.
# Needs `uv` on PATH (or UV=/path/to/uv). Pass --upgrade to move pins.
set -euo pipefail
cd "$(dirname "$0")"
uv=${UV:-uv}
together=$(mktemp -d)
trap 'rm -rf "$together"' EXIT
sets=(run privacy reports litellm test lint build)
options=(--universal --no-emit-index-url --no-emit-find-links --no-header --quiet)

if [[ ${1:-} != --upgrade ]] && compgen -G '*.txt' >/dev/null; then
    # What is pinned stays pinned: the old files are read as preferences.
    grep -hE '^[a-z0-9]' [!m]*.txt | sed 's/ \\$//' | sort -u >"$together/all.txt"
fi
"$uv" pip compile "${options[@]}" --python-version 3.11 "${sets[@]/%/.in}" --output-file "$together/all.txt"
for set in "${sets[@]}"; do
    "$uv" pip compile "${options[@]}" --python-version 3.11 --generate-hashes --constraint "$together/all.txt" \
        --annotation-style line --upgrade "$set.in" --output-file "$set.txt"
    # Leave out that each pin also came by way of the shared constraint.
    sed -i -E 's# -c [^ ,]*all\.txt,##; s#,? -c [^ ,]*all\.txt$##; /^ *# via$/d' "$set.txt"
done
# The model is data: no dependencies, and its Python bound is set aside (see model-en.in).
"$uv" pip compile "${options[@]}" --python-version 3.12 --no-deps --generate-hashes \
    --annotation-style line --upgrade model-en.in --output-file model-en.txt
