# Holds a node's mount namespace, and puts the machine back as it was.
#
# Prints the pid of a process in the namespace, or why there is none; then waits for the end of its input, which comes
# however the harness ends. Then the node's processes are killed, and what the kubelet did to the machine is undone.
set -eu

tunables="vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys
    kernel/keys/root_maxbytes"
# Those of the kubelet and containerd, and those of hostPath volumes that our manifests have made.
directories="/run/containerd /run/netns /var/lib/cni /var/lib/containerd /var/lib/kubelet /var/lib/maintenance
    /var/lib/node-problem-detector /var/lib/npd-upfile /var/log/containers /var/log/pods"

# cgroup v1 has one in each hierarchy.
pod_cgroups() { find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -name kubepods; }

# The servers and the containers' shims are in the namespace. Containers have their own, but are in pods' cgroups.
processes() {
    find /proc/[0-9]*/ns/mnt -maxdepth 0 -lname "$namespace" 2>/dev/null | cut -d/ -f3
    for cgroup in $(pod_cgroups); do
        find "$cgroup" -name cgroup.procs -exec cat {} + 2>/dev/null
    done
}

undo() {
    set +e
    for _ in $(seq 100); do
        pids=$(processes)
        [ -z "$pids" ] || kill -KILL $pids 2>/dev/null
        for cgroup in $(pod_cgroups); do
            find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
        done
        left=$(processes; pod_cgroups)
        [ -n "$left" ] || break
        sleep 0.05
    done
    [ -z "$left" ] || echo "left over from the node:" $left >&2
    echo "$values" | while read -r tunable value; do echo "$value" >"/proc/sys/$tunable"; done
    for directory in $created; do rmdir "$directory"; done
}

if [ -n "$(pod_cgroups)" ]; then
    echo "a kubelet has pods on this machine: $(pod_cgroups | head -n 1)"
    exit 1
fi

# The machine's mounts may reach the node and its pods, but not the other way.
unshare --mount --propagation slave sleep infinity </dev/null >/dev/null &
holder=$!
while namespace=$(readlink "/proc/$holder/ns/mnt") && [ "$namespace" = "$(readlink "/proc/$$/ns/mnt")" ]; do
    sleep 0.01
done
case $namespace in
mnt:*) namespace=$(echo "$namespace" | sed 's/[][]/\\&/g') ;; # As a pattern.
*) exit 1 ;;
esac

created=
values=$(for tunable in $tunables; do echo "$tunable $(cat "/proc/sys/$tunable")"; done)
trap undo EXIT
for directory in $directories; do
    if [ ! -d "$directory" ]; then
        mkdir -p "$directory"
        created="$created $directory"
    fi
done
nsenter --target "$holder" --mount sh -euc '
    mount --make-rshared /
    for directory; do mount -t tmpfs node "$directory"; done
' sh $directories

echo "$holder"
cat >/dev/null
