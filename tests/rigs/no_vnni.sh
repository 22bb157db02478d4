#!/bin/bash
# Show what processors without VNNI make of int8 models, under emulation: which formats they count right
# (formats.py), and the shipped bundle's self-test on each engine. Needs root, Debian and its package
# registry, on x86-64; about two minutes. Not part of the tests.
#
#   tests/rigs/no_vnni.sh FOLDER    FOLDER holds the emulator; made when missing, 70 MB
#
# Haswell has AVX2 without VNNI, Nehalem SSE 4.2 only.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(realpath -m "${1:?name a folder for the emulator}")
python=${PYTHON:-$here/.venv/bin/python}
emulator=$folder/usr/bin/qemu-x86_64
newer=trixie   # the emulator of Debian 12 is too old for newer releases of onnxruntime

fetch_emulator() {   # with an apt state of its own: nothing of this machine's changes
  local state mirror
  state=$(mktemp -d)
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | head -n 1)
  mkdir -p "$folder" "$state/lists/partial" "$state/cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $newer main" > "$state/list"
  local options=(-o "Dir::Etc::sourcelist=$state/list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$state/lists"
    -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root -qq)
  apt-get "${options[@]}" update
  (cd "$state" && apt-get "${options[@]}" download qemu-user && dpkg-deb -x qemu-user_*.deb "$folder")
  rm -rf "$state"
}

[ -x "$emulator" ] || fetch_emulator
cd "$here"
for processor in Haswell Nehalem; do
  echo "== $processor"
  "$emulator" -cpu "$processor" "$python" tests/rigs/formats.py 2> "$folder/warnings"
  for engine in onnx litert openvino; do
    if ! "$emulator" -cpu "$processor" "$python" -m edge_agent.cli.agent bundle test \
      models/simulated_line.bundle --engine "$engine" 2> "$folder/warnings"; then
      tail -n 1 "$folder/warnings"
    fi
  done
done
