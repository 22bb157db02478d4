#!/bin/bash
# Boot a real systemd as PID 1 of its own namespaces, over the files of this machine.
#
# The root of the box is an overlay: this machine's root below, a folder on a tmpfs above it, which
# takes whatever the box writes. Needs root, and nothing that has to be downloaded.
#
#   systemd_box.sh boot NAME FOLDER    runs until the box is off; FOLDER holds up/, work/, root/ and
#                                      binds: lines of SOURCE TARGET, folders of this machine that
#                                      the box sees elsewhere (its own /tmp is empty)
#
# Inside, `/etc/systemd/system/default.target` of FOLDER/up decides what comes up. The process id of
# the box's PID 1, as seen from here, is in FOLDER/leader.
set -euo pipefail

CONTROLLERS="cpu cpuacct cpuset memory devices freezer blkio pids"   # of cgroup v1

is_v2() { [ -f /sys/fs/cgroup/cgroup.controllers ]; }

hierarchies() {   # the cgroup mounts of this machine, in which the box gets a group of its own
  if is_v2; then echo /sys/fs/cgroup; return; fi
  local each
  for each in unified systemd $CONTROLLERS; do
    if mountpoint -q "/sys/fs/cgroup/$each"; then echo "/sys/fs/cgroup/$each"; fi
  done
}

boot() {
  local name=$1 folder=$2 root
  for root in $(hierarchies); do
    mkdir -p "$root/$name"
    if [ -f "$root/cpuset.cpus" ]; then   # a new cpuset is empty, and takes nobody in
      cat "$root/cpuset.cpus" > "$root/$name/cpuset.cpus"
      cat "$root/cpuset.mems" > "$root/$name/cpuset.mems"
    fi
    echo $$ > "$root/$name/cgroup.procs"
  done
  unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup --propagation private \
    bash "$0" furnish "$name" "$folder" &
  local outer=$! status=0
  for _ in $(seq 100); do
    pgrep -P $outer > "$folder/leader" && break
    sleep 0.02
  done
  trap 'kill -KILL "$(cat "$folder/leader")" 2>/dev/null' TERM INT
  while kill -0 $outer 2>/dev/null; do wait $outer || status=$?; done
  for root in $(hierarchies); do
    echo $$ > "$root/cgroup.procs"
    find "$root/$name" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
  exit $status
}

furnish() {   # in the new namespaces: the file systems that systemd wants, then systemd itself
  local name=$1 folder=$2 each
  hostname "$name"
  ip link set lo up
  mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/up,workdir=$folder/work" "$folder/root"
  cd "$folder/root"
  while read -r source target; do
    mkdir -p ".$target" && mount --bind "$source" ".$target"
  done < "$folder/binds"
  mount -t proc proc proc
  mount -t sysfs -o ro sysfs sys
  mount -t tmpfs -o mode=755 tmpfs dev
  mkdir dev/pts dev/shm
  for each in null zero full random urandom tty; do
    touch "dev/$each" && mount --bind "/dev/$each" "dev/$each"
  done
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  mount -t tmpfs tmpfs dev/shm
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs tmpfs tmp
  if is_v2; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
  else
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    for each in $CONTROLLERS; do
      mkdir "sys/fs/cgroup/$each"
      mount -t cgroup -o "$each" cgroup "sys/fs/cgroup/$each" || rmdir "sys/fs/cgroup/$each"
    done
    mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
  fi
  mkdir run/before
  pivot_root . run/before
  cd /
  umount -l /run/before
  mount --make-rshared /
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=box \
    /lib/systemd/systemd --system --show-status=false
}

"$@"
