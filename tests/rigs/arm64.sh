#!/bin/bash
# Show what arm64 makes of int8 models, under emulation: which formats it counts right (formats.py), with
# and without the dot product instructions, and the shipped bundle's self-test on each engine. Needs root,
# Debian, and its package registry and PyPI; about three minutes. Not part of the tests.
#
#   tests/rigs/arm64.sh FOLDER    FOLDER holds the arm64 system; made when missing, 1.2 GB
#
# Debian 12's own qemu (7.2) crashes onnxruntime from 1.28 on, so a newer one is unpacked beside it.
set -euo pipefail

here=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(realpath -m "${1:?name a folder for the arm64 system}")
root=$folder/root
newer=trixie
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | head -n 1)

fetch_qemu() {   # with an apt state of its own: nothing of this machine's changes
  local state
  state=$(mktemp -d)
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $newer main" > "$state/list"
  local options=(-o "Dir::Etc::sourcelist=$state/list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$state/lists"
    -o "Dir::Cache=$state/cache" -o APT::Sandbox::User=root -qq)
  apt-get "${options[@]}" update
  (cd "$state" && apt-get "${options[@]}" download qemu-user && dpkg-deb -x qemu-user_*.deb "$state/unpacked")
  cp "$state/unpacked/usr/bin/qemu-aarch64" "$root/usr/bin/qemu-aarch64-static"
  rm -rf "$state"
}

make_system() {
  mkdir -p "$folder"
  debootstrap --foreign --arch arm64 --variant=minbase --include=python3,libgomp1 bookworm "$root" "$mirror"
  for package in "$root"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$root"; done
  fetch_qemu
  python3 -m pip install --quiet --target "$root/site" --constraint "$here/deploy/lock.txt" \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
    --python-version 3.11 --only-binary :all: \
    numpy onnxruntime opencv-python-headless msgspec paho-mqtt backports.zstd rich typer ai-edge-litert onnx
}

[ -x "$root/usr/bin/qemu-aarch64-static" ] || make_system
rm -rf "$root/app" && mkdir "$root/app"
cp -r "$here/edge_agent" "$here/models" "$here/calibration" "$here/tests" "$root/app/"
for each in proc dev sys; do mount --bind "/$each" "$root/$each"; done
trap 'umount "$root/proc" "$root/dev" "$root/sys"' EXIT
for processor in cortex-a53 max; do   # without and with SDOT, I8MM
  echo "== $processor"
  PYTHONPATH=/site chroot "$root" /usr/bin/qemu-aarch64-static -cpu "$processor" /usr/bin/python3 \
    /app/tests/rigs/formats.py
done
chroot "$root" /usr/bin/qemu-aarch64-static /usr/bin/python3 - <<'PYTHON'
import platform
import sys

sys.path[:0] = ["/app", "/site"]
from pathlib import Path

from edge_agent.inspection.engines import EngineSettings
from edge_agent.rollout.bundle import read_bundle
from edge_agent.rollout.selftest import self_test

bundle = read_bundle(Path("/app/models/simulated_line.bundle"))
for engine in ("onnx", "litert"):
    for result in self_test(bundle, engine, EngineSettings()):
        print(platform.machine(), engine, result.file, result.expected, result.scores, result.verdict)
PYTHON
